/* scenario_region.c — waiting for cells: a thread that blocks, a waiter on a loop, one that notifies, and a close, all at once. The cell is
 * stored and then notified: whoever waits for the old value is woken, or never waits. No time-out: a lost wake-up is a deadlock.
 * Tasks that wait are cancelled meanwhile, or their pool is stopped: the same, and the number of those woken stays exact.
 */
#include <errno.h>
#include <string.h>

#include "loop/loop.h"
#include "job/pool.h"
#include "job/task.h"
#include "memory/region.h"
#include "sim/world.h"

enum { GONE = 0x5a };

static struct job_region *region;
static struct job_loop *loop;
static struct job_region_waiter waiter;
static struct job_call call;
static unsigned told, closed, woken, notified;
static bool closes, has_waited, was_refused;

/* As an inline accessor does, but the checker may hold it back. */
static void store_cell(uint32_t value)
{
    store_seq_cst((uint32_t *)job_region_cell(region, 0, 4), value);
}

static uint32_t load_cell(void)
{
    return load_seq_cst((uint32_t *)job_region_cell(region, 0, 4));
}

static void blocking_thread(void *arg)
{
    (void)arg;
    while (load_cell() == 0) {
        int err = job_region_wait32(region, 0, 0, -1);
        assert(err == 0 || err == -EAGAIN);
        woken += err == 0;
    }
}

static void notifying_thread(void *arg)
{
    unsigned count = *(unsigned *)arg;
    store_cell(1);
    notified += (unsigned)job_region_notify(region, 0, count);
}

static void on_closed(struct job_region_waiter *gone)
{
    closed++;
    memset(gone, GONE, sizeof *gone);
}

static void on_woken(struct job_region_waiter *self_waiter, int status)
{
    assert(status == 0 && closed == 0);
    told++;
    job_region_waiter_close(self_waiter, on_closed);
}

/* On the loop: waits, and sometimes closes while the notification may be anywhere. */
static void begin(struct job_call *again)
{
    if (has_waited) {
        job_region_waiter_close(&waiter, on_closed);
        return;
    }
    has_waited = true;
    int err = job_region_waiter_wait32(&waiter, region, 0, 0, -1);
    assert(err == 0 || err == -EAGAIN);
    was_refused = err != 0;
    if (err != 0)
        job_region_waiter_close(&waiter, on_closed);
    else if (closes && job_loop_call(loop, again) != 0)
        sim_fail("the call is free");
}

static void loop_thread(void *arg)
{
    (void)arg;
    int err = job_loop_run(loop);
    assert(err == 0);
    err = job_loop_close(&loop, 0);
    assert(err == 0);
}

static void world_begin(void)
{
    world_open(64, 0, 0);
    told = closed = woken = notified = 0;
    closes = has_waited = was_refused = false;
    int err = job_region_open(world_runtime(), 64, &region);
    assert(err == 0);
    sim_label(job_region_cell(region, 0, 4), 64, "cells");
    sim_label(region_waitlist(region), sizeof(struct waitlist), "waitlist");
}

static unsigned all = 9, one = 1;

static void two_block(void)
{
    world_begin();
    sim_spawn(blocking_thread, NULL);
    sim_spawn(blocking_thread, NULL);
    sim_spawn(notifying_thread, &all);
}

static void check_exact(void)
{
    assert(woken == notified);   /* the number is exact */
    job_region_release(&region);
    world_close();
}

/* Two who wake one each. */
static void two_notify(void)
{
    world_begin();
    sim_spawn(blocking_thread, NULL);
    sim_spawn(blocking_thread, NULL);
    sim_spawn(notifying_thread, &one);
    sim_spawn(notifying_thread, &one);
}

static void begin_loop(void)
{
    world_begin();
    int err = job_loop_open(world_runtime(), &loop, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    err = job_region_waiter_open(loop, &waiter, on_woken);
    assert(err == 0);
    call = (struct job_call){.run = begin};
    err = job_loop_call(loop, &call);
    assert(err == 0);
    sim_spawn(loop_thread, NULL);
    sim_spawn(notifying_thread, &all);
}

static void loop_waits(void)
{
    begin_loop();
    sim_spawn(blocking_thread, NULL);
}

static void loop_closes(void)
{
    begin_loop();
    closes = true;
}

static void check_loop(void)
{
    assert(closed == 1);
    assert(told + woken == notified);
    assert(told == 1 || was_refused);
    job_region_release(&region);
    world_close();
}

static void check_closes(void)
{
    assert(closed == 1 && told <= notified);
    job_region_release(&region);
    world_close();
}

static struct job_pool *pool;
static struct job_task task;
static int task_result;
static int64_t task_timeout_ns;
static unsigned ended;

static void task_waits(struct job_task *self_task)
{
    (void)self_task;
    task_result = job_region_wait32(region, 0, 0, task_timeout_ns);
    woken += task_result == 0;
}

static void task_has_ended(struct job_task *self_task, int status)
{
    (void)self_task;
    assert(status == 0 || status == -ECANCELED);
    if (status != 0)
        task_result = -ECANCELED;   /* it was stopped before it began */
    ended++;
}

/* An inline pool: this fiber is the thread that runs the task. */
static void task_thread(void *arg)
{
    (void)arg;
    int err = job_submit(pool, &task, NULL);
    assert(err == 0 || err == -ECANCELED);
    ended += err != 0;
}

/* Until the task runs, or has ended. */
static void cancelling_thread(void *arg)
{
    (void)arg;
    while (load_relaxed(&ended) == 0 && job_task_cancel(&task) == -ENOENT)
        sim_relax();
}

static void stopping_thread(void *arg)
{
    (void)arg;
    job_pool_stop(pool);
}

static void begin_task(int64_t timeout_ns)
{
    world_begin();
    ended = 0;
    task_result = 1;
    task_timeout_ns = timeout_ns;
    int err = job_pool_open(world_runtime(), &pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE});
    assert(err == 0);
    err = job_task_init(&task, pool, task_waits, task_has_ended);
    assert(err == 0);
    sim_label(&task, sizeof task, "task");
    sim_spawn(task_thread, NULL);
}

static void only_a_cancel(void)
{
    begin_task(-1);
    sim_spawn(cancelling_thread, NULL);
}

static void only_a_stop(void)
{
    begin_task(-1);
    sim_spawn(stopping_thread, NULL);
}

static void cancel_and_notify(void)
{
    begin_task(-1);
    sim_spawn(cancelling_thread, NULL);
    sim_spawn(blocking_thread, NULL);
    sim_spawn(notifying_thread, &all);
}

static void cancel_notify_and_time_out(void)
{
    sim_time_outs = 2;
    begin_task(100 * (int64_t)(1 + sim_random(60)));   /* as many steps */
    sim_spawn(cancelling_thread, NULL);
    sim_spawn(notifying_thread, &all);
}

static void check_task(void)
{
    assert(ended == 1);
    assert(task_result == 0 || task_result == -EAGAIN || task_result == -ECANCELED || task_result == -ETIMEDOUT ||
           task_result == 1);
    assert(woken == notified);   /* who was stopped was not counted as woken */
    sim_time_outs = SIM_NO_TIME_OUTS;
    int err = job_pool_close(&pool);
    assert(err == 0);
    job_region_release(&region);
    world_close();
}

static void check_stopped(void)
{
    assert(task_result == -ECANCELED || task_result == 1);
    check_task();
}

static const char *const none[] = {NULL};
static const char *const task_marks[] = {"task_cancelled_while_running", NULL};
static const char *const late_marks[] = {"task_cancelled_while_running", "waitlist_notified_at_the_deadline", NULL};
static const char *const marks[] = {"waitlist_cell_has_changed", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"all_who_wait_are_woken_and_counted", two_block, check_exact, 150, 0, marks},
        {"two_who_wake_one_wake_two", two_notify, check_exact, 150, 0, marks},
        {"a_waiter_on_a_loop_is_told_once", loop_waits, check_loop, 200, 0, marks},
        {"a_waiter_that_closes_waits_for_its_mail", loop_closes, check_closes, 200, 0, marks},
        {"a_cancel_alone_ends_a_task_that_waits", only_a_cancel, check_stopped, 150, 0, task_marks},
        {"a_stop_alone_ends_a_task_that_waits", only_a_stop, check_stopped, 150, 0, none},
        {"a_task_that_is_cancelled_and_notified_is_counted_once", cancel_and_notify, check_task, 200, 0, late_marks},
        {"a_task_is_cancelled_notified_and_out_of_time", cancel_notify_and_time_out, check_task, 200, 0, late_marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
