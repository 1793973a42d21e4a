/* submit_libuv.c — the same with uv_queue_work(): requests are re-used, the after-work callback submits anew. */
#include <pthread.h>
#include <uv.h>

#include "submit.h"

struct submitter {
    uv_loop_t loop;
    uv_work_t works[SUBMIT_WINDOW];   /* work.data counts how often each has run */
    uint64_t left;
    uint64_t ran;
    pthread_barrier_t *start;
    pthread_t thread;
};

static void run(uv_work_t *work)
{
    work->data = (char *)work->data + 1;
}

static void done(uv_work_t *work, int status)
{
    struct submitter *submitter = (struct submitter *)work->loop;   /* its first member */
    bench_ok(status, "after work");
    if (submitter->left == 0)
        return;
    submitter->left--;
    bench_ok(uv_queue_work(&submitter->loop, work, run, done), "uv_queue_work");
}

static void *submitter_main(void *arg)
{
    struct submitter *submitter = arg;
    (void)pthread_barrier_wait(submitter->start);
    for (unsigned i = 0; i < SUBMIT_WINDOW && submitter->left > 0; i++) {
        submitter->left--;
        bench_ok(uv_queue_work(&submitter->loop, &submitter->works[i], run, done), "uv_queue_work");
    }
    bench_ok(uv_run(&submitter->loop, UV_RUN_DEFAULT), "uv_run");
    for (unsigned i = 0; i < SUBMIT_WINDOW; i++)
        submitter->ran += (uintptr_t)submitter->works[i].data;
    return NULL;
}

/* The thread pool is the process's: it is started by the first work, before the clock runs. */
static void start_pool(unsigned workers)
{
    char text[16];
    struct submitter *first = calloc(1, sizeof *first);
    if (!first)
        bench_fail("no memory");
    (void)snprintf(text, sizeof text, "%u", workers);
    (void)setenv("UV_THREADPOOL_SIZE", text, 1);
    bench_ok(uv_loop_init(&first->loop), "uv_loop_init");
    bench_ok(uv_queue_work(&first->loop, &first->works[0], run, done), "uv_queue_work");
    bench_ok(uv_run(&first->loop, UV_RUN_DEFAULT), "uv_run");
    bench_ok(uv_loop_close(&first->loop), "uv_loop_close");
    free(first);
}

int main(int argc, char **argv)
{
    struct submit plan = submit_plan(argc, argv);
    pthread_barrier_t start;
    struct submitter *submitters = calloc(plan.submitters, sizeof *submitters);
    if (!submitters)
        bench_fail("no memory");
    start_pool(plan.workers);
    (void)pthread_barrier_init(&start, NULL, plan.submitters + 1);
    for (unsigned i = 0; i < plan.submitters; i++) {
        struct submitter *submitter = &submitters[i];
        submitter->left = plan.each;
        submitter->start = &start;
        bench_ok(uv_loop_init(&submitter->loop), "uv_loop_init");
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
    for (unsigned i = 0; i < plan.submitters; i++)
        bench_ok(uv_loop_close(&submitters[i].loop), "uv_loop_close");
    free(submitters);
    return 0;
}
