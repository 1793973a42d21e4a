/* gzpipe.c — a TCP service that gzips: what a client sends comes back compressed; half-close ends it.
 *
 * The loop receives and sends and never compresses; a pool task does, and owns the bytes meanwhile. One task at a time for a
 * connection: what still arrives waits on the stream. On a second port every line comes back at once: how long that takes is
 * how long the loop was kept from its work. --inline compresses on the loop, to see the difference.
 *
 *     gzpipe [--port N] [--ping-port N] [--workers N] [--inline]      SIGTERM, SIGINT: serve who is here, then exit
 */
#include <errno.h>
#include <getopt.h>
#include <job/job.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEVEL = 6, QUEUED_MAX = 1 << 20 };

static struct job_loop *loop;
static struct job_pool *pool;
static struct job_runtime *runtime;
static struct job_listener data_listener, ping_listener;
static struct job_signal signals;

struct conn {
    struct job_stream stream;
    struct job_task task;
    bool has_answered, has_ended, is_working;
};

/* One gzip member of one segment. */
static int deflate(const struct job_buf *in, struct job_buf **member)
{
    static _Thread_local struct libdeflate_compressor *compressor;
    if (!compressor && !(compressor = libdeflate_alloc_compressor(LEVEL)))
        return -1;
    size_t len = job_buf_segment_len(in), room = libdeflate_gzip_compress_bound(compressor, len);
    int err = job_buf_alloc(job_buf_arena(in), room, NULL, member);
    if (err < 0)
        return err;
    void *bytes = job_buf_room(*member, &room);
    return job_buf_extend(*member, libdeflate_gzip_compress(compressor, job_buf_data(in), len, bytes, room));
}

/* On a pool thread. Members in a row are one gzip file, so each segment of the input becomes one. */
static void compress(struct job_task *task)
{
    struct job_buf *out = NULL;
    int err = 0;
    for (struct job_buf *in = task->buf; in && err == 0; in = job_buf_next(in)) {
        struct job_buf *member = NULL;
        err = deflate(in, &member);
        if (err == 0 && out)
            err = job_buf_append(out, &member);
        else
            job_buf_replace(&out, &member);
    }
    job_buf_replace(&task->buf, &out);   /* the input goes back to its arena from here */
    job_task_set_status(task, err);
}

static void submit(struct job_task *task)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    int err = job_submit(pool, task, &conn->stream.handle);
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit);   /* the pool is full: this client waits, nobody else does */
    if (err < 0)
        job_stream_close(&conn->stream);
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    conn->is_working = true;
    job_stream_pause(stream);   /* one task at a time: what still arrives waits on the stream */
    (void)job_task_give(&conn->task, in);
    submit(&conn->task);
}

/* Reads on, unless the client is slow to take its answers; closes when all is answered. */
static void go_on(struct conn *conn)
{
    struct job_buf *empty = NULL;
    if (conn->is_working)
        return;
    if (!conn->has_ended) {
        if (job_stream_queued(&conn->stream) < QUEUED_MAX)
            job_stream_resume(&conn->stream);
    } else if (!conn->has_answered && job_buf_alloc(job_runtime_arena(runtime), 0, NULL, &empty) == 0) {
        on_data(&conn->stream, &empty);   /* an empty input is a gzip member as well */
    } else if (job_stream_queued(&conn->stream) == 0) {
        job_stream_close(&conn->stream);
    }
}

static void compressed(struct job_task *task, int status)   /* on the loop again; never after the stream's `closed` */
{
    struct conn *conn = job_container_of(task, struct conn, task);
    conn->is_working = false;
    conn->has_answered = true;
    if (status < 0 || job_stream_send(&conn->stream, &task->buf) < 0)
        job_stream_close(&conn->stream);
    else
        go_on(conn);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    conn->has_ended = true;
    status < 0 ? job_stream_close(stream) : go_on(conn);
}

static void on_sent(struct job_stream *stream, int status)
{
    if (status == 0)
        go_on(job_container_of(stream, struct conn, stream));
}

static void on_closed(struct job_stream *stream)   /* after its last operation and its last task */
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    (void)job_task_fini(&conn->task);
    free(conn);
}

static void on_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    static const struct job_stream_events events = {on_data, on_end, on_sent, on_closed};
    struct conn *conn = calloc(1, sizeof *conn);
    (void)listener;
    if (conn)   /* else: what is not taken is closed */
        (void)job_task_init(&conn->task, pool, compress, compressed);
    if (conn && job_stream_accept(&conn->stream, incoming, &events) < 0)
        free(conn);
}

static void on_ping(struct job_stream *stream, struct job_buf **in)
{
    if (job_stream_send(stream, in) < 0)   /* the buf that the kernel filled goes out as it is */
        job_stream_close(stream);
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

static void on_ping_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    static const struct job_stream_events events = {on_ping, on_ping_end, NULL, on_ping_closed};
    struct job_stream *stream = calloc(1, sizeof *stream);
    (void)listener;
    if (stream && job_stream_accept(stream, incoming, &events) < 0)
        free(stream);
}

/* The loop ends by itself when the last connection is closed; a second signal ends it at once. */
static void on_signal(struct job_signal *signal, int number)
{
    (void)number;
    if (job_handle_is_closing(&data_listener.handle))
        job_loop_stop(job_handle_loop(&signal->handle));
    job_listener_close(&data_listener, NULL);
    job_listener_close(&ping_listener, NULL);
}

static void check(const char *what, int err)
{
    if (err < 0) {
        fprintf(stderr, "gzpipe: %s: %s\n", what, job_strerror(err));
        exit(EXIT_FAILURE);
    }
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'}, {"ping-port", 1, NULL, 'q'}, {"workers", 1, NULL, 'w'}, {"inline", 0, NULL, 'i'}, {0}};
    static const int numbers[] = {SIGINT, SIGTERM};
    struct job_listener_options data = {0}, ping = {0};
    struct job_pool_options workers = {.name = "gzip", .nice = 5};
    for (int option; (option = getopt_long(argc, argv, "p:q:w:i", names, NULL)) != -1;) {
        switch (option) {
        case 'p': data.port = (uint16_t)atoi(optarg); break;
        case 'q': ping.port = (uint16_t)atoi(optarg); break;
        case 'w': workers.workers = (unsigned)atoi(optarg); break;
        case 'i': workers.workers = JOB_POOL_INLINE; break;
        default: fputs("usage: gzpipe [--port N] [--ping-port N] [--workers N] [--inline]\n", stderr); return 2;
        }
    }
    check("signals", job_signals_block(numbers, 2));
    check("runtime", job_runtime_open(&runtime, &(struct job_runtime_options){.name = "gzpipe"}));
    check("loop", job_loop_open(runtime, &loop, &(struct job_loop_options){.receive_slot_bytes = 65536}));
    check("pool", job_pool_open(runtime, &pool, &workers));
    check("signals", job_signal_open(loop, &signals, numbers, 2, on_signal));
    check("listen", job_listener_open(loop, &data_listener, &data, on_connection));
    check("listen", job_listener_open(loop, &ping_listener, &ping, on_ping_connection));
    printf("port %u, ping port %u\n", job_listener_port(&data_listener), job_listener_port(&ping_listener));
    fflush(stdout);
    check("run", job_loop_run(loop));
    check("close", job_loop_close(&loop, 0));
    check("close", job_pool_close(&pool));
    check("close", job_runtime_close(&runtime));
    return 0;
}
