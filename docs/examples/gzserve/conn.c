/* conn.c — the state of a connection is what it holds: bytes not read, a request that has begun, exchanges, bytes not sent.
 *
 * Whatever happens (bytes, an answer, room, the end) ends in conn_go_on(), which does all that has become possible, and then looks what
 * is left: whether to read on, how long to wait for what, or to say goodbye. Nothing else decides, so nothing can be forgotten.
 */
#include "conn.h"
#include "body.h"
#include "routes.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PIPELINE_MAX = 8,          /* requests whose answers are owed, until no more are read */
    QUEUED_MAX = 512 << 10,    /* bytes of answers */
    HEAD_ROOM = 2048,          /* a head with all lines that we write, and a short body */
    PROGRESS_BYTES = 16384,    /* of a body within each body time-out */
};

struct job_handle *conn_handle(struct conn *conn)
{
    return &conn->stream.handle;
}

/* Ends it at once, and without an end of file: the client must not take what it has for all. */
void conn_cut_off(struct conn *conn)
{
    conn->service->counts.resets++;
    conn->is_over = true;
    job_stream_reset(&conn->stream);
}

/* The list of exchanges. */

static struct exchange *begin_exchange(struct conn *conn)
{
    struct exchange *exchange = exchange_new(conn, conn->service);
    if (!exchange)
        return NULL;
    *conn->end = exchange;
    conn->end = &exchange->next;
    conn->exchange_count++;
    conn->current = exchange;
    conn->reader.request = &exchange->request;
    return exchange;
}

static void end_first_exchange(struct conn *conn)
{
    struct exchange *exchange = conn->first;
    conn->charged_bytes += exchange->charged_bytes;   /* until the answer is sent: it takes as much */
    conn->first = exchange->next;
    if (!conn->first)
        conn->end = &conn->first;
    conn->exchange_count--;
    exchange_free(exchange);
}

/* A request has begun and is not whole. */
static bool is_in_request(const struct conn *conn)
{
    return conn->current && reader_has_begun(&conn->reader);
}

/* Requests whose answers are not sent, besides one that is still being read. */
static bool owes_answers(const struct conn *conn)
{
    return conn->first && conn->first != conn->current;
}

/* Reading. */

/* Refuses the request that is being read. Where the next one begins is not known any more, or not worth to be waited for. */
static void refuse_last(struct conn *conn, int status)
{
    struct exchange *exchange = conn->current;
    conn->current = NULL;
    conn->is_last = true;
    job_buf_free(&conn->in);
    exchange_refuse(exchange, status);
}

static void on_body(struct conn *conn, size_t len)
{
    int status = body_take(conn->current, &conn->in, len);
    if (status != 0)
        refuse_last(conn, status);
}

/* The head is whole. A refusal is said now if a body follows that nobody wants, else when the request is complete. */
static void on_head(struct conn *conn)
{
    struct exchange *exchange = conn->current;
    exchange->route = route_find(exchange->request.path);
    exchange->refusal = route_check(exchange);
    if (exchange->refusal == 0)
        exchange->refusal = body_check(exchange);
    if (exchange->refusal != 0 && request_has_body(&exchange->request))
        refuse_last(conn, exchange->refusal);
    else
        exchange->owes_continue = exchange->request.expects_continue && request_has_body(&exchange->request);
}

static void on_complete(struct conn *conn)
{
    struct exchange *exchange = conn->current;
    conn->current = NULL;
    conn->has_served = true;
    conn->is_last = !exchange->request.keeps_alive || conn->service->is_draining;
    exchange->state = EXCHANGE_WORKING;
    exchange->owes_continue = false;
    if (exchange->refusal != 0)
        exchange_refuse(exchange, exchange->refusal);
    else
        exchange->route->serve(exchange);
}

/* `in` begins with a segment that has bytes, or is NULL. */
static void drop_empty(struct conn *conn)
{
    while (conn->in && job_buf_segment_len(conn->in) == 0) {
        if (job_buf_len(conn->in) == 0)
            job_buf_free(&conn->in);
        else
            (void)job_buf_consume(&conn->in, 0);   /* lets empty segments go */
    }
}

/* One segment of `in`, up to the next event. */
static void read_some(struct conn *conn)
{
    size_t used;
    if (!conn->current && !begin_exchange(conn)) {
        conn_cut_off(conn);
        return;
    }
    enum reader_event event = reader_feed(&conn->reader, job_buf_data(conn->in), job_buf_segment_len(conn->in), &used);
    size_t piece_len = event == READER_BODY ? conn->reader.piece_len : 0;
    (void)job_buf_consume(&conn->in, used - piece_len);   /* it has as many: the reader was given them */
    switch (event) {
    case READER_MORE: break;
    case READER_HEAD: on_head(conn); break;
    case READER_BODY: on_body(conn, piece_len); break;
    case READER_COMPLETE: on_complete(conn); break;
    case READER_FAILED: refuse_last(conn, conn->reader.status); break;
    }
    drop_empty(conn);
}

static void discharge(struct conn *conn)
{
    conn->service->body_bytes -= conn->charged_bytes;
    conn->charged_bytes = 0;
}

static bool may_read(const struct conn *conn)
{
    return !conn->is_last && conn->exchange_count <= PIPELINE_MAX && !job_stream_is_full(&conn->stream);
}

/* Sending. */

static int send_head(struct conn *conn, struct exchange *exchange, bool closes)
{
    struct answer *answer = &exchange->answer;
    struct job_buf *head = NULL;
    struct text text = {0};
    int err = job_buf_alloc(job_runtime_arena(conn->service->runtime), HEAD_ROOM, NULL, &head);
    if (err < 0)
        return err;
    text.at = job_buf_room(head, &text.room);
    answer_write_head(exchange, closes, &text);
    if (exchange->request.method != HTTP_HEAD && answer->text)
        text_string(&text, answer->text);
    err = text.is_cut ? -EOVERFLOW : job_buf_extend(head, text.len);
    if (err == 0 && exchange->request.method != HTTP_HEAD && answer->body)
        err = job_buf_append(head, &answer->body);
    if (err == 0)
        err = job_stream_send(&conn->stream, &head);
    job_buf_free(&head);   /* NULL, unless something failed */
    return err;
}

static void send_continue(struct conn *conn)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (conn->first->state != EXCHANGE_READING || !conn->first->owes_continue)
        return;
    conn->first->owes_continue = false;
    if (job_stream_write(&conn->stream, line, sizeof line - 1) < 0)
        conn_cut_off(conn);
}

/* Whether the first exchange is over with this. */
static bool send_first(struct conn *conn)
{
    struct exchange *exchange = conn->first;
    if (!exchange->has_sent_head) {
        bool closes = conn->is_last && !exchange->next;
        exchange->has_sent_head = true;
        if (send_head(conn, exchange, closes) < 0) {
            conn_cut_off(conn);
            return false;
        }
    }
    if (exchange->file_left > 0) {
        if (!job_stream_is_full(&conn->stream))
            file_send_next(exchange);
        return false;
    }
    return !exchange->is_reading_file;
}

static void send_answers(struct conn *conn)
{
    while (conn->first && conn->first->state == EXCHANGE_ANSWERED && send_first(conn))
        end_first_exchange(conn);
}

/* What is left. */

static enum phase phase_of(const struct conn *conn)
{
    if (owes_answers(conn) || job_stream_queued(&conn->stream) > 0)
        return PHASE_NONE;
    if (!is_in_request(conn))
        return conn->has_served ? PHASE_IDLE : PHASE_HEAD;
    return conn->reader.state == READING_HEAD ? PHASE_HEAD : PHASE_BODY;
}

/* A body that comes in drops has not moved. */
static bool has_moved(const struct conn *conn)
{
    return conn->phase == PHASE_BODY && job_stream_received(&conn->stream) - conn->phase_bytes >= PROGRESS_BYTES;
}

/* Until the next bytes must have come; sooner when the whole of the body comes so slowly that its time is up: each byte buys some. */
static uint64_t body_timeout(const struct conn *conn)
{
    const struct service_options *options = &conn->service->options;
    uint64_t bought_ns = (conn->phase_bytes - conn->phase_begin_bytes) * JOB_SECOND / options->body_rate;
    uint64_t until_ns = conn->phase_begin_ns + options->body_timeout_ns + bought_ns;
    uint64_t now_ns = job_loop_now(conn->service->loop);
    uint64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 1;
    return left_ns < options->body_timeout_ns ? left_ns : options->body_timeout_ns;
}

static uint64_t timeout_of(const struct conn *conn)
{
    const struct service_options *options = &conn->service->options;
    switch (conn->phase) {
    case PHASE_IDLE: return options->idle_timeout_ns;
    case PHASE_HEAD: return options->head_timeout_ns;
    case PHASE_BODY: return body_timeout(conn);
    default: return 0;
    }
}

static void enter(struct conn *conn, enum phase phase)
{
    uint64_t received = job_stream_received(&conn->stream);
    if (phase == conn->phase && !has_moved(conn))
        return;
    if (phase != conn->phase) {
        conn->phase_begin_ns = job_loop_now(conn->service->loop);
        conn->phase_begin_bytes = received;
    }
    conn->phase = phase;
    conn->phase_bytes = received;
    (void)job_stream_set_deadline(&conn->stream, timeout_of(conn));   /* it is open */
}

static void do_what_is_possible(struct conn *conn)
{
    send_answers(conn);
    while (may_read(conn) && !conn->is_over && (conn->in || reader_is_at_end(&conn->reader)))
        read_some(conn);
    if (conn->has_ended && !conn->in && is_in_request(conn) && !conn->is_over)
        refuse_last(conn, 400);   /* the rest of it will never come */
    if (conn->is_last)
        job_buf_free(&conn->in);
    if (conn->first)
        send_continue(conn);
}

/* Who is idle is closed: all it has asked for was sent before. Whoever else has an answer on its way, which a close could overtake: the
 * stream sends it, and waits for the client's end. */
static void say_goodbye(struct conn *conn)
{
    conn->is_over = true;
    if (conn->phase == PHASE_IDLE && !is_in_request(conn) && job_stream_queued(&conn->stream) == 0)
        job_stream_close(&conn->stream);
    else
        (void)job_stream_finish(&conn->stream, 0);   /* it is open */
}

static void conn_go_on(struct conn *conn)
{
    if (conn->is_busy || conn->is_over)
        return;
    conn->is_busy = true;
    do_what_is_possible(conn);
    conn->is_busy = false;
    if (conn->is_over)
        return;
    if ((conn->is_last || conn->has_ended) && !conn->in && !owes_answers(conn)) {
        say_goodbye(conn);
        return;
    }
    if (conn->is_last || (!conn->in && may_read(conn)))
        job_stream_resume(&conn->stream);
    else
        job_stream_pause(&conn->stream);
    enter(conn, phase_of(conn));
}

void conn_answered(struct conn *conn)
{
    if (conn->is_busy)
        send_answers(conn);
    else
        conn_go_on(conn);
}

void conn_send_part(struct conn *conn, struct job_buf **part)
{
    if (job_stream_send(&conn->stream, part) < 0)
        conn_cut_off(conn);
    else
        conn_go_on(conn);
}

void conn_drain(struct conn *conn)
{
    conn->is_last = conn->is_last || !is_in_request(conn);
    conn_go_on(conn);
}

/* Events of the stream. */

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    if (conn->is_last)
        return;   /* left in *in, it goes back */
    if (!conn->in)
        conn->in = job_buf_take(in);
    else if (job_buf_append(conn->in, in) < 0)
        conn_cut_off(conn);
    conn_go_on(conn);
}

/* It sends no more: it has said so, its time is over, or the connection broke. */
static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    bool is_late = status == -ETIMEDOUT && conn->phase != PHASE_NONE;   /* else it took nothing of what was sent */
    conn->has_ended = true;
    if (status < 0 && !is_late)
        conn_cut_off(conn);
    else if (is_late && is_in_request(conn))
        refuse_last(conn, 408);
    else
        conn_go_on(conn);
}

static void on_room(struct job_stream *stream)
{
    conn_go_on(job_container_of(stream, struct conn, stream));
}

static void on_sent(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    discharge(conn);
    if (status == 0)   /* else `end` tells it as well */
        conn_go_on(conn);
}

static void conn_free(struct conn *conn)
{
    struct service *service = conn->service;
    while (conn->first)
        end_first_exchange(conn);
    discharge(conn);
    job_buf_free(&conn->in);
    *(conn->previous ? &conn->previous->next : &service->conns) = conn->next;
    if (conn->next)
        conn->next->previous = conn->previous;
    service->conn_count--;
    free(conn);
}

/* After its last operation and its last task: nothing of the library's knows it any more. */
static void on_closed(struct job_stream *stream)
{
    conn_free(job_container_of(stream, struct conn, stream));
}

static const struct job_stream_events events = {
    .data = on_data,
    .end = on_end,
    .sent = on_sent,
    .writable = on_room,
    .closed = on_closed,
};

static struct conn *conn_new(struct service *service)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return NULL;
    conn->service = service;
    conn->end = &conn->first;
    conn->next = service->conns;
    if (conn->next)
        conn->next->previous = conn;
    service->conns = conn;
    service->conn_count++;
    return conn;
}

static int conn_begin(struct conn *conn, int err)
{
    if (err < 0) {
        conn_free(conn);
        return err;
    }
    (void)job_stream_set_marks(&conn->stream, QUEUED_MAX, QUEUED_MAX / 4);   /* it is open, and the marks are right */
    (void)job_stream_set_send_timeout(&conn->stream, conn->service->options.send_timeout_ns);
    conn_go_on(conn);
    return 0;
}

int conn_accept(struct service *service, struct job_incoming *incoming)
{
    struct conn *conn = conn_new(service);
    return conn ? conn_begin(conn, job_stream_accept(&conn->stream, incoming, &events)) : -ENOMEM;
}

int conn_adopt(struct service *service, int fd)
{
    struct conn *conn = conn_new(service);
    return conn ? conn_begin(conn, job_stream_adopt(service->loop, &conn->stream, fd, &events)) : -ENOMEM;
}
