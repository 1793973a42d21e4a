/* static_file_job.c — the example gzserve: 64 KiB from a file. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    return http_file_main(argc, argv, http_serve_gzserve);
}
