/* stopped.c — a loop with a timer, a stream and a queued task, that calls stop_here() in a callback while another task runs. */
#include <job/job.h>
#include <stdlib.h>
#include <sys/socket.h>

void stop_here(void);

struct job_task running, queued;
struct job_loop *loop;

static struct job_pool *pool;
static struct job_stream stream;
static struct job_timer timer;
static struct job_region *region;

static void hold(struct job_task *task)
{
    (void)task;
    job_region_store32(region, 0, 1);
    job_region_notify(region, 0, 1);
    (void)job_region_wait32(region, 4, 0, -1);
}

static void compute(struct job_task *task)
{
    (void)task;
}

static void computed(struct job_task *task, int status)
{
    (void)status;
    if (task == &queued) {
        job_timer_close(&timer, NULL);
        job_stream_close(&stream);
    }
}

static void on_data(struct job_stream *s, struct job_buf **in)
{
    (void)s;
    (void)in;
}

__attribute__((noinline)) void stop_here(void)
{
    __asm__ volatile("");
}

static void check(int err)
{
    if (err < 0)
        exit(1);
}

static void fired(struct job_timer *t)
{
    struct job_buf *buf = NULL;
    uint32_t begun = 0;
    check(job_submit(pool, &running, &t->handle));
    while (begun == 0)
        check(job_region_load32(region, 0, &begun));
    check(job_buf_alloc(t->handle.data, 100, NULL, &buf));
    check(job_buf_write(buf, "a dozen byte", 12));
    check(job_task_give(&queued, &buf));
    check(job_submit(pool, &queued, &t->handle));
    stop_here();
    job_region_store32(region, 4, 1);
    job_region_notify(region, 4, 1);
}

int main(void)
{
    static const struct job_stream_events events = {.data = on_data};
    struct job_runtime *runtime = NULL;
    int pair[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    check(job_runtime_open(&runtime, &(struct job_runtime_options){.memory_limit_bytes = 16 << 20}));
    check(job_loop_open(runtime, &loop, &(struct job_loop_options){.name = "watched"}));
    check(job_pool_open(runtime, &pool, &(struct job_pool_options){.name = "compute", .workers = 1}));
    check(job_region_open(runtime, 8, &region));
    check(job_task_init(&running, pool, hold, computed));
    check(job_task_init(&queued, pool, compute, computed));
    check(job_stream_adopt(loop, &stream, pair[0], &events));
    check(job_timer_open(loop, &timer, fired));
    timer.handle.data = job_runtime_arena(runtime);
    check(job_timer_start(&timer, 1000000));
    check(job_loop_run(loop));
    return 0;
}
