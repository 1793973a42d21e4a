/* worker_start_job.c — from job_worker_open() to `message`, on the parent's loop; then the next one. */
#include <job/job.h>

#include "worker_start.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_worker worker, idle[START_IDLE + 1];
static uint32_t samples[START_ROUNDS];
static unsigned rounds, round_now, idle_count;
static uint64_t begin_ns;
static double before_kib, idle_kib;

static void first_message(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    bench_ok(job_inside_post(inside, &(struct job_post){.bytes = "x", .len = 1}), "job_inside_post");
}

static void stays(struct job_inside *inside, struct job_message *start)
{
    static const struct job_inside_events events = {0};
    bench_ok(job_inside_listen(inside, &events), "job_inside_listen");
    first_message(inside, start);
}

static void on_message(struct job_worker *from, struct job_message *message)
{
    (void)from, (void)message;
    samples[round_now] = (uint32_t)(bench_now_ns() - begin_ns);
}

static void start(void);

static void on_closed(struct job_worker *from)
{
    (void)from;
    if (++round_now < rounds)
        start();
}

static const struct job_worker_events events = {.message = on_message, .closed = on_closed};

static void start(void)
{
    begin_ns = bench_now_ns();
    bench_ok(job_worker_open(loop, &worker, first_message, NULL, &events), "job_worker_open");
}

static void on_idle(struct job_worker *from, struct job_message *message);

static const struct job_worker_events idle_events = {.message = on_idle};

static void on_idle(struct job_worker *from, struct job_message *message)
{
    (void)from, (void)message;
    if (++idle_count == 1) {   /* what the first one needs, others share: it is not counted */
        before_kib = start_resident_kib();
        for (unsigned i = 1; i <= START_IDLE; i++)
            bench_ok(job_worker_open(loop, &idle[i], stays, NULL, &idle_events), "job_worker_open");
    }
    if (idle_count <= START_IDLE)
        return;
    idle_kib = (start_resident_kib() - before_kib) / START_IDLE;
    for (unsigned i = 0; i <= START_IDLE; i++)
        bench_ok(job_worker_stop(&idle[i]), "job_worker_stop");
}

int main(int argc, char **argv)
{
    rounds = start_rounds(argc, argv);
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_loop_open(runtime, &loop, NULL), "job_loop_open");
    bench_ok(job_worker_open(loop, &idle[0], stays, NULL, &idle_events), "job_worker_open");
    bench_ok(job_loop_run(loop), "job_loop_run");
    start();
    bench_ok(job_loop_run(loop), "job_loop_run");
    start_end(samples, rounds, idle_kib);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    return 0;
}
