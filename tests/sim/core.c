/* core.c — fibers, the buffers in which their stores wait, and everything that blocks.
 *
 * Store buffers. A store writes memory at once and remembers what was below. When its fiber is switched away, the pending values are
 * taken back, newest first; when it runs again they are laid over memory once more, oldest first. So the running fiber sees all of its
 * own stores, by atomic and by plain accesses, and the others see none that is pending; no access has to look anything up. A store
 * becomes visible when it leaves the front of the list: at a random moment, at a read-modify-write, fence or system call of its fiber,
 * when the buffer is full, after STORE_AGE_MAX points, or when nobody else can go on. That goes on after the fiber's end.
 *
 * A plain store is visible at once: only the order among atomic accesses is explored. ThreadSanitizer covers the rest.
 */
#include "sim/core.h"

#include <stdio.h>
#include <string.h>
#include <errno.h>

#include "base/bits.h"

struct sim sim;

static uint64_t read_memory(const volatile void *address, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)address;
    case 4: return *(const volatile uint32_t *)address;
    case 8: return *(const volatile uint64_t *)address;
    default: sim_fail("an atomic access of %u bytes", size);
    }
}

static void write_memory(volatile void *address, unsigned size, uint64_t value)
{
    switch (size) {
    case 1: *(volatile uint8_t *)address = (uint8_t)value; break;
    case 4: *(volatile uint32_t *)address = (uint32_t)value; break;
    case 8: *(volatile uint64_t *)address = value; break;
    default: sim_fail("an atomic access of %u bytes", size);
    }
}

static void lay_over(struct fiber *fiber)
{
    for (unsigned i = 0; i < fiber->pending_count; i++) {
        struct pending *store = &fiber->pending[i];
        store->below = read_memory(store->address, store->size);
        write_memory(store->address, store->size, store->value);
    }
}

static void take_back(struct fiber *fiber)
{
    for (unsigned i = fiber->pending_count; i-- > 0;)
        write_memory(fiber->pending[i].address, fiber->pending[i].size, fiber->pending[i].below);
}

static void forget_oldest(struct fiber *fiber)
{
    fiber->pending_count--;
    sim.pending_total--;
    memmove(fiber->pending, fiber->pending + 1, fiber->pending_count * sizeof fiber->pending[0]);
}

void sim_drain_one(struct fiber *fiber)
{
    struct fiber *current = sim.current;
    const struct pending *oldest = &fiber->pending[0];
    if (sim.is_tracing)
        sim_trace("  becomes visible", oldest->address, oldest->value);
    if (fiber != current) {
        if (current)
            take_back(current);
        write_memory(oldest->address, oldest->size, oldest->value);
    }
    forget_oldest(fiber);
    if (fiber != current && current)
        lay_over(current);
}

void sim_drain_own(void)
{
    sim.pending_total -= sim.current->pending_count;   /* memory holds them already */
    sim.current->pending_count = 0;
}

uint64_t sim_load(const volatile void *address, size_t size)
{
    if (sim.current)
        sim_point();
    uint64_t value = read_memory(address, (unsigned)size);
    if (sim.is_tracing)
        sim_trace("load", address, value);
    return value;
}

void sim_store(volatile void *address, size_t size, uint64_t value)
{
    struct fiber *fiber = sim.current;
    if (!fiber) {
        write_memory(address, (unsigned)size, value);
        return;
    }
    sim_point();
    if (sim.is_tracing)
        sim_trace("store", address, value);
    if (fiber->pending_count == BUFFER_MAX)
        sim_drain_one(fiber);
    struct pending *store = &fiber->pending[fiber->pending_count++];
    sim.pending_total++;
    *store = (struct pending){address, value, read_memory(address, (unsigned)size), (unsigned)size};
    write_memory(address, (unsigned)size, value);
}

void sim_drain(void)
{
    if (!sim.current)
        return;
    sim_point();
    sim_drain_own();
    if (sim.is_tracing)
        sim_trace("read-modify-write or fence", NULL, 0);
}

void sim_system_call(void)
{
    sim_drain();
}

struct self *sim_self(void);
struct self *sim_self(void)
{
    static struct self outside;
    return sim.current ? &sim.current->self : &outside;
}

bool sim_is_runnable(const struct fiber *fiber)
{
    switch (fiber->state) {
    case FIBER_READY: return true;
    case FIBER_WAITS: return fiber->is_true(fiber->is_true_arg);
    case FIBER_WAITS_FUTEX:
    case FIBER_ENDED: break;
    }
    return false;
}

void sim_switch_to(struct fiber *to)
{
    struct fiber *from = sim.current;
    if (to == from) {
        to->state = FIBER_READY;
        return;
    }
    if (from)
        take_back(from);
    to->state = FIBER_READY;
    sim.current = to;
    lay_over(to);
    if (sim.is_tracing)
        sim_trace("runs", NULL, 0);
    fiber_switch(from ? &from->context : &sim.outside, &to->context);
}

static void age_stores(void)
{
    for (unsigned i = 0; i < sim.count; i++) {
        if (sim.fibers[i].pending_count > 0)
            sim_drain_one(&sim.fibers[i]);
    }
}

void sim_point(void)
{
    if (++sim.steps > STEPS_MAX)
        sim_fail("livelock: %u steps", sim.steps);
    if (sim.pending_total > 0 && sim.steps % STORE_AGE_MAX == 0 && sim.strategy != STRATEGY_ALL)
        age_stores();
    choose_at_point();
}

void sim_relax(void)
{
    if (!sim.current)
        return;
    if (++sim.steps > STEPS_MAX)
        sim_fail("livelock: %u steps, spinning", sim.steps);
    if (sim.pending_total > 0)
        sim_drain_one(&sim.fibers[choose_pending()]);
    sim_switch_to(choose_after_spin());
}

static void report_deadlock(void)
{
    char text[512];
    int len = 0;
    for (unsigned i = 0; i < sim.count; i++) {
        const struct fiber *fiber = &sim.fibers[i];
        char label[64] = "a condition";
        if (fiber->state == FIBER_WAITS_FUTEX)
            run_find_label(fiber->futex, label, sizeof label);
        if (fiber->state != FIBER_ENDED)
            len += snprintf(text + len, sizeof text - (size_t)len, "; fiber %u waits for %s", i, label);
        if (len > 400)
            break;
    }
    sim_fail("deadlock: nobody can go on%.*s", len, text);
}

/* The running fiber cannot go on: somebody else does, or, when all have ended, the caller of sim_run(). */
static void leave(void)
{
    struct fiber *from = sim.current;
    struct fiber *to;
    while (!(to = choose_next())) {
        if (sim.pending_total > 0) {
            sim_drain_one(&sim.fibers[choose_pending()]);
            continue;
        }
        for (unsigned i = 0; i < sim.count; i++) {
            if (sim.fibers[i].state != FIBER_ENDED)
                report_deadlock();
        }
        sim.current = NULL;
        fiber_switch(&from->context, &sim.outside);
    }
    sim_switch_to(to);
}

void sim_wait_until(bool (*is_true)(void *), void *arg)
{
    if (!sim.current) {
        assert(is_true(arg));
        return;
    }
    sim_system_call();
    if (is_true(arg))
        return;
    sim.current->is_true = is_true;
    sim.current->is_true_arg = arg;
    sim.current->state = FIBER_WAITS;
    leave();
}

bool sim_fiber_has_ended(void *fiber)
{
    return ((struct fiber *)fiber)->state == FIBER_ENDED;
}

static void entry(void)
{
    struct fiber *fiber = sim.current;
    if (fiber->thread)
        (void)fiber->thread(fiber->arg);
    else
        fiber->run(fiber->arg);
    fiber->state = FIBER_ENDED;   /* its buffer goes on draining */
    if (sim.is_tracing)
        sim_trace("ends", NULL, 0);
    leave();
    sim_fail("a fiber that had ended went on");
}

struct fiber *sim_add(void (*run)(void *), void *(*thread)(void *), void *arg)
{
    assert(sim.count < FIBERS_MAX);
    struct fiber *fiber = &sim.fibers[sim.count++];
    fiber->state = FIBER_READY;
    fiber->run = run;
    fiber->thread = thread;
    fiber->arg = arg;
    fiber->pending_count = 0;
    fiber->spurious = 1;
    fiber->self = (struct self){0};
    fiber->priority = (int32_t)(choose_random() >> 8);
    fiber_prepare(&fiber->context, fiber->stack, entry);
    return fiber;
}

void sim_spawn(void (*run)(void *), void *arg)
{
    (void)sim_add(run, NULL, arg);
}

void sim_run(void)
{
    struct fiber *first = choose_next();
    if (first)
        sim_switch_to(first);
}

int sim_futex_wait(const atomic_u32 *word, uint32_t expected)
{
    return sim_futex_wait_stoppable(word, expected, NULL, 0);
}

int sim_futex_wait_stoppable(const atomic_u32 *word, uint32_t expected, const struct sys_stop *stops, unsigned count)
{
    sim_system_call();
    for (unsigned i = 0; i < count; i++) {
        if (*(const volatile atomic_u32 *)stops[i].word != stops[i].runs)
            return -ECANCELED;
    }
    if (*(const volatile atomic_u32 *)word != expected)
        return -EAGAIN;
    struct fiber *fiber = sim.current;
    if (sim.may_wake_spuriously && fiber->spurious > 0) {   /* once, and only before it sleeps: it must not heal a lost wake-up */
        uint32_t chance = choose_random() & 7;
        if (chance < 2) {
            fiber->spurious--;
            return chance ? -EINTR : 0;
        }
    }
    fiber->futex = word;
    for (unsigned i = 0; i < ARRAY_COUNT(fiber->stops); i++)
        fiber->stops[i] = i < count ? stops[i].word : NULL;
    fiber->is_stopped = false;
    fiber->state = FIBER_WAITS_FUTEX;
    leave();
    return fiber->is_stopped ? -ECANCELED : 0;
}

unsigned sim_futex_wake(const atomic_u32 *word, unsigned count)
{
    sim_system_call();
    unsigned woken = 0;
    for (unsigned i = 0; i < sim.count && woken < count; i++) {
        struct fiber *fiber = &sim.fibers[i];
        bool is_stop = fiber->stops[0] == word || fiber->stops[1] == word;
        if (fiber->state == FIBER_WAITS_FUTEX && (fiber->futex == word || is_stop)) {
            fiber->is_stopped = is_stop;
            fiber->state = FIBER_READY;
            woken++;
        }
    }
    return woken;
}
