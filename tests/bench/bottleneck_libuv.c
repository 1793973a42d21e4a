/* bottleneck_libuv.c — the same service on libuv: uv_queue_work() compresses, one read at a time for a connection.
 *
 * As many threads as CPUs, as ours has, the same compressor at the same level, one gzip member a read.
 */
#include "bottleneck.h"

#include <uv.h>

enum { LEVEL = 6, READ_BYTES = 65536 };

struct conn {
    uv_tcp_t tcp;
    uv_work_t work;
    uv_write_t write;
    char in[READ_BYTES];
    char *out;
    size_t in_len, out_len;
    bool is_working, has_ended;
};

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct conn *conn = (struct conn *)handle;
    (void)size;
    *buf = uv_buf_init(conn->in, sizeof conn->in);
}

static void compress(uv_work_t *work)
{
    static _Thread_local struct libdeflate_compressor *compressor;
    struct conn *conn = work->data;
    if (!compressor)
        compressor = libdeflate_alloc_compressor(LEVEL);
    size_t room = libdeflate_gzip_compress_bound(compressor, conn->in_len);
    conn->out = malloc(room);
    conn->out_len = conn->out ? libdeflate_gzip_compress(compressor, conn->in, conn->in_len, conn->out, room) : 0;
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

static void go_on(struct conn *conn)
{
    if (conn->has_ended)
        uv_close((uv_handle_t *)&conn->tcp, closed);
    else
        bench_ok(uv_read_start((uv_stream_t *)&conn->tcp, allocate, received), "libuv: read");
}

static void written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    bench_ok(status, "libuv: write");
    free(conn->out);
    go_on(conn);
}

static void compressed(uv_work_t *work, int status)
{
    struct conn *conn = work->data;
    bench_ok(status, "libuv: work");
    uv_buf_t buf = uv_buf_init(conn->out, (unsigned)conn->out_len);
    int done = uv_try_write((uv_stream_t *)&conn->tcp, &buf, 1);
    done = done < 0 ? 0 : done;
    conn->is_working = false;
    if ((size_t)done == conn->out_len) {
        free(conn->out);
        go_on(conn);
        return;
    }
    buf = uv_buf_init(conn->out + done, (unsigned)(conn->out_len - (size_t)done));
    conn->write.data = conn;
    bench_ok(uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &buf, 1, written), "libuv: write");
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *conn = (struct conn *)stream;
    (void)buf;
    if (n == 0)
        return;
    (void)uv_read_stop(stream);
    if (n < 0) {
        conn->has_ended = true;
        go_on(conn);
        return;
    }
    conn->in_len = (size_t)n;
    conn->work.data = conn;
    bench_ok(uv_queue_work(stream->loop, &conn->work, compress, compressed), "libuv: queue_work");
}

static void connected(uv_stream_t *listener, int status)
{
    struct conn *conn = calloc(1, sizeof *conn);
    bench_ok(conn ? status : UV_ENOMEM, "libuv: connection");
    bench_ok(uv_tcp_init(listener->loop, &conn->tcp), "libuv: connection");
    bench_ok(uv_accept(listener, (uv_stream_t *)&conn->tcp), "libuv: connection");
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    go_on(conn);
}

static void ping_received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    uv_buf_t out = uv_buf_init(buf->base, n > 0 ? (unsigned)n : 0);
    if (n < 0)
        uv_close((uv_handle_t *)stream, closed);
    else if (n > 0 && uv_try_write(stream, &out, 1) != (int)n)
        bench_fail("libuv: pings are not read");
}

static void ping_connected(uv_stream_t *listener, int status)
{
    struct conn *conn = calloc(1, sizeof *conn);
    bench_ok(conn ? status : UV_ENOMEM, "libuv: connection");
    bench_ok(uv_tcp_init(listener->loop, &conn->tcp), "libuv: connection");
    bench_ok(uv_accept(listener, (uv_stream_t *)&conn->tcp), "libuv: connection");
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    bench_ok(uv_read_start((uv_stream_t *)&conn->tcp, allocate, ping_received), "libuv: read");
}

static unsigned listen_on(uv_tcp_t *listener, uv_connection_cb connection)
{
    struct sockaddr_in address;
    int len = sizeof address;
    bench_ok(uv_ip4_addr("127.0.0.1", 0, &address), "libuv: listen");
    bench_ok(uv_tcp_init(uv_default_loop(), listener), "libuv: listen");
    bench_ok(uv_tcp_bind(listener, (struct sockaddr *)&address, 0), "libuv: listen");
    bench_ok(uv_listen((uv_stream_t *)listener, 1024, connection), "libuv: listen");
    bench_ok(uv_tcp_getsockname(listener, (struct sockaddr *)&address, &len), "libuv: listen");
    return ntohs(address.sin_port);
}

static void stop(uv_signal_t *signal, int number)
{
    (void)number;
    uv_stop(signal->loop);
}

static void serve(bool is_inline)
{
    static uv_tcp_t data, pings;
    static uv_signal_t signal;
    char threads[16];
    (void)is_inline;   /* no such variant of this peer */
    (void)snprintf(threads, sizeof threads, "%u", bench_cpus());
    (void)setenv("UV_THREADPOOL_SIZE", threads, 1);
    bench_ok(uv_signal_init(uv_default_loop(), &signal), "libuv: signal");
    bench_ok(uv_signal_start(&signal, stop, SIGTERM), "libuv: signal");
    unsigned port = listen_on(&data, connected);
    printf("port %u, ping port %u\n", port, listen_on(&pings, ping_connected));
    fflush(stdout);
    (void)uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    exit(0);
}

int main(int argc, char **argv)
{
    return bottleneck_main(argc, argv, serve);
}
