/* http_hello_job.c — the example gzserve: a short answer that is the same each time. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    return http_hello_main(argc, argv, http_serve_gzserve);
}
