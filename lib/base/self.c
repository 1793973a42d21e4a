/* self.c — the library's one thread-local variable, and the one count that all runtimes of a process share. */
#include "base/self.h"

#include "base/atomic.h"
#include "base/root.h"

static atomic_u64 serials;   /* the last one that was given */

#ifdef JOB_SIM
/* In the checker every fiber is a thread. */
struct self *sim_self(void);

struct self *self(void)
{
    return sim_self();
}
#else
static _Thread_local struct self this_thread;

struct self *self(void)
{
    return &this_thread;
}
#endif

uint64_t self_serial(void)
{
    struct self *me = self();
    if (me->serial == 0)
        me->serial = fetch_add_relaxed(&serials, 1) + 1;   /* only different from all others: orders nothing */
    return me->serial;
}

const struct self *self_unless_forked(void)
{
    static const struct self nobody;
    const struct self *me = self();
    return me->root && root_is_forked(me->root) ? &nobody : me;
}
