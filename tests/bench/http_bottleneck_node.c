/* http_bottleneck_node.c — Node with piscina, a worker a CPU. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    http_need_piscina();
    return http_bottleneck_main(argc, argv, http_serve_piscina);
}
