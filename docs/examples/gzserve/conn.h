/* conn.h — one client: bytes in, requests in order, answers in the same order, and an end that loses none. */
#ifndef GZSERVE_CONN_H
#define GZSERVE_CONN_H

#include "exchange.h"
#include "reader.h"
#include "service.h"

/* What is awaited of the client; each has its time-out. */
enum phase {
    PHASE_NONE,      /* it waits for us, or takes what we send: the stream itself watches that */
    PHASE_IDLE,      /* another request, or none: it may go when it likes */
    PHASE_HEAD,      /* the rest of a head, or the first byte of the first */
    PHASE_BODY,      /* so many bytes of a body, and all of it at a least rate */
};

struct conn {
    struct job_stream stream;
    struct service *service;
    struct conn *previous, *next;      /* of the service */
    enum phase phase;
    uint64_t phase_begin_ns, phase_begin_bytes;
    uint64_t phase_bytes;              /* received when its time-out was set */
    struct reader reader;
    struct job_buf *in;                /* received, and not read yet */
    struct exchange *current;          /* whose request is being read; it is the last in the list */
    struct exchange *first, **end;     /* in the order of the requests */
    unsigned exchange_count;
    size_t charged_bytes;              /* of service->body_bytes, for answers that are not sent yet */
    bool has_ended;                    /* the client sends no more */
    bool is_last;                      /* nothing more is read: what comes is thrown away */
    bool is_over;                      /* nothing more is done: the stream closes when all is sent, or has been reset */
    bool has_served;                   /* a request at least */
    bool is_busy;                      /* conn_go_on() runs: what happens meanwhile it sees itself */
};

/* Serves a connection that was accepted, or a connected socket of one's own. 0 or a negative errno: it is still the caller's. */
int conn_accept(struct service *service, struct job_incoming *incoming);
int conn_adopt(struct service *service, int fd);

/* An exchange of this connection is answered, or has more to send. */
void conn_answered(struct conn *conn);

/* The next part of the answer of the first exchange: *part is taken. */
void conn_send_part(struct conn *conn, struct job_buf **part);

/* The answer cannot be completed: a client must not take what it has for all. */
void conn_cut_off(struct conn *conn);

/* Ends after the requests that have begun. */
void conn_drain(struct conn *conn);

struct job_handle *conn_handle(struct conn *conn);

#endif
