/* xor_nodethreads.c — Node with plain worker_threads; bodies are transferred. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    return http_xor_main(argc, argv, http_serve_transfer);
}
