/* routes.h — which path is served by whom. */
#ifndef GZSERVE_ROUTES_H
#define GZSERVE_ROUTES_H

#include "exchange.h"

struct route {
    const char *path;
    bool takes_body;                          /* POST, and a body is required; else GET and HEAD, and a body is thrown away */
    void (*serve)(struct exchange *exchange); /* the request is whole: answer it, now or later */
};

/* The route of a path; what is no service of ours is a file. */
const struct route *route_find(const char *path);

/* 0, or 405 when the route does not know the method; the answer's head says then which it knows. */
int route_check(struct exchange *exchange);

void serve_fast(struct exchange *exchange);
void serve_cpu(struct exchange *exchange);
void serve_gzip(struct exchange *exchange);
void serve_xor(struct exchange *exchange);
void serve_stats(struct exchange *exchange);
void serve_file(struct exchange *exchange);

/* NULL is allowed. */
void file_found_free(struct file_found *found);

/* Reads the next part of the file that answers the exchange, and sends it: conn_send_part(). */
void file_send_next(struct exchange *exchange);

#endif
