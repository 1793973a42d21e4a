/* roundtrip_libuv.c — uv_queue_work() with one thread, and its after-work callback. It cannot spin: both variants are one. */
#include <uv.h>

#include "roundtrip.h"

static struct roundtrip trip;
static uv_loop_t loop;

static void run(uv_work_t *work)
{
    (void)work;
    trip.value = roundtrip_next(trip.value);
}

static void done(uv_work_t *work, int status)
{
    bench_ok(status, "after work");
    if (roundtrip_mark(&trip))
        bench_ok(uv_queue_work(&loop, work, run, done), "uv_queue_work");
}

static void nothing(uv_work_t *work)
{
    (void)work;
}

/* The first work starts the thread, which stays where its starter is now. */
static void start_pool(void)
{
    uv_work_t first;
    (void)setenv("UV_THREADPOOL_SIZE", "1", 1);
    roundtrip_pin(trip.cpu_there);
    bench_ok(uv_queue_work(&loop, &first, nothing, NULL), "uv_queue_work");
    bench_ok(uv_run(&loop, UV_RUN_DEFAULT), "uv_run");
    roundtrip_pin(trip.cpu_here);
}

int main(int argc, char **argv)
{
    uv_work_t work;
    trip = roundtrip_plan(argc, argv);
    bench_ok(uv_loop_init(&loop), "uv_loop_init");
    start_pool();
    (void)roundtrip_mark(&trip);
    bench_ok(uv_queue_work(&loop, &work, run, done), "uv_queue_work");
    bench_ok(uv_run(&loop, UV_RUN_DEFAULT), "uv_run");
    roundtrip_end(&trip);
    bench_ok(uv_loop_close(&loop), "uv_loop_close");
    return 0;
}
