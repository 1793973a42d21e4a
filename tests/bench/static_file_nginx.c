/* static_file_nginx.c — nginx with one worker: 64 KiB from a file. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    http_need_nginx();
    return http_file_main(argc, argv, http_serve_nginx);
}
