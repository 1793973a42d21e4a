/* shed_job.c — an open loop of tasks, twice what one worker can do, from a timer of 1 ms. fifo: the default limit of 1024; short: a limit
 * of 64, which suits the small tasks; shed: the default limit and a target of 5 ms. */
#include <errno.h>
#include <job/job.h>

#include "bench.h"

enum { GOOD_NS = 50000000, SECONDS = 2 };

struct request {
    struct job_task task;
    uint64_t begin_ns;
};

static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer ticker;
static struct request *requests;
static uint32_t *run_us;
static uint64_t cost_ns, good, run, arrived, ended, total;
static unsigned tenths_a_tick;   /* arrivals a ms, in tenths */

static void compute(struct job_task *task)
{
    (void)task;
    for (uint64_t end = bench_now_ns() + cost_ns; bench_now_ns() < end;) {
    }
}

static void answered(void)
{
    if (++ended == total)
        job_timer_close(&ticker, NULL);
}

static void done(struct job_task *task, int status)
{
    uint64_t took = bench_now_ns() - job_container_of(task, struct request, task)->begin_ns;
    if (status == 0) {
        run_us[run++] = (uint32_t)(took / 1000);
        good += took <= GOOD_NS;
    }
    answered();
}

static void arrive(void)
{
    struct request *request = &requests[arrived++];
    request->begin_ns = bench_now_ns();
    bench_ok(job_task_init(&request->task, pool, compute, done), "job_task_init");
    int err = job_submit(pool, &request->task, &ticker.handle);
    if (err == -EAGAIN)
        answered();   /* a client that is told so at once */
    else
        bench_ok(err, "job_submit");
}

static void tick(struct job_timer *timer)
{
    static uint64_t ticks;
    ticks += 1 + job_timer_missed(timer);
    while (arrived < total && arrived * 10 < ticks * tenths_a_tick)
        arrive();
}

int main(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct job_runtime *runtime = NULL;
    struct job_pool_options options = {.workers = 1};
    const char *dash = strchr(bench.variant, '-');
    bool is_large = strncmp(bench.variant, "large", 5) == 0;
    if (!dash || (!is_large && strncmp(bench.variant, "small", 5) != 0))
        bench_fail("variants: small-shed small-fifo small-short large-shed large-fifo large-short");
    if (strcmp(dash, "-shed") == 0)
        options.shed_target_ns = 5000000;
    else if (strcmp(dash, "-short") == 0)
        options.queue_limit = 64;
    cost_ns = is_large ? 5000000 : 500000;
    tenths_a_tick = is_large ? 4 : 40;
    total = bench.is_smoke ? 40 : (uint64_t)SECONDS * 1000 * tenths_a_tick / 10;
    requests = calloc(total, sizeof *requests);
    run_us = calloc(total, sizeof *run_us);
    if (!requests || !run_us)
        bench_fail("no memory");
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_loop_open(runtime, &loop, NULL), "job_loop_open");
    bench_ok(job_pool_open(runtime, &pool, &options), "job_pool_open");
    bench_ok(job_timer_open(loop, &ticker, tick), "job_timer_open");
    bench_ok(job_timer_start_repeating(&ticker, 1000000, 1000000), "job_timer_start_repeating");
    uint64_t begin = bench_now_ns();
    bench_ok(job_loop_run(loop), "job_loop_run");
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    bench_sort(run_us, run);
    bench_metric("good_per_s", (double)good / seconds);
    bench_metric("run_p99_ms", bench_percentile(run_us, run, 99) / 1000);
    bench_metric("run_per_s", (double)run / seconds);
    bench_checksum(ended);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    bench_ok(job_pool_close(&pool), "job_pool_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    free(requests);
    free(run_us);
    return 0;
}
