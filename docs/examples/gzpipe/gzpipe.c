/* gzpipe.c — a TCP service that gzips: what a client sends comes back compressed; half-close ends it.
 *
 * The loop receives and sends and never compresses; a pool task does, and owns the bytes meanwhile. One task at a time for a
 * connection: what still arrives waits on the stream. On a second port every line is answered by "pong" at once: how long that
 * takes is how long the loop was kept from its work. `--inline` compresses on the loop, to see the difference.
 *
 *     gzpipe [--port N] [--ping-port N] [--workers N] [--inline]      SIGTERM or SIGINT: serve who is here, then exit
 */
#include <errno.h>
#include <getopt.h>
#include <job/job.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL = 6, QUEUED_MAX = 1 << 20, DRAIN_S = 10 };

static struct service {
    struct job_loop *loop;
    struct job_pool *pool;
    struct job_listener data, ping;
    struct job_signal signals;
    struct job_timer drain;
} service;

struct conn {
    struct job_stream stream;
    struct job_task task;
    bool has_answered, has_ended, is_working;
};

/* On a pool thread: one gzip member for each segment of the input; members in a row are one gzip file. */
static void compress(struct job_task *task)
{
    static _Thread_local struct libdeflate_compressor *compressor;
    if (!compressor && !(compressor = libdeflate_alloc_compressor(LEVEL)))
        return job_task_set_status(task, -ENOMEM);
    struct job_buf *out = NULL;
    for (struct job_buf *in = task->buf; in; in = job_buf_next(in)) {
        struct job_buf *member = NULL;
        size_t len = job_buf_segment_len(in), room = libdeflate_gzip_compress_bound(compressor, len);
        int err = job_buf_alloc(job_buf_arena(task->buf), room, NULL, &member);
        if (err == 0) {
            void *bytes = job_buf_room(member, &room);
            err = job_buf_extend(member, libdeflate_gzip_compress(compressor, job_buf_data(in), len, bytes, room));
        }
        if (err == 0 && out)
            err = job_buf_append(out, &member);
        else if (err == 0)
            out = job_buf_take(&member);
        if (err < 0) {
            job_buf_free(&member);
            job_buf_free(&out);
            return job_task_set_status(task, err);
        }
    }
    job_buf_replace(&task->buf, &out);   /* the input goes back to its arena from here */
}

static void go_on(struct conn *conn);

static void compressed(struct job_task *task, int status)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    struct job_buf *out = job_task_take(task);
    conn->is_working = false;
    if (status == 0)
        status = job_stream_send(&conn->stream, &out);
    job_buf_free(&out);   /* NULL unless it could not be sent */
    if (status < 0)
        return job_stream_close(&conn->stream);
    conn->has_answered = true;
    go_on(conn);
}

static void submit(struct job_task *task)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    int err = job_submit(task->pool, task, &conn->stream.handle);
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit);   /* the pool is full: this client waits, nobody else does */
    if (err < 0)
        job_stream_close(&conn->stream);
}

static void start_task(struct conn *conn, struct job_buf **in)
{
    conn->is_working = true;
    job_stream_pause(&conn->stream);
    if (job_task_give(&conn->task, in) < 0)
        return job_stream_close(&conn->stream);
    submit(&conn->task);
}

/* Reads on unless the client is slow to take its answers; closes the sending side when all is answered. */
static void go_on(struct conn *conn)
{
    if (conn->is_working)
        return;
    if (!conn->has_ended) {
        if (job_stream_queued(&conn->stream) < QUEUED_MAX)
            job_stream_resume(&conn->stream);
    } else if (!conn->has_answered) {   /* an empty input is a gzip member as well */
        struct job_buf *empty = NULL;
        if (job_buf_alloc(job_runtime_arena(conn->task.data), 0, NULL, &empty) < 0)
            return job_stream_close(&conn->stream);
        start_task(conn, &empty);
    } else {
        (void)job_stream_shutdown(&conn->stream);
        if (job_stream_queued(&conn->stream) == 0)
            job_stream_close(&conn->stream);
    }
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    start_task(job_container_of(stream, struct conn, stream), in);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    conn->has_ended = true;
    if (status < 0)
        return job_stream_close(stream);
    go_on(conn);
}

static void on_sent(struct job_stream *stream, int status)
{
    if (status == 0)
        go_on(job_container_of(stream, struct conn, stream));
}

static void on_closed(struct job_stream *stream)   /* after its last task: nothing of it is used any more */
{
    free(job_container_of(stream, struct conn, stream));
}

static const struct job_stream_events data_events = {on_data, on_end, on_sent, on_closed};

static void on_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return;   /* what is not taken is closed */
    (void)job_task_init(&conn->task, service.pool, compress, compressed);
    conn->task.data = listener->handle.data;
    if (job_stream_accept(&conn->stream, incoming, &data_events) < 0)
        free(conn);
}

static void on_ping(struct job_stream *stream, struct job_buf **in)
{
    struct job_buf *out = NULL;
    int err = job_buf_alloc(job_buf_arena(*in), 64, NULL, &out);
    for (struct job_buf *segment = *in; segment && err == 0; segment = job_buf_next(segment)) {
        const char *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment) && err == 0; i++)
            err = bytes[i] == '\n' ? job_buf_write(out, "pong\n", 5) : 0;
    }
    if (err < 0 || job_stream_send(stream, &out) < 0) {
        job_buf_free(&out);
        job_stream_close(stream);
    }
}

static void on_ping_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static void on_ping_closed(struct job_stream *stream)
{
    free(stream);
}

static const struct job_stream_events ping_events = {on_ping, on_ping_end, NULL, on_ping_closed};

static void on_ping_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    (void)listener;
    struct job_stream *stream = calloc(1, sizeof *stream);
    if (stream && job_stream_accept(stream, incoming, &ping_events) < 0)
        free(stream);
}

static void on_drain_timeout(struct job_timer *timer)
{
    job_loop_stop(job_handle_loop(&timer->handle));
}

/* The loop ends by itself when the last connection is closed; a second signal or the timer ends it earlier. */
static void on_signal(struct job_signal *signal, int number)
{
    (void)number;
    if (job_timer_is_armed(&service.drain))
        return job_loop_stop(job_handle_loop(&signal->handle));
    job_listener_close(&service.data, NULL);
    job_listener_close(&service.ping, NULL);
    (void)job_timer_start(&service.drain, DRAIN_S * 1000000000ULL);
    job_handle_unref(&service.drain.handle);
}

static void on_log(void *arg, enum job_log_level level, const char *text)
{
    (void)arg;
    if (level <= JOB_LOG_WARNING)
        fprintf(stderr, "gzpipe: %s\n", text);
}

static int check(const char *what, int err)
{
    if (err < 0) {
        fprintf(stderr, "gzpipe: %s: %s\n", what, job_strerror(err));
        exit(EXIT_FAILURE);
    }
    return err;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"port", required_argument, NULL, 'p'}, {"ping-port", required_argument, NULL, 'q'},
                                          {"workers", required_argument, NULL, 'w'}, {"inline", no_argument, NULL, 'i'}, {0}};
    static const int numbers[] = {SIGINT, SIGTERM};
    struct job_listener_options data = {0}, ping = {0};
    struct job_pool_options pool = {.name = "gzip", .nice = 5};
    for (int option; (option = getopt_long(argc, argv, "p:q:w:i", names, NULL)) != -1;) {
        switch (option) {
        case 'p': data.port = (uint16_t)atoi(optarg); break;
        case 'q': ping.port = (uint16_t)atoi(optarg); break;
        case 'w': pool.workers = (unsigned)atoi(optarg); break;
        case 'i': pool.workers = JOB_POOL_INLINE; break;
        default: fprintf(stderr, "usage: gzpipe [--port N] [--ping-port N] [--workers N] [--inline]\n"); return 2;
        }
    }
    struct job_runtime *runtime = NULL;
    check("signals", job_signals_block(numbers, 2));
    check("runtime", job_runtime_open(&runtime, &(struct job_runtime_options){.name = "gzpipe", .log = on_log}));
    check("loop", job_loop_open(runtime, &service.loop, NULL));
    check("pool", job_pool_open(runtime, &service.pool, &pool));
    check("signals", job_signal_open(service.loop, &service.signals, numbers, 2, on_signal));
    check("timer", job_timer_open(service.loop, &service.drain, on_drain_timeout));
    service.data.handle.data = runtime;
    check("listen", job_listener_open(service.loop, &service.data, &data, on_connection));
    check("listen", job_listener_open(service.loop, &service.ping, &ping, on_ping_connection));
    printf("port %u, ping port %u\n", job_listener_port(&service.data), job_listener_port(&service.ping));
    fflush(stdout);
    int result = check("run", job_loop_run(service.loop));
    check("close", job_loop_close(&service.loop, 0));
    check("close", job_pool_close(&service.pool));
    check("close", job_runtime_close(&runtime));
    return result;
}
