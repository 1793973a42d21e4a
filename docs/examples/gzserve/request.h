/* request.h — what a client asks for: the parts of a request's head that this service looks at. */
#ifndef GZSERVE_REQUEST_H
#define GZSERVE_REQUEST_H

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_MAX = 8192, TARGET_MAX = 4096, HEAD_LINES_MAX = 101 };   /* bytes; bytes; a request line and so many fields */

enum header {
    HEADER_HOST,
    HEADER_CONTENT_LENGTH,
    HEADER_TRANSFER_ENCODING,
    HEADER_EXPECT,
    HEADER_RANGE,
    HEADER_IF_RANGE,
    HEADER_IF_MATCH,
    HEADER_IF_NONE_MATCH,
    HEADER_IF_MODIFIED_SINCE,
    HEADER_IF_UNMODIFIED_SINCE,
    HEADERS,
};

struct request {
    enum http_method method;
    unsigned minor;              /* 0 or 1, or more: HTTP/1.minor */
    bool keeps_alive;            /* the client would send another one on this connection */
    bool is_chunked;
    bool expects_continue;       /* it waits for a word before it sends the body */
    uint64_t body_len;           /* 0 when it is chunked */
    const char *path;            /* decoded, without "//", "." and ".."; begins with '/' */
    const char *query;           /* behind '?', not decoded; "" when there is none */
    const char *values[HEADERS]; /* NULL: it was not sent */
    size_t ends[HEADERS];        /* where in the head they end */
    unsigned counts[HEADERS];    /* how often it was */
    bool is_head_read;           /* http_parser found nothing wrong */
    size_t target_len, head_len;
    char *target;                /* in the head */
    enum header header;          /* whose value the parser tells next */
    char head[HEAD_MAX];         /* as it came; the texts above point here */
};

/* Empties a request, so that a head can be collected. */
void request_reset(struct request *request);

/* Reads a whole head, with its empty line, and finds out what it means. 0, or the status with which it is refused: nothing of the rest of
 * the connection can be trusted then. */
int request_parse(struct request *request);

static inline bool request_has_body(const struct request *request)
{
    return request->is_chunked || request->body_len > 0;
}

/* The number of a parameter of the query, such as n=10. False: it is missing, twice there, not a decimal number, or above `max`. */
bool request_number(const struct request *request, const char *name, uint64_t max, uint64_t *number);

#endif
