/* roundtrip_job.c — a task to a pool of one worker, and its completion on the loop. */
#include <job/job.h>

#include "roundtrip.h"

struct traveller {
    struct job_task task;
    struct job_pool *pool;
    struct job_timer owner;      /* tasks are submitted for a handle */
    struct roundtrip trip;
};

static void run(struct job_task *task)
{
    struct roundtrip *trip = &job_container_of(task, struct traveller, task)->trip;
    trip->value = roundtrip_next(trip->value);
}

static void done(struct job_task *task, int status)
{
    struct traveller *traveller = job_container_of(task, struct traveller, task);
    bench_ok(status, "done");
    if (roundtrip_mark(&traveller->trip))
        bench_ok(job_submit(traveller->pool, task, &traveller->owner.handle), "job_submit");
    else
        job_timer_close(&traveller->owner, NULL);
}

static void never(struct job_timer *timer)
{
    (void)timer;
}

static struct job_pool *open_pool(struct job_runtime *runtime, const struct roundtrip *trip)
{
    uint64_t mask[16] = {0};
    struct job_pool_options options = {.workers = 1, .no_spin = !trip->is_spun};
    if (trip->cpu_there >= 0 && trip->cpu_there < 1024) {
        mask[trip->cpu_there / 64] = UINT64_C(1) << (trip->cpu_there % 64);
        options.affinity = mask;
        options.affinity_words = 16;
    }
    struct job_pool *pool = NULL;
    bench_ok(job_pool_open(runtime, &pool, &options), "job_pool_open");
    return pool;
}

int main(int argc, char **argv)
{
    struct traveller traveller = {.trip = roundtrip_plan(argc, argv)};
    struct roundtrip *trip = &traveller.trip;
    struct job_runtime *runtime = NULL;
    struct job_loop *loop = NULL;
    bool is_together = trip->cpu_here == trip->cpu_there;
    if (is_together)
        roundtrip_pin(trip->cpu_here);   /* before all: the library sees that there is one CPU, where spinning cannot pay */
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    traveller.pool = open_pool(runtime, trip);
    bench_ok(job_loop_open(runtime, &loop, &(struct job_loop_options){.no_spin = !trip->is_spun}), "job_loop_open");
    roundtrip_pin(trip->cpu_here);
    bench_ok(job_timer_open(loop, &traveller.owner, never), "job_timer_open");
    bench_ok(job_task_init(&traveller.task, traveller.pool, run, done), "job_task_init");
    (void)job_loop_run(loop);            /* binds the loop to this thread; there is nothing to do yet */
    (void)roundtrip_mark(trip);
    bench_ok(job_submit(traveller.pool, &traveller.task, &traveller.owner.handle), "job_submit");
    bench_ok(job_loop_run(loop), "job_loop_run");
    roundtrip_end(trip);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    bench_ok(job_pool_close(&traveller.pool), "job_pool_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    return 0;
}
