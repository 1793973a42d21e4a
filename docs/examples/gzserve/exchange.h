/* exchange.h — one request on its way to its answer.
 *
 *      READING ──request whole──▶ WORKING ──exchange_answer()──▶ ANSWERED ──all that was asked before is sent──▶ sent, and reused
 *
 * A connection may have several: they are worked on at once, finish in any order, and are sent in the order in which they were asked.
 */
#ifndef GZSERVE_EXCHANGE_H
#define GZSERVE_EXCHANGE_H

#include "request.h"
#include "service.h"

enum exchange_state { EXCHANGE_READING, EXCHANGE_WORKING, EXCHANGE_ANSWERED };

enum { EXTRA_MAX = 512 };

struct answer {
    int status;
    const char *type;           /* Content-Type; NULL: there is no body */
    const char *text;           /* the body, if it is short: outlives the exchange, or is in `note` */
    struct job_buf *body;       /* the body else, or its first part */
    uint64_t len;               /* of the whole body */
    size_t extra_len;
    char extra[EXTRA_MAX];      /* further header lines, each with its end */
    char note[48];
};

struct exchange {
    struct job_task task;
    struct exchange *next;      /* of its connection: asked later */
    struct conn *conn;
    struct service *service;
    const struct route *route;
    enum exchange_state state;
    int refusal;                /* a status to answer with once the request is whole; 0: it is served */
    bool owes_continue;         /* the client waits for "100 Continue" */
    bool has_sent_head;
    size_t charged_bytes;       /* of service->body_bytes; the connection gives them back */
    size_t body_len;            /* what has come of the request's body, also when nobody wants it */
    struct job_buf *body;       /* of the request */
    struct answer answer;

    /* The work that is done for it on the pool. */
    void (*run)(struct exchange *exchange);
    void (*finished)(struct exchange *exchange, int status);
    uint64_t number, result;    /* for whoever computes */

    /* The file that answers it, while it is sent. */
    struct file *file;          /* referenced */
    uint64_t file_len, file_offset, file_left;
    int file_status;
    bool is_reading_file;
    struct file_found *found;   /* by the pool */

    struct request request;
};

/* NULL: no memory. */
struct exchange *exchange_new(struct conn *conn, struct service *service);

/* Not while its task is with the pool. */
void exchange_free(struct exchange *exchange);

/* Answers with a short text, which may be in exchange->answer.note. */
void exchange_answer_text(struct exchange *exchange, int status, const char *type, const char *text);

/* Answers with a body of `len` bytes. *body is taken: all of it, or its first part, or NULL when HEAD asks for none. */
void exchange_answer_buf(struct exchange *exchange, int status, const char *type, uint64_t len, struct job_buf **body);

/* Answers with a status alone. */
void exchange_refuse(struct exchange *exchange, int status);

/* Adds "name: value" to the head of the answer that is to come. */
void exchange_header(struct exchange *exchange, const char *name, const char *value);

/* Calls `run` on a pool and then `finished` on the loop, unless the connection closes meanwhile. The task owns the request's body, as
 * exchange->task.buf. `status` is what `run` has set; -ETIME: the pool had no worker for it in time. */
void exchange_work(struct exchange *exchange, struct job_pool *pool, void (*run)(struct exchange *exchange),
                   void (*finished)(struct exchange *exchange, int status));

/* The status for a client whose work has failed: 503 where another time it may succeed. */
int exchange_status_of(int err);

/* The words for a status. */
const char *answer_reason(int status);

/* Writes the head into `text`. `closes`: this is the last answer of the connection. */
struct text;
void answer_write_head(const struct exchange *exchange, bool closes, struct text *text);

#endif
