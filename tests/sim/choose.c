/* choose.c — who runs next, and whose store becomes visible: at random, by priorities, or every way there is.
 *
 * Random: at each point a switch with a probability that the seed draws, from "at nearly every one" to "hardly ever", and likewise for
 * stores; a bug that needs long undisturbed runs and one that needs constant change are both found.
 * PCT (Burckhardt and others, 2010): each fiber has a random priority, the highest runs; at up to three random steps the running one
 * becomes the least. A bug that needs d such changes among k steps of n fibers is found with probability at least 1 / (n k^(d-1)).
 * All: a tree of choices is walked depth first. A preemption and a store that becomes visible before it has to both cost one of
 * `preemptions`; which fiber goes on when one blocks, and sim_random(), are free.
 */
#include "sim/core.h"

#include <stdio.h>
#include <stdlib.h>

enum { CHOICES_MAX = 4096 };

static struct {
    struct {
        uint8_t taken, count;
    } at[CHOICES_MAX];
    unsigned len;     /* of the prefix that is repeated, then of the path so far */
    unsigned depth;
} path;

static uint64_t next_random(void)
{
    uint64_t x = sim.random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sim.random = x;
    return x * 0x2545f4914f6cdd1dU;
}

uint32_t choose_random(void)
{
    return (uint32_t)(next_random() >> 32);
}

static void begin(void)
{
    sim.count = 0;
    sim.steps = 0;
    sim.pending_total = 0;
    sim.current = NULL;
    sim.preemptions = 0;
    path.depth = 0;
}

void choose_begin(const struct sim_scenario *scenario, uint64_t seed)
{
    static const uint8_t switch_rates[] = {128, 64, 32, 16, 96, 8, 48, 24};
    static const uint8_t drain_rates[] = {0, 4, 16, 64, 255, 8, 32, 0};
    begin();
    uint64_t z = (seed + 1) * 0x9e3779b97f4a7c15U;   /* neighbouring seeds must differ at once */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    sim.random = (z ^ (z >> 31)) | 1;
    uint32_t swarm = choose_random();
    sim.strategy = seed % 2 ? STRATEGY_RANDOM : STRATEGY_PCT;
    sim.switch_rate = switch_rates[swarm % 8];
    sim.drain_rate = drain_rates[swarm / 8 % 8];
    sim.may_wake_spuriously = swarm / 64 % 2;
    sim.change_count = swarm / 128 % 4;
    sim.least = -1;
    for (unsigned i = 0; i < sim.change_count; i++)
        sim.change[i] = 1 + choose_random() % scenario->steps;
}

void choose_begin_all(const struct sim_scenario *scenario)
{
    begin();
    sim.strategy = STRATEGY_ALL;
    sim.random = 1;
    sim.may_wake_spuriously = false;
    sim.preemptions_max = scenario->preemptions;
    path.len = 0;
}

bool choose_next_all(void)
{
    while (path.len > 0 && path.at[path.len - 1].taken + 1 == path.at[path.len - 1].count)
        path.len--;
    if (path.len == 0)
        return false;
    path.at[path.len - 1].taken++;
    begin();
    sim.random = 1;
    return true;
}

void choose_replay(const struct sim_scenario *scenario, const char *choices)
{
    choose_begin_all(scenario);
    while (*choices) {
        char *end;
        unsigned long taken = strtoul(choices, &end, 10);
        if (end == choices)
            break;
        path.at[path.len].taken = (uint8_t)taken;
        path.at[path.len++].count = 0;   /* any */
        choices = *end == ',' ? end + 1 : end;
    }
}

void choose_print(void)
{
    for (unsigned i = 0; i < path.depth; i++)
        printf("%s%u", i ? "," : "", path.at[i].taken);
}

static unsigned choice(unsigned count)
{
    if (count <= 1)
        return 0;
    if (path.depth == CHOICES_MAX)
        sim_fail("too many choices to enumerate");
    if (path.depth == path.len) {
        path.at[path.len].taken = 0;
        path.at[path.len++].count = (uint8_t)count;
    }
    if (path.at[path.depth].count == 0)
        path.at[path.depth].count = (uint8_t)count;
    if (path.at[path.depth].count != count)
        sim_fail("the scenario does not repeat: %u choices, before %u", count, path.at[path.depth].count);
    return path.at[path.depth++].taken;
}

static void all_at_point(void)
{
    struct fiber *others[FIBERS_MAX], *draining[FIBERS_MAX];
    unsigned other_count = 0, draining_count = 0;
    if (sim.preemptions == sim.preemptions_max)
        return;
    for (unsigned i = 0; i < sim.count; i++) {
        struct fiber *fiber = &sim.fibers[i];
        if (fiber != sim.current && sim_is_runnable(fiber))
            others[other_count++] = fiber;
        if (fiber->pending_count > 0)
            draining[draining_count++] = fiber;
    }
    unsigned taken = choice(1 + other_count + draining_count);
    if (taken == 0)
        return;
    sim.preemptions++;
    if (taken <= other_count) {
        sim_switch_to(others[taken - 1]);
        return;
    }
    sim_drain_one(draining[taken - 1 - other_count]);
    all_at_point();   /* at most `preemptions` deep */
}

static struct fiber *any_runnable(uint32_t start)
{
    for (unsigned i = 0; i < sim.count; i++) {
        struct fiber *fiber = &sim.fibers[(start + i) % sim.count];
        if (sim_is_runnable(fiber))
            return fiber;
    }
    return NULL;
}

static struct fiber *highest(void)
{
    struct fiber *best = NULL;
    for (unsigned i = 0; i < sim.count; i++) {
        struct fiber *fiber = &sim.fibers[i];
        if ((!best || fiber->priority > best->priority) && sim_is_runnable(fiber))
            best = fiber;
    }
    return best;
}

unsigned choose_pending(void)
{
    unsigned with[FIBERS_MAX], count = 0;
    for (unsigned i = 0; i < sim.count; i++) {
        if (sim.fibers[i].pending_count > 0)
            with[count++] = i;
    }
    return with[sim.strategy == STRATEGY_ALL ? choice(count) : choose_random() % count];
}

static void pct_at_point(void)
{
    for (unsigned i = 0; i < sim.change_count; i++) {
        if (sim.steps == sim.change[i])
            sim.current->priority = sim.least--;
    }
    sim_switch_to(highest());
}

void choose_at_point(void)
{
    if (sim.strategy == STRATEGY_ALL) {
        all_at_point();
        return;
    }
    uint64_t dice = next_random();
    if (sim.pending_total > 0 && (dice & 255) < sim.drain_rate)
        sim_drain_one(&sim.fibers[choose_pending()]);
    if (sim.strategy == STRATEGY_PCT)
        pct_at_point();
    else if ((dice >> 8 & 255) < sim.switch_rate)
        sim_switch_to(any_runnable((uint32_t)(dice >> 32)));
}

struct fiber *choose_next(void)
{
    struct fiber *runnable[FIBERS_MAX];
    unsigned count = 0;
    if (sim.strategy == STRATEGY_PCT)
        return highest();
    for (unsigned i = 0; i < sim.count; i++) {
        if (sim_is_runnable(&sim.fibers[i]))
            runnable[count++] = &sim.fibers[i];
    }
    if (count == 0)
        return NULL;
    return runnable[sim.strategy == STRATEGY_ALL ? choice(count) : choose_random() % count];
}

struct fiber *choose_after_spin(void)
{
    if (sim.strategy == STRATEGY_PCT) {
        sim.current->priority = sim.least--;
        return highest();
    }
    uint32_t start = sim.strategy == STRATEGY_ALL ? (uint32_t)(sim.current - sim.fibers) + 1 : choose_random();
    return any_runnable(start);
}

uint32_t sim_random(uint32_t n)
{
    return sim.strategy == STRATEGY_ALL ? choice(n) : choose_random() % n;
}
