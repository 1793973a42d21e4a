/* atomics_job.c — the inline accessors of a region, and its wait and notify. */
#include <job/job.h>
#include <pthread.h>

#include "atomics.h"

static struct job_region *shared;   /* the other thread's way to it */
static struct atomics_plan plan;

static void take_turns(struct job_region *region, uint32_t mine)
{
    for (uint64_t i = 0; i < plan.count / 2; i++) {
        uint32_t value = 0;
        while (job_region_load32(region, 0, &value) == 0 && value % 2 != mine)
            (void)job_region_wait32(region, 0, value, -1);
        (void)job_region_store32(region, 0, value + 1);
        (void)job_region_notify(region, 0, 1);
    }
}

static void *other(void *arg)
{
    (void)arg;
    take_turns(shared, 1);
    return NULL;
}

static void add_each(struct job_region *region, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        bench_ok(job_region_add64(region, 0, 3, NULL), "add");
}

static uint64_t load_each(const struct job_region *region, uint64_t count)
{
    uint64_t sum = 0, value = 0;
    for (uint64_t i = 0; i < count; i++) {
        bench_ok(job_region_load64(region, 0, &value), "load");
        sum += value;
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct job_runtime *runtime = NULL;
    struct job_region *region = NULL;
    uint64_t result = 0;
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_region_open(runtime, 64, &region), "job_region_open");
    plan = atomics_plan(argc, argv);
    if (plan.variant == ATOMICS_ADD) {
        add_each(region, plan.count);
        bench_ok(job_region_load64(region, 0, &result), "load");
    } else if (plan.variant == ATOMICS_LOAD) {
        bench_ok(job_region_store64(region, 0, 3), "store");
        result = load_each(region, plan.count);
    } else {
        pthread_t thread;
        shared = region;
        bench_ok(-pthread_create(&thread, NULL, other, NULL), "pthread_create");
        take_turns(region, 0);
        (void)pthread_join(thread, NULL);
        bench_ok(job_region_load64(region, 0, &result), "load");
    }
    atomics_end(&plan, result);
    job_region_release(&region);
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    return 0;
}
