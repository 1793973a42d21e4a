/* deadline.c — the loop's deadlines: rounds of those that have passed. How they are kept is in wheel.c. */
#include "loop/deadline.h"

#include "loop/loop.h"

void deadline_set_within(struct job_loop *loop, struct deadline *deadline, uint64_t at_ns, uint64_t slack_ns)
{
    assert(deadline->passed);
    wheel_set(&loop->deadlines, deadline, at_ns, slack_ns);
}

void deadline_set(struct job_loop *loop, struct deadline *deadline, uint64_t at_ns)
{
    deadline_set_within(loop, deadline, at_ns, 0);
}

void deadline_clear(struct job_loop *loop, struct deadline *deadline)
{
    wheel_clear(&loop->deadlines, deadline);
}

void deadline_rest(struct job_loop *loop, struct deadline *deadline)
{
    wheel_rest(&loop->deadlines, deadline);
}

uint64_t deadlines_next_ns(struct job_loop *loop)
{
    return wheel_next_ns(&loop->deadlines);
}

void deadlines_fire(struct job_loop *loop)
{
    struct wheel *wheel = &loop->deadlines;
    uint64_t now = loop->now_ns;
    if (now < wheel->next_ns || !wheel_advance(wheel, now))
        return;
    wheel->after_ns = now;   /* what is set from now on waits for the next round */
    struct deadline *deadline;
    for (unsigned count = 0; count < TURN_TIMERS_MAX && (deadline = wheel_take(wheel, now)); count++)
        deadline->passed(deadline);
    wheel->after_ns = 0;
}
