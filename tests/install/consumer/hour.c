/* hour.c — a user's test: a message between two ports of a loop, and a timer of an hour, in virtual time. */
#include <job/job.h>
#include <job/test.h>
#include <stdio.h>

static void fired(struct job_timer *timer)
{
    job_timer_close(timer, NULL);
}

static unsigned messages;

static void received(struct job_port *port, struct job_message *message)
{
    (void)message;
    messages++;
    job_port_close(port);
}

static int post_one(struct job_runtime *runtime, struct job_loop *loop, struct job_port *from, struct job_port *to)
{
    static const struct job_port_events events = {.message = received};
    struct job_end *ends[2];
    if (job_channel_open(runtime, &ends[0], &ends[1], NULL) < 0 || job_port_open(loop, from, &ends[0], &events) < 0 ||
        job_port_open(loop, to, &ends[1], &events) < 0)
        return -1;
    return job_port_post(from, &(struct job_post){.bytes = "x", .len = 1});
}

int main(void)
{
    static const uint64_t hour_ns = 3600000000000;
    struct job_runtime *runtime;
    struct job_loop *loop;
    struct job_timer timer;
    struct job_port from, to;

    job_test_begin(NULL);
    if (job_runtime_open(&runtime, NULL) < 0 || job_loop_open(runtime, &loop, NULL) < 0 ||
        job_timer_open(loop, &timer, fired) < 0 || job_timer_start(&timer, hour_ns) < 0 ||
        post_one(runtime, loop, &from, &to) < 0)
        return 1;
    uint64_t begin_ns = job_test_now();
    if (job_loop_run(loop) < 0 || messages != 1 || job_test_now() - begin_ns < hour_ns ||
        job_loop_close(&loop, 0) < 0 || job_runtime_close(&runtime) < 0)
        return 1;
    printf("libjob %s: a task came back\n", job_version());
    return 0;
}
