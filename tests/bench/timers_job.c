/* timers_job.c — job_timer. Each start reads the clock, so that none is early; cancel-cached counts from the loop's cached time, as libuv
 * does always. */
#include <job/job.h>

#include "timers.h"

static struct timers plan;
static struct job_loop *loop;
static struct job_timer *timers;
static unsigned pushed;

static void fired(struct job_timer *timer)
{
    plan.checksum += (uint64_t)(timer - timers) + 1;
}

static uint64_t within(uint64_t ms)
{
    if (plan.what == TIMERS_CHURN)
        return ms * 1000000;   /* none is to fire */
    return (timers_random(&plan) % (ms * 1000000)) + (plan.what == TIMERS_CANCEL) * UINT64_C(1000000000);
}

static void arm_all(uint64_t ms)
{
    for (unsigned i = 0; i < plan.count; i++) {
        uint64_t after = within(ms);
        bench_ok(plan.is_cached ? job_timer_start_at(&timers[i], job_loop_now(loop) + after)
                                : job_timer_start(&timers[i], after), "job_timer_start");
    }
}

static void cancel_all(void)
{
    for (unsigned i = 0; i < plan.count; i++) {
        struct job_timer *timer = &timers[plan.order[i]];
        plan.checksum += job_timer_is_armed(timer);
        job_timer_stop(timer);
    }
}

static void push_back(struct job_call *call)
{
    for (unsigned i = 0; i < TIMERS_A_TURN; i++) {
        uint64_t which = timers_random(&plan) % plan.count;
        bench_ok(job_timer_start(&timers[which], TIMERS_IDLE_MS * UINT64_C(1000000)), "job_timer_start");
        plan.checksum += which;
    }
    pushed += TIMERS_A_TURN;
    if (pushed < plan.pushes)
        bench_ok(job_loop_call(loop, call), "job_loop_call");
    else
        job_loop_stop(loop);
}

int main(int argc, char **argv)
{
    plan = timers_plan(argc, argv);
    struct job_runtime *runtime = NULL;
    struct job_call call = {.run = push_back};
    bench_ok(job_runtime_open(&runtime, NULL), "job_runtime_open");
    bench_ok(job_loop_open(runtime, &loop, NULL), "job_loop_open");
    timers = calloc(plan.count, sizeof *timers);
    if (!timers)
        bench_fail("no memory");
    for (unsigned i = 0; i < plan.count; i++)
        bench_ok(job_timer_open(loop, &timers[i], fired), "job_timer_open");
    timers_begin(&plan);
    if (plan.what == TIMERS_CANCEL) {
        arm_all(TIMERS_FAR_MS);
        cancel_all();
    } else if (plan.what == TIMERS_FIRE) {
        arm_all(TIMERS_NEAR_MS);
    } else {
        arm_all(TIMERS_IDLE_MS);
        bench_ok(job_loop_call(loop, &call), "job_loop_call");
    }
    bench_ok(job_loop_run(loop), "job_loop_run");
    timers_end(&plan);
    bench_ok(job_loop_close(&loop, 0), "job_loop_close");
    bench_ok(job_runtime_close(&runtime), "job_runtime_close");
    free(timers);
    free(plan.order);
    return 0;
}
