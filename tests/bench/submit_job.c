/* submit_job.c — empty tasks through the pool and back to the loop that submitted them.
 *
 * Each submitter is a thread with a loop and a window of tasks; a task that is done is submitted anew. Nothing is allocated on the way.
 */
#include <errno.h>
#include <job/job.h>
#include <pthread.h>

#include "submit.h"

/* At the beginning of a cache line, as include/job/task.h advises: a pool thread then touches one line of a task, not two. */
struct aligned_task {
    _Alignas(64) struct job_task task;
};

struct submitter {
    struct job_loop *loop;
    struct job_pool *pool;
    struct job_timer owner;      /* tasks are submitted for a handle; while it is armed the loop runs */
    struct aligned_task tasks[SUBMIT_WINDOW];   /* task.data counts how often each has run */
    uint64_t left;               /* to submit */
    uint64_t out;                /* submitted and not done */
    uint64_t ran;
    pthread_barrier_t *start;
    pthread_t thread;
};

static _Thread_local struct submitter *here;

static void run(struct job_task *task)
{
    task->data = (char *)task->data + 1;
}

static void submit(struct job_task *task)
{
    int err = job_submit(here->pool, task, &here->owner.handle);
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit);
    bench_ok(err, "job_submit");
}

static void done(struct job_task *task, int status)
{
    bench_ok(status, "done");
    if (here->left > 0) {
        here->left--;
        submit(task);
    } else if (--here->out == 0) {
        job_timer_close(&here->owner, NULL);
    }
}

static void never(struct job_timer *timer)
{
    (void)timer;
    bench_fail("an hour has passed");
}

static void *submitter_main(void *arg)
{
    struct submitter *submitter = here = arg;
    bench_ok(job_loop_run(submitter->loop), "job_loop_run");   /* binds the loop to this thread; nothing keeps it running yet */
    bench_ok(job_timer_open(submitter->loop, &submitter->owner, never), "job_timer_open");
    bench_ok(job_timer_start(&submitter->owner, 3600 * UINT64_C(1000000000)), "job_timer_start");
    (void)pthread_barrier_wait(submitter->start);
    for (unsigned i = 0; i < SUBMIT_WINDOW && submitter->left > 0; i++) {
        bench_ok(job_task_init(&submitter->tasks[i].task, submitter->pool, run, done), "job_task_init");
        submitter->left--;
        submitter->out++;
        submit(&submitter->tasks[i].task);
    }
    bench_ok(job_loop_run(submitter->loop), "job_loop_run");
    for (unsigned i = 0; i < SUBMIT_WINDOW; i++)
        submitter->ran += (uintptr_t)submitter->tasks[i].task.data;
    bench_ok(job_loop_close(&submitter->loop, 0), "job_loop_close");
    return NULL;
}

int main(int argc, char **argv)
{
    struct submit plan = submit_plan(argc, argv);
    struct job_runtime *runtime = NULL;
    struct job_pool *pool = NULL;
    pthread_barrier_t start;
    struct submitter *submitters = aligned_alloc(64, plan.submitters * sizeof *submitters);
    if (!submitters)
        bench_fail("no memory");
    memset(submitters, 0, plan.submitters * sizeof *submitters);
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = plan.workers}), "job_pool_open");
    (void)pthread_barrier_init(&start, NULL, plan.submitters + 1);
    for (unsigned i = 0; i < plan.submitters; i++) {
        struct submitter *submitter = &submitters[i];
        submitter->pool = pool;
        submitter->left = plan.each;
        submitter->start = &start;
        bench_ok(job_loop_open(runtime, &submitter->loop, NULL), "job_loop_open");
        bench_ok(-pthread_create(&submitter->thread, NULL, submitter_main, submitter), "pthread_create");
    }
    (void)pthread_barrier_wait(&start);
    submit_begin(&plan);
    uint64_t ran = 0;
    for (unsigned i = 0; i < plan.submitters; i++) {
        (void)pthread_join(submitters[i].thread, NULL);
        ran += submitters[i].ran;
    }
    submit_end(&plan, ran);
    bench_ok(job_pool_close(&pool), "job_pool_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    free(submitters);
    return 0;
}
