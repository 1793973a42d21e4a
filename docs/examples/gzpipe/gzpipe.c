/* gzpipe.c — a TCP service that gzips: what a client sends comes back compressed; half-close ends it.
 *
 * The loop receives and sends, and never compresses: a pool task does, and owns the bytes meanwhile. One task at a time for a
 * connection; what still arrives waits on its stream, then in the kernel, then at the client. On a second port every line comes
 * back at once: how long that takes is how long the loop was kept from its work. --inline compresses on the loop, to see it.
 *
 *     gzpipe [--port N] [--ping-port N] [--workers N] [--inline] [--idle-timeout S]      SIGTERM, SIGINT: serves who is here, then exits
 */
#include <errno.h>
#include <getopt.h>
#include <job/job.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEVEL = 6, QUEUED_MAX = 1 << 20, CONNECTIONS_MAX = 1000 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_listener data_listener, ping_listener;
static uint64_t idle_timeout_ns = 60 * JOB_SECOND;

struct conn {
    struct job_stream stream;
    struct job_task task;
    bool is_working;   /* the task is with the pool, or waits for room there */
    bool has_ended;    /* the client sends no more */
    bool is_ping;      /* of the second port */
};

/* On a pool thread. Gzip members in a row are one gzip file, so each segment of the task's buf becomes a member of its own, and no
 * byte of the input is copied. An error closes this client alone: see compressed(). */
static void compress(struct job_task *task)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(LEVEL);
    struct job_buf *out = NULL, *member = NULL;
    int err = compressor ? job_buf_alloc(job_buf_arena(task->buf), 0, NULL, &out) : -ENOMEM;
    for (struct job_buf *in = task->buf; err == 0 && in; in = job_buf_next(in)) {
        size_t len = job_buf_segment_len(in), room = libdeflate_gzip_compress_bound(compressor, len);
        if ((err = job_buf_alloc(job_buf_arena(in), room, NULL, &member)) < 0)
            break;
        void *bytes = job_buf_room(member, &room);
        (void)job_buf_extend(member, libdeflate_gzip_compress(compressor, job_buf_data(in), len, bytes, room));
        err = job_buf_append(out, &member);
    }
    libdeflate_free_compressor(compressor);
    job_buf_free(&member);               /* NULL, unless it could not be appended */
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
    job_stream_pause(stream);
    conn->is_working = true;
    (void)job_task_give(&conn->task, in);   /* cannot fail: the task is idle and has no buf */
    submit(&conn->task);
}

/* Something has ended: the task, a send, or the input. What is next? */
static void go_on(struct conn *conn)
{
    size_t queued = job_stream_queued(&conn->stream);
    if (conn->is_working)
        return;
    if (!conn->has_ended && queued < QUEUED_MAX)   /* else the client is slow to take its answers: on_sent() */
        job_stream_resume(&conn->stream);
    if (conn->has_ended && queued == 0)
        job_stream_close(&conn->stream);
}

/* On the loop again, and never after the stream's `closed`. */
static void compressed(struct job_task *task, int status)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    conn->is_working = false;
    if (status < 0 || job_stream_send(&conn->stream, &task->buf) < 0)
        job_stream_reset(&conn->stream);   /* members so far are a gzip file: an end of file would look like all of it */
    else
        go_on(conn);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    struct job_buf *empty = NULL;
    conn->has_ended = true;
    if (status < 0)
        job_stream_close(stream);
    else if (!conn->is_ping && job_stream_received(stream) == 0 &&
             job_buf_alloc(job_runtime_arena(runtime), 0, NULL, &empty) == 0)
        on_data(stream, &empty);   /* nothing, compressed, is a gzip file as well */
    else
        go_on(conn);
}

static void on_sent(struct job_stream *stream, int status)
{
    (void)status;   /* where it failed, nothing is queued any more, and `end` says or has said that there is no more input */
    go_on(job_container_of(stream, struct conn, stream));
}

/* After its last operation and its last task: nothing of the library's knows it any more. */
static void on_closed(struct job_stream *stream)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    (void)job_task_fini(&conn->task);
    free(conn);
}

static void on_ping(struct job_stream *stream, struct job_buf **in)
{
    if (job_stream_queued(stream) > QUEUED_MAX || job_stream_send(stream, in) < 0)
        job_stream_close(stream);   /* else the buf that the kernel filled goes out as it is */
}

static void on_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    static const struct job_stream_events gzip = {.data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};
    static const struct job_stream_events ping = {.data = on_ping, .end = on_end, .sent = on_sent, .closed = on_closed};
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return;   /* what is not taken is closed */
    conn->is_ping = listener == &ping_listener;
    (void)job_task_init(&conn->task, pool, compress, compressed);
    if (job_stream_accept(&conn->stream, incoming, conn->is_ping ? &ping : &gzip) < 0) {
        free(conn);
        return;
    }
    (void)job_stream_set_idle_timeout(&conn->stream, idle_timeout_ns);   /* who neither sends nor takes anything: on_end() */
    if (conn->is_ping)
        job_handle_unref(&conn->stream.handle);   /* who only pings keeps nobody from exiting */
}

/* job_loop_run() returns when the last connection is closed, or at a second signal. */
static void on_signal(struct job_signal *signal, int number)
{
    (void)signal, (void)number;
    if (job_handle_is_closing(&data_listener.handle))
        job_loop_stop(loop);
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

static void fail_usage(void)
{
    fputs("usage: gzpipe [--port N] [--ping-port N] [--workers N] [--inline] [--idle-timeout S]\n", stderr);
    exit(2);
}

static unsigned number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);   /* too large is ULONG_MAX, and above any max */
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < min || value > max)
        fail_usage();
    return (unsigned)value;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'}, {"ping-port", 1, NULL, 'q'}, {"workers", 1, NULL, 'w'}, {"inline", 0, NULL, 'i'},
        {"idle-timeout", 1, NULL, 't'}, {0}};
    static const int numbers[] = {SIGINT, SIGTERM};
    struct job_runtime_options named = {.name = "gzpipe", .log = job_log_stderr, .log_arg = "gzpipe"};
    struct job_listener_options data = {.connections_max = CONNECTIONS_MAX}, ping = data;
    struct job_pool_options workers = {.name = "gzip", .nice = 19};
    struct job_signal signals;
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'p': data.port = (uint16_t)number(optarg, 0, UINT16_MAX); break;
        case 'q': ping.port = (uint16_t)number(optarg, 0, UINT16_MAX); break;
        case 'w': workers.workers = number(optarg, 1, 1024); break;
        case 'i': workers.workers = JOB_POOL_INLINE; break;
        case 't': idle_timeout_ns = number(optarg, 1, 86400) * JOB_SECOND; break;
        default: fail_usage();
        }
    }
    check("signals", job_signals_block(numbers, 2));
    check("runtime", job_runtime_open(&runtime, &named));
    check("loop", job_loop_open(runtime, &loop, &(struct job_loop_options){.receive_slot_bytes = 65536}));
    check("pool", job_pool_open(runtime, &pool, &workers));
    check("signals", job_signal_open(loop, &signals, numbers, 2, on_signal));
    check("port", job_listener_open(loop, &data_listener, &data, on_connection));
    check("ping port", job_listener_open(loop, &ping_listener, &ping, on_connection));
    printf("port %u, ping port %u\n", job_listener_port(&data_listener), job_listener_port(&ping_listener));
    fflush(stdout);
    check("run", job_loop_run(loop));
    check("close", job_loop_close(&loop, 0));
    check("close", job_pool_close(&pool));
    check("close", job_runtime_close(&runtime));
    return 0;
}
