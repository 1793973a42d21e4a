/* xor_node.c — Node with piscina; bodies are transferred. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    http_need_piscina();
    return http_xor_main(argc, argv, http_serve_piscina);
}
