/* timers_libuv.c — the same with uv_timer_t. Its times are whole milliseconds from the loop's cached time. */
#include <uv.h>

#include "timers.h"

static struct timers plan;
static uv_loop_t loop;
static uv_timer_t *timers;
static unsigned pushed;

static void fired(uv_timer_t *timer)
{
    plan.checksum += (uint64_t)(timer - timers) + 1;
}

static uint64_t within_ms(uint64_t ms)
{
    if (plan.what == TIMERS_CHURN)
        return ms;   /* none is to fire */
    return (timers_random(&plan) % (ms * 1000000)) / 1000000 + (plan.what == TIMERS_CANCEL) * 1000U;
}

static void arm_all(uint64_t ms)
{
    for (unsigned i = 0; i < plan.count; i++)
        bench_ok(uv_timer_start(&timers[i], fired, within_ms(ms), 0), "uv_timer_start");
}

static void cancel_all(void)
{
    for (unsigned i = 0; i < plan.count; i++) {
        uv_timer_t *timer = &timers[plan.order[i]];
        plan.checksum += uv_is_active((uv_handle_t *)timer) != 0;
        bench_ok(uv_timer_stop(timer), "uv_timer_stop");
    }
}

static void push_back(uv_idle_t *idle)
{
    for (unsigned i = 0; i < TIMERS_A_TURN; i++) {
        uint64_t which = timers_random(&plan) % plan.count;
        bench_ok(uv_timer_start(&timers[which], fired, TIMERS_IDLE_MS, 0), "uv_timer_start");
        plan.checksum += which;
    }
    pushed += TIMERS_A_TURN;
    if (pushed >= plan.pushes) {
        (void)uv_idle_stop(idle);
        uv_stop(&loop);
    }
}

int main(int argc, char **argv)
{
    plan = timers_plan(argc, argv);
    uv_idle_t idle;
    bench_ok(uv_loop_init(&loop), "uv_loop_init");
    bench_ok(uv_idle_init(&loop, &idle), "uv_idle_init");
    timers = calloc(plan.count, sizeof *timers);
    if (!timers)
        bench_fail("no memory");
    for (unsigned i = 0; i < plan.count; i++)
        bench_ok(uv_timer_init(&loop, &timers[i]), "uv_timer_init");
    timers_begin(&plan);
    if (plan.what == TIMERS_CANCEL) {
        arm_all(TIMERS_FAR_MS);
        cancel_all();
    } else if (plan.what == TIMERS_FIRE) {
        arm_all(TIMERS_NEAR_MS);
    } else {
        arm_all(TIMERS_IDLE_MS);
        bench_ok(uv_idle_start(&idle, push_back), "uv_idle_start");
    }
    bench_ok(uv_run(&loop, UV_RUN_DEFAULT), "uv_run");
    timers_end(&plan);
    for (unsigned i = 0; i < plan.count; i++)
        uv_close((uv_handle_t *)&timers[i], NULL);
    uv_close((uv_handle_t *)&idle, NULL);
    bench_ok(uv_run(&loop, UV_RUN_DEFAULT), "uv_run");
    bench_ok(uv_loop_close(&loop), "uv_loop_close");
    free(timers);
    free(plan.order);
    return 0;
}
