/* echo_libuv.c — the echo server on libuv: uv_try_write() first, a write request only for what it did not take. */
#include <uv.h>

#include "echo.h"

static char bytes[65536];   /* a read is answered before the next one begins */

struct rest {
    uv_write_t request;
    char bytes[];
};

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    (void)handle;
    (void)size;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void closed(uv_handle_t *handle)
{
    free(handle);
}

static void written(uv_write_t *request, int status)
{
    if (status < 0 && !uv_is_closing((uv_handle_t *)request->handle))
        uv_close((uv_handle_t *)request->handle, closed);
    free(request);
}

static void write_rest(uv_stream_t *stream, const char *at, size_t len)
{
    struct rest *rest = malloc(sizeof *rest + len);
    echo_check("write", rest ? 0 : UV_ENOMEM);
    memcpy(rest->bytes, at, len);
    uv_buf_t buf = uv_buf_init(rest->bytes, (unsigned)len);
    echo_check("write", uv_write(&rest->request, stream, &buf, 1, written));
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n == 0)
        return;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, closed);
        return;
    }
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
    int done = uv_try_write(stream, &out, 1);
    if (done == UV_EAGAIN)
        done = 0;
    if (done < 0)
        uv_close((uv_handle_t *)stream, closed);
    else if (done < n)
        write_rest(stream, buf->base + done, (size_t)(n - done));
}

static void connected(uv_stream_t *listener, int status)
{
    uv_tcp_t *tcp = malloc(sizeof *tcp);
    echo_check("connection", tcp ? status : UV_ENOMEM);
    echo_check("connection", uv_tcp_init(listener->loop, tcp));
    echo_check("connection", uv_accept(listener, (uv_stream_t *)tcp));
    (void)uv_tcp_nodelay(tcp, 1);
    echo_check("connection", uv_read_start((uv_stream_t *)tcp, allocate, received));
}

static void serve(void)
{
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in address;
    int len = sizeof address;
    uv_tcp_t listener;
    echo_check("listen", uv_ip4_addr("127.0.0.1", 0, &address));
    echo_check("listen", uv_tcp_init(loop, &listener));
    echo_check("listen", uv_tcp_bind(&listener, (struct sockaddr *)&address, 0));
    echo_check("listen", uv_listen((uv_stream_t *)&listener, ECHO_BACKLOG, connected));
    echo_check("listen", uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len));
    echo_listening(ntohs(address.sin_port));
    (void)uv_run(loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, serve);
}
