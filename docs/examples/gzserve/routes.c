/* routes.c — five services, and files for everything else. */
#include "routes.h"

#include <string.h>

const struct route *route_find(const char *path)
{
    static const struct route routes[] = {
        {"/fast", false, serve_fast},
        {"/cpu", false, serve_cpu},
        {"/gzip", true, serve_gzip},
        {"/xor", true, serve_xor},
        {"/stats", false, serve_stats},
    };
    static const struct route file = {"", false, serve_file};
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(path, routes[i].path) == 0)
            return &routes[i];
    }
    return &file;
}

int route_check(struct exchange *exchange)
{
    bool is_post = exchange->request.method == HTTP_POST;
    if (is_post == exchange->route->takes_body)
        return 0;
    exchange_header(exchange, "Allow", exchange->route->takes_body ? "POST" : "GET, HEAD");
    return 405;
}

void serve_fast(struct exchange *exchange)
{
    exchange_answer_text(exchange, 200, "text/plain", "fast\n");
}
