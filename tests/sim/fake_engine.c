/* fake_engine.c — an engine without a kernel, for loops that only wait for mail: wait() sleeps until wake(), whose signals it counts. */
#include <stdlib.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "sim/sim.h"

struct fake_engine {
    struct engine base;
    uint64_t signals, woken;
    unsigned false_alarms;   /* waits that may end by themselves */
};

static int fake_open(struct root *root, const struct engine_options *options, struct engine **engine)
{
    (void)options;
    struct fake_engine *fake = alloc_zeroed(root, sizeof *fake);
    assert(fake);
    fake->base.type = &engine_ring;
    fake->base.root = root;
    fake->false_alarms = 1;
    *engine = &fake->base;
    return 0;
}

static int fake_start(struct engine *engine, struct op *op)
{
    (void)engine;
    (void)op;
    sim_fail("this engine has no operations");
}

static void fake_cancel(struct engine *engine, struct op *op)
{
    (void)fake_start(engine, op);
}

static bool has_signal(void *engine)
{
    return ((struct fake_engine *)engine)->signals > 0;
}

static int fake_wait(struct engine *engine, uint64_t deadline_ns, struct completion *ready, unsigned max)
{
    (void)ready;
    (void)max;
    struct fake_engine *fake = (struct fake_engine *)engine;
    sim_system_call();
    if (deadline_ns > 0) {   /* no deadline is ever reached: a lost wake-up must hang */
        if (fake->false_alarms > 0 && sim_random(4) == 1)
            fake->false_alarms--;
        else
            sim_wait_until(has_signal, fake);
    }
    fake->woken += fake->signals;
    fake->signals = 0;
    return 0;
}

static void fake_wake(struct engine *engine)
{
    struct fake_engine *fake = (struct fake_engine *)engine;
    sim_system_call();
    assert(engine->type == &engine_ring);   /* freed memory is filled with something else */
    fake->signals++;
}

static uint64_t fake_woken(struct engine *engine)
{
    return ((struct fake_engine *)engine)->woken;
}

static unsigned fake_close(struct engine *engine)
{
    alloc_free(engine->root, engine);
    return 0;
}

static void fake_each(struct engine *engine, void (*fn)(struct op *op, void *arg), void *arg)
{
    (void)engine;
    (void)fn;
    (void)arg;
}

const struct engine_type engine_ring = {
    .name = "fake",
    .open = fake_open,
    .start = fake_start,
    .cancel = fake_cancel,
    .wait = fake_wait,
    .wake = fake_wake,
    .woken = fake_woken,
    .close = fake_close,
    .each = fake_each,
};
