/* http_bottleneck_nodethreads.c — Node with plain worker_threads, one a CPU. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    return http_bottleneck_main(argc, argv, http_serve_transfer);
}
