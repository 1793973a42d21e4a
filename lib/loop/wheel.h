/* wheel.h — which of many deadlines is next: constant time to set and to clear, exact to the ns, in order. Knows nothing of loops. */
#ifndef JOB_LOOP_WHEEL_H
#define JOB_LOOP_WHEEL_H

#include "base/limits.h"
#include "loop/deadline.h"

enum { WHEEL_TICK_BITS = 20, WHEEL_LEVEL_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_LEVEL_BITS, WHEEL_LEVELS = 8 };

_Static_assert(WHEEL_TICK_BITS + WHEEL_LEVELS * WHEEL_LEVEL_BITS >= 64, "every time has a bucket");

struct wheel {
    struct deadline *near;       /* a heap of those of the present tick and before */
    struct list buckets[WHEEL_LEVELS][WHEEL_SLOTS];   /* all others */
    uint64_t occupied[WHEEL_LEVELS];   /* a bit a bucket: clear only if that is empty */
    struct list opening;         /* a bucket whose time has come, not yet spread over the finer ones */
    uint64_t tick;               /* the present tick: what is later lies in a bucket */
    uint64_t order;              /* of the next that is set */
    uint64_t after_ns;           /* what is set from now on comes after this time; 0: no matter */
    uint64_t next_ns;            /* no deadline comes before this */
    bool is_next_known;          /* it is as good as can be */
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);

/* Sets it, also when it is set already: at `at_ns`, or up to `slack_ns` later where that shares a wake-up with others. A later
 * time than before costs no more than a store. */
void wheel_set(struct wheel *wheel, struct deadline *deadline, uint64_t at_ns, uint64_t slack_ns);

/* Takes it out. Harmless when it is not set. */
void wheel_clear(struct wheel *wheel, struct deadline *deadline);

/* The same, but one in a bucket is left there, and taken out when that is opened. Its memory stays in use until wheel_clear(). Short, and
 * inline: while the memory of one deadline comes, the CPU looks only so many instructions ahead for the next (docs/decisions/030). */
static inline void wheel_rest(struct wheel *wheel, struct deadline *deadline)
{
    if (deadline->place == DEADLINE_IN_HEAP)
        wheel_clear(wheel, deadline);
    if (deadline->at_ns == wheel->next_ns)   /* was it set later than its key, then that is forgotten already */
        wheel->is_next_known = false;
    deadline->at_ns = 0;
}

/* When to look next: no later than the next deadline; mostly just then. TIME_NEVER: none is set. */
uint64_t wheel_next_ns(struct wheel *wheel);

/* Goes on to this time. False: there was too much to sort; nothing may be taken yet, and more calls are needed. */
bool wheel_advance(struct wheel *wheel, uint64_t now_ns);

/* Takes the next one that is due, which is then no more set; NULL: none. After wheel_advance(). */
struct deadline *wheel_take(struct wheel *wheel, uint64_t now_ns);

#endif
