/* self.c — the library's one thread-local variable. */
#include "base/self.h"

#include "base/root.h"

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

const struct self *self_unless_forked(void)
{
    static const struct self nobody;
    const struct self *me = self();
    return me->root && root_is_forked(me->root) ? &nobody : me;
}
