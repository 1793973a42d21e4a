/* consumer.c — the smallest program of a user: a timer fires, submits a task, and the task comes back to the loop. */
#include <job/job.h>
#include <stdio.h>
#include <string.h>

const char *version_seen_by_cplusplus(void);

static struct job_pool *pool;
static struct job_timer timer;
static struct job_task task;
static int status_seen;

static void run(struct job_task *t)
{
    job_task_set_status(t, 42);
}

static void done(struct job_task *t, int status)
{
    (void)t;
    status_seen = status;
    job_timer_close(&timer, NULL);
}

static void fired(struct job_timer *t)
{
    if (job_submit(pool, &task, &t->handle) < 0)
        job_timer_close(t, NULL);
}

int main(void)
{
    struct job_runtime *runtime;
    struct job_loop *loop;

    if (job_runtime_open(&runtime, NULL) < 0 || job_loop_open(runtime, &loop, NULL) < 0 ||
        job_pool_open(runtime, &pool, NULL) < 0 || job_task_init(&task, pool, run, done) < 0 ||
        job_timer_open(loop, &timer, fired) < 0 || job_timer_start(&timer, 0) < 0)
        return 1;
    if (job_loop_run(loop) < 0 || job_loop_close(&loop, 0) < 0 || job_pool_close(&pool) < 0)
        return 1;
    printf("libjob %s: %s\n", job_version(), status_seen == 42 ? "a task came back" : "no task came back");
    return status_seen != 42 || job_runtime_close(&runtime) < 0 ||
           strcmp(job_version(), version_seen_by_cplusplus()) != 0;
}
