/* timer.c — a deadline (loop/wheel.c) with a handle of its own, which may repeat.
 *
 * All deadlines of a loop share one in the engine's wait: a kernel time-out for each would cost 750 ns to arm and 370 to cancel.
 *
 * A repeating timer is armed anew before its callback is called, for the first multiple of its interval that is later than the time of
 * the round: so it neither drifts nor catches up, and whatever the callback does with it is the last word.
 */
#include <errno.h>

#include "loop/deadline.h"
#include "loop/handle.h"

static struct deadline *deadline_of(struct job_timer *timer)
{
    return (struct deadline *)timer->job_deadline;
}

static void arm(struct job_timer *timer, uint64_t at_ns)
{
    deadline_set_within(timer->handle.job_loop, deadline_of(timer), at_ns, timer->job_slack_ns);
    handle_set_idle(&timer->handle, false);
}

/* How many times have passed since the one that was due, and arms it for the next. */
static void arm_next(struct job_timer *timer, uint64_t now_ns)
{
    assert(now_ns >= timer->job_tick_ns);
    timer->job_missed = (now_ns - timer->job_tick_ns) / timer->job_interval_ns;
    uint64_t last = timer->job_tick_ns + timer->job_missed * timer->job_interval_ns;   /* not later than now */
    timer->job_tick_ns = time_after(last, timer->job_interval_ns);
    arm(timer, timer->job_tick_ns);
}

static void passed(struct deadline *deadline)
{
    struct job_timer *timer = container_of(deadline, struct job_timer, job_deadline);
    struct job_loop *loop = timer->handle.job_loop;
    if (timer->job_interval_ns > 0)
        arm_next(timer, loop->deadlines.after_ns);   /* the time of this round */
    else
        handle_set_idle(&timer->handle, true);
    line_count(loop->line, COUNTER_TIMERS, 1);
    LOOP_CALL(loop, timer->job_fired, (timer));
}

static void timer_closing(struct job_handle *handle)
{
    struct job_timer *timer = container_of(handle, struct job_timer, handle);
    deadline_clear(handle->job_loop, deadline_of(timer));
}

static void timer_closed(struct job_handle *handle)
{
    struct job_timer *timer = container_of(handle, struct job_timer, handle);
    HANDLE_TELL_CLOSED(timer, timer->job_on_closed);
}

static const struct handle_kind timer_kind = {.name = "timer", .close = timer_closing, .closed = timer_closed};

int job_timer_open(struct job_loop *loop, struct job_timer *timer, void (*fired)(struct job_timer *timer))
{
    if (!loop || !timer || !fired)
        return -EINVAL;
    int err = handle_open(loop, &timer->handle, sizeof *timer, &timer_kind);
    if (err < 0)
        return err;
    deadline_of(timer)->passed = passed;
    handle_set_idle(&timer->handle, true);   /* it keeps the loop alive while it is armed */
    timer->job_fired = fired;
    return 0;
}

static int check_start(const struct job_timer *timer)
{
    return timer ? handle_check(&timer->handle) : -EINVAL;
}

static void arm_once(struct job_timer *timer, uint64_t due_ns)
{
    timer->job_interval_ns = 0;
    timer->job_missed = 0;
    arm(timer, due_ns);
}

int job_timer_start_at(struct job_timer *timer, uint64_t due_ns)
{
    int err = check_start(timer);
    if (err == 0)
        arm_once(timer, due_ns);
    return err;
}

/* Not the loop's cached time: a timer armed at the end of a long callback would be early. */
static uint64_t due_after(const struct job_timer *timer, uint64_t timeout_ns)
{
    return time_after(timer->handle.job_loop->root->now_ns(), timeout_ns);
}

int job_timer_start(struct job_timer *timer, uint64_t timeout_ns)
{
    int err = check_start(timer);
    if (err == 0)
        arm_once(timer, due_after(timer, timeout_ns));
    return err;
}

int job_timer_start_repeating(struct job_timer *timer, uint64_t first_ns, uint64_t interval_ns)
{
    int err = check_start(timer);
    if (err < 0)
        return err;
    if (interval_ns == 0)
        return -EINVAL;
    timer->job_interval_ns = interval_ns;
    timer->job_missed = 0;
    timer->job_tick_ns = due_after(timer, first_ns);
    arm(timer, timer->job_tick_ns);
    return 0;
}

uint64_t job_timer_missed(const struct job_timer *timer)
{
    return timer ? timer->job_missed : 0;
}

void job_timer_set_slack(struct job_timer *timer, uint64_t slack_ns)
{
    if (timer && handle_is_open(&timer->handle) && handle_is_here(&timer->handle, "job_timer_set_slack"))
        timer->job_slack_ns = slack_ns;
}

void job_timer_stop(struct job_timer *timer)
{
    if (!job_timer_is_armed(timer) || !handle_is_here(&timer->handle, "job_timer_stop"))
        return;
    deadline_rest(timer->handle.job_loop, deadline_of(timer));
    handle_set_idle(&timer->handle, true);
}

bool job_timer_is_armed(const struct job_timer *timer)
{
    return timer && ((const struct deadline *)timer->job_deadline)->at_ns != 0;
}

void job_timer_close(struct job_timer *timer, void (*closed)(struct job_timer *timer))
{
    if (!timer || !handle_may_close(&timer->handle))
        return;
    timer->job_on_closed = closed;
    (void)handle_close(&timer->handle);
}
