/* http_bottleneck_job.c — the example gzserve, on its pool or with --inline. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    return http_bottleneck_main(argc, argv, http_serve_gzserve);
}
