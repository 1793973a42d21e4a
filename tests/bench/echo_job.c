/* echo_job.c — the echo server on libjob: the buf that the kernel filled goes out as it is. */
#include <job/job.h>

#include "echo.h"

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    if (job_stream_send(stream, in) < 0)
        job_stream_close(stream);
}

static void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    free(stream);
}

static void on_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};
    struct job_stream *stream = calloc(1, sizeof *stream);
    (void)listener;
    if (stream && job_stream_accept(stream, incoming, &events) < 0)
        free(stream);
}

static void serve(void)
{
    struct job_runtime *runtime;
    struct job_loop *loop;
    static struct job_listener listener;
    echo_check("runtime", job_runtime_open(&runtime, NULL));
    echo_check("loop", job_loop_open(runtime, &loop, NULL));
    echo_check("listen", job_listener_open(loop, &listener, NULL, on_connection));
    echo_listening(job_listener_port(&listener));
    echo_check("run", job_loop_run(loop));
}

int main(int argc, char **argv)
{
    return echo_main(argc, argv, serve);
}
