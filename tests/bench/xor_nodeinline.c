/* xor_nodeinline.c — Node that computes on its event loop. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    return http_xor_main(argc, argv, http_serve_node_inline);
}
