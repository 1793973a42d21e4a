/* transfer_job.c — a buf in a message to a worker, and an empty message back; the buf is the same every time. */
#include <job/job.h>

#include "bench.h"

enum { ROUNDS = 5000 };

static struct job_loop *loop;
static struct job_buf *buf;
static struct job_worker worker;
static uint32_t samples[ROUNDS];
static unsigned rounds = ROUNDS, round_now;
static uint64_t begin_ns, first_ns, sum;

static void answer(struct job_inside *inside, struct job_message *message)
{
    struct job_buf *got = job_message_take_buf(message, 0);
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &got};
    ((unsigned char *)job_buf_data(got))[0]++;
    bench_ok(job_inside_post(inside, &(struct job_post){.items = &item, .count = 1}), "answer");
}

static const struct job_inside_events inside_events = {.message = answer};

static void serve(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    bench_ok(job_inside_listen(inside, &inside_events), "job_inside_listen");
    bench_ok(job_inside_post(inside, &(struct job_post){0}), "ready");
}

static void next(struct job_worker *to)
{
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    begin_ns = bench_now_ns();
    bench_ok(job_worker_post(to, &(struct job_post){.items = &item, .count = 1}), "post");
}

static void on_message(struct job_worker *from, struct job_message *message)
{
    if (job_message_count(message) == 0) {   /* it is ready */
        first_ns = bench_now_ns();
        next(from);
        return;
    }
    samples[round_now] = (uint32_t)(bench_now_ns() - begin_ns);
    buf = job_message_take_buf(message, 0);
    sum += *(unsigned char *)job_buf_data(buf);
    if (++round_now < rounds)
        next(from);
    else
        bench_ok(job_worker_stop(from), "job_worker_stop");
}

static const struct job_worker_events events = {.message = on_message};

int main(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct job_runtime *runtime = NULL;
    size_t bytes = strcmp(bench.variant, "64MiB") == 0 ? 64U << 20 : strcmp(bench.variant, "1MiB") == 0 ? 1U << 20 : 4000;
    size_t room;
    if (bench.is_smoke)
        rounds = 50;
    struct job_worker_options options = {.channel = {.bytes_max = 256U << 20}};
    bench_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.memory_limit_bytes = 512U << 20}), "job_runtime_open");
    bench_ok(job_loop_open(runtime, &loop, NULL), "job_loop_open");
    bench_ok(job_buf_alloc(job_runtime_arena(runtime), bytes, NULL, &buf), "job_buf_alloc");
    memset(job_buf_room(buf, &room), 0, bytes);
    bench_ok(job_buf_extend(buf, bytes), "job_buf_extend");
    bench_ok(job_worker_open(loop, &worker, serve, &options, &events), "job_worker_open");
    bench_ok(job_loop_run(loop), "job_loop_run");
    bench_metric("mean_us", (double)(bench_now_ns() - first_ns) / rounds / 1000);
    bench_sort(samples, rounds);
    bench_metric("p50_us", bench_percentile(samples, rounds, 50) / 1000);
    bench_checksum(sum);
    job_buf_free(&buf);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    return 0;
}
