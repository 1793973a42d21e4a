/* http_hello_nginx.c — nginx with one worker: a short answer that is the same each time. */
#include "http_servers.h"

int main(int argc, char **argv)
{
    http_need_nginx();
    return http_hello_main(argc, argv, http_serve_nginx);
}
