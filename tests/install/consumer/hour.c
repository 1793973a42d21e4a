/* hour.c — a user's test: a timer of an hour, in virtual time. */
#include <job/job.h>
#include <job/test.h>
#include <stdio.h>

static void fired(struct job_timer *timer)
{
    job_timer_close(timer, NULL);
}

int main(void)
{
    static const uint64_t hour_ns = 3600000000000;
    struct job_runtime *runtime;
    struct job_loop *loop;
    struct job_timer timer;

    job_test_begin(NULL);
    if (job_runtime_open(&runtime, NULL) < 0 || job_loop_open(runtime, &loop, NULL) < 0 ||
        job_timer_open(loop, &timer, fired) < 0 || job_timer_start(&timer, hour_ns) < 0)
        return 1;
    uint64_t begin_ns = job_test_now();
    if (job_loop_run(loop) < 0 || job_test_now() - begin_ns < hour_ns || job_loop_close(&loop, 0) < 0 ||
        job_runtime_close(&runtime) < 0)
        return 1;
    printf("libjob %s: a task came back\n", job_version());
    return 0;
}
