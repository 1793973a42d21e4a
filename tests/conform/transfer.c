/* transfer.c — bytes through streams: echoed as they are, by tasks, with pauses; cancel races; half-close; a peer that goes. */
#include "conform/conform.h"

enum { CONNS_MAX = 4 };

struct transfer;

struct conn {
    struct job_stream stream;
    struct job_task task;
    struct transfer *of;
    struct peer peer;
    uint64_t received, sent;
    unsigned ends, closes, sents;
    int end_status;
    bool is_closing, is_submitted;
};

struct transfer {
    struct scenario *scenario;
    struct conn conns[CONNS_MAX];
    unsigned count;
    bool by_tasks, pauses, races, is_sink;
};

static void close_conn(struct conn *conn)
{
    conn->is_closing = true;
    job_stream_close(&conn->stream);
}

static void send_or_close(struct conn *conn, struct job_buf **buf)
{
    struct scenario *scenario = conn->of->scenario;
    int err = job_stream_send(&conn->stream, buf);
    if (err == 0)
        return;
    must(scenario, scenario->may_break && *buf);   /* nothing changed */
    job_buf_free(buf);
    if (!conn->is_closing)
        close_conn(conn);
}

static void work(struct job_task *task)
{
    job_task_set_status(task, (int)job_buf_len(task->buf));
}

static void worked(struct job_task *task, int status)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    struct scenario *scenario = conn->of->scenario;
    must(scenario, conn->is_submitted && conn->closes == 0);
    conn->is_submitted = false;
    if (conn->is_closing)
        return;
    must(scenario, status == (int)job_buf_len(task->buf));
    struct job_buf *out = job_task_take(task);
    send_or_close(conn, &out);
    job_stream_resume(&conn->stream);
}

static void by_task(struct conn *conn, struct job_buf **in)
{
    struct scenario *scenario = conn->of->scenario;
    must(scenario, !conn->is_submitted);   /* it was paused meanwhile */
    job_stream_pause(&conn->stream);
    must_ok(scenario, job_task_give(&conn->task, in));
    conn->is_submitted = true;
    must_ok(scenario, job_submit(scenario->pool, &conn->task, &conn->stream.handle));
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    struct scenario *scenario = conn->of->scenario;
    must(scenario, !conn->is_closing && conn->ends == 0 && !job_stream_is_paused(stream));
    must(scenario, job_buf_len(*in) > 0);
    verify(scenario, *in, conn->peer.key, &conn->received);
    if (conn->of->is_sink)
        return;
    if (conn->of->by_tasks)
        return by_task(conn, in);
    if (conn->of->pauses && below(scenario, 2))
        job_stream_pause(stream);
    send_or_close(conn, in);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    struct scenario *scenario = conn->of->scenario;
    must(scenario, !conn->is_closing && conn->ends == 0);
    must(scenario, status == 0 || scenario->may_break);
    conn->ends++;
    conn->end_status = status;
    if (status < 0)
        return close_conn(conn);
    must(scenario, conn->received == conn->peer.sent);
    int err = job_stream_shutdown(stream);
    must(scenario, err == 0 || scenario->may_break);
    if (err < 0)
        close_conn(conn);
}

static void on_sent(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    struct scenario *scenario = conn->of->scenario;
    must(scenario, status == 0 || scenario->may_break);
    must(scenario, job_stream_queued(stream) == 0);
    conn->sents++;
    if (status < 0 && !conn->is_closing)
        close_conn(conn);
}

static void on_closed(struct job_stream *stream)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(conn->of->scenario, conn->is_closing && !conn->is_submitted);
    conn->closes++;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};

static void open_conns(struct scenario *scenario, struct transfer *transfer, unsigned count, unsigned bytes_max)
{
    transfer->scenario = scenario;
    transfer->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct conn *conn = &transfer->conns[i];
        int fds[2];
        fixture_pair(fds);
        *conn = (struct conn){.of = transfer};
        peer_open(&conn->peer, fds[0], scenario->seed + i, below(scenario, 5) ? below(scenario, bytes_max) : 0);
        must_ok(scenario, job_task_init(&conn->task, scenario->pool, work, worked));
        must_ok(scenario, job_stream_adopt(scenario->loop, &conn->stream, fds[1], &events));
    }
}

static void disturb(struct scenario *scenario, struct conn *conn)
{
    struct transfer *transfer = conn->of;
    if (conn->is_closing || conn->is_submitted)
        return;
    if (transfer->pauses && below(scenario, 3))
        job_stream_resume(&conn->stream);
    for (unsigned i = transfer->races ? below(scenario, 6) : 0; i > 0; i--) {
        if (below(scenario, 2))
            job_stream_pause(&conn->stream);
        else
            job_stream_resume(&conn->stream);
    }
    if (transfer->races && below(scenario, 3) == 0)
        job_stream_resume(&conn->stream);
}

/* The peers act; a connection whose peer has seen the end is closed. */
static bool act(struct scenario *scenario)
{
    struct transfer *transfer = scenario->state;
    bool is_any = false;
    for (unsigned i = 0; i < transfer->count; i++) {
        struct conn *conn = &transfer->conns[i];
        disturb(scenario, conn);
        peer_act(scenario, &conn->peer);
        if (peer_is_done(&conn->peer) && !conn->is_closing && (conn->ends || scenario->may_break))
            close_conn(conn);
        is_any |= conn->closes == 0;
    }
    return is_any;
}

static void finish(struct transfer *transfer)
{
    struct scenario *scenario = transfer->scenario;
    for (unsigned i = 0; i < transfer->count; i++) {
        struct conn *conn = &transfer->conns[i];
        must(scenario, conn->closes == 1);
        must(scenario, conn->ends == 1 || scenario->may_break);
        if (!scenario->may_break) {
            must(scenario, conn->received == conn->peer.to_send);
            must(scenario, conn->peer.received == conn->sent + (transfer->is_sink ? 0 : conn->received));
        }
        tell(scenario, " received %llu sent %llu end %d", (unsigned long long)conn->received,
             (unsigned long long)conn->peer.received, conn->end_status);
        peer_close(&conn->peer);
    }
}

static void run_transfer(struct scenario *scenario, struct transfer *transfer, unsigned bytes_max)
{
    open_conns(scenario, transfer, 1 + below(scenario, CONNS_MAX), bytes_max);
    run(scenario, transfer, act);
    finish(transfer);
}

void echo(struct scenario *scenario)
{
    run_transfer(scenario, &(struct transfer){0}, 60000);
}

void echo_with_tasks(struct scenario *scenario)
{
    run_transfer(scenario, &(struct transfer){.by_tasks = true}, 60000);
}

void echo_with_pauses(struct scenario *scenario)
{
    run_transfer(scenario, &(struct transfer){.pauses = true}, 60000);
}

/* Pause, resume, pause …, several times between two looks of the kernel: each cancel may come too late, or hit what is already new. */
void cancel_races(struct scenario *scenario)
{
    run_transfer(scenario, &(struct transfer){.races = true, .pauses = true}, 40000);
}

/* The library sends a queue of many segments and shuts down behind it, while the peer sends and is only listened to. */
void half_close(struct scenario *scenario)
{
    struct transfer transfer = {.is_sink = true};
    open_conns(scenario, &transfer, 1 + below(scenario, CONNS_MAX), 20000);
    for (unsigned i = 0; i < transfer.count; i++) {
        struct conn *conn = &transfer.conns[i];
        conn->peer.key_received = conn->peer.key + 99;
        for (unsigned n = below(scenario, 12); n > 0; n--) {
            size_t len = below(scenario, 4) ? below(scenario, 9000) : 0;
            struct job_buf *buf = make(scenario, conn->peer.key_received, &conn->sent, len);
            struct job_buf *more = make(scenario, conn->peer.key_received, &conn->sent, below(scenario, 300));
            must_ok(scenario, job_buf_append(buf, &more));
            send_or_close(conn, &buf);
        }
        if (below(scenario, 2))
            must_ok(scenario, job_stream_shutdown(&conn->stream));
    }
    run(scenario, &transfer, act);
    finish(&transfer);
}

static struct conn gone;

static void gone_data(struct job_stream *stream, struct job_buf **in)
{
    (void)in;
    must(gone.of->scenario, gone.ends == 0 && stream == &gone.stream);
}

static void gone_end(struct job_stream *stream, int status)
{
    must(gone.of->scenario, gone.ends++ == 0 && stream == &gone.stream);
    gone.end_status = status;
}

static void gone_sent(struct job_stream *stream, int status)
{
    (void)stream;
    gone.sents += status < 0;
}

static void gone_closed(struct job_stream *stream)
{
    must(gone.of->scenario, gone.closes++ == 0 && stream == &gone.stream);
}

static const struct job_stream_events gone_events = {
    .data = gone_data, .end = gone_end, .sent = gone_sent, .closed = gone_closed};

static bool gone_act(struct scenario *scenario)
{
    if (gone.ends && (gone.sents || scenario->may_break)) {
        struct job_buf *late = make(scenario, 1, &(uint64_t){0}, 10);
        int err = job_stream_send(&gone.stream, &late);
        must(scenario, (err < 0) == (late != NULL));
        must(scenario, err < 0 || scenario->may_break);
        job_buf_free(&late);
        job_stream_close(&gone.stream);
        return false;
    }
    return true;
}

/* Sending to a peer that has closed: both directions fail once, what was queued goes back, nothing can be sent any more. */
void peer_gone(struct scenario *scenario)
{
    struct transfer transfer = {.scenario = scenario};
    int fds[2];
    uint64_t offset = 0;
    fixture_pair(fds);
    gone = (struct conn){.of = &transfer};
    must_ok(scenario, job_stream_adopt(scenario->loop, &gone.stream, fds[1], &gone_events));
    if (below(scenario, 2))
        ck_assert_int_eq(send(fds[0], "bytes", 5, 0), 5);
    close(fds[0]);
    for (unsigned n = 1 + below(scenario, 6); n > 0; n--) {
        struct job_buf *buf = make(scenario, 1, &offset, 1 + below(scenario, 5000));
        must_ok(scenario, job_stream_send(&gone.stream, &buf));
    }
    run(scenario, NULL, gone_act);
    must(scenario, gone.closes == 1);
    tell(scenario, " ends %u failed %u", gone.ends, gone.sents);
}
