/* timers.h — how many timers, and for when: the same for all programs of the scenario. */
#ifndef TESTS_BENCH_TIMERS_H
#define TESTS_BENCH_TIMERS_H

#include "bench.h"

enum timers_what { TIMERS_CANCEL, TIMERS_FIRE, TIMERS_CHURN };

enum {
    TIMERS_FAR_MS = 60000,      /* cancel: due at random within that, and never reached */
    TIMERS_NEAR_MS = 500,       /* fire: likewise, and waited for */
    TIMERS_IDLE_MS = 30000,     /* churn: each is pushed back to so much from now */
    TIMERS_A_TURN = 1000,       /* churn: how many, then the loop has a turn */
};

struct timers {
    enum timers_what what;
    bool is_cached;             /* times count from the loop's cached time */
    unsigned count;
    unsigned pushes;            /* churn: all in all */
    uint32_t *order;            /* cancel: a random order */
    uint64_t random;
    uint64_t begin_ns, begin_cpu_ns;
    uint64_t checksum;
};

static inline uint64_t timers_random(struct timers *plan)
{
    plan->random ^= plan->random << 13;
    plan->random ^= plan->random >> 7;
    plan->random ^= plan->random << 17;
    return plan->random;
}

static inline struct timers timers_plan(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct timers plan = {.count = bench.is_smoke ? 20000 : 1000000, .random = 88172645463325252U};
    if (strcmp(bench.variant, "fire") == 0)
        plan.what = TIMERS_FIRE;
    else if (strcmp(bench.variant, "churn") == 0)
        plan.what = TIMERS_CHURN;
    else if (strcmp(bench.variant, "cancel-cached") == 0)
        plan.is_cached = true;
    else if (strcmp(bench.variant, "cancel") != 0)
        bench_fail("variants: cancel cancel-cached fire churn");
    if (plan.what == TIMERS_CHURN) {
        plan.count = bench.is_smoke ? 100 : 10000;
        plan.pushes = bench.is_smoke ? 20000 : 10000000;
    }
    plan.order = calloc(plan.count, sizeof *plan.order);
    if (!plan.order)
        bench_fail("no memory");
    for (uint32_t i = 0; i < plan.count; i++)
        plan.order[i] = i;
    for (uint32_t i = plan.count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(timers_random(&plan) % (i + 1)), at_i = plan.order[i];
        plan.order[i] = plan.order[j];
        plan.order[j] = at_i;
    }
    return plan;
}

/* When all are opened and none is armed. */
static inline void timers_begin(struct timers *plan)
{
    plan->begin_cpu_ns = bench_cpu_ns();
    plan->begin_ns = bench_now_ns();
}

static inline void timers_end(const struct timers *plan)
{
    double ns = (double)(bench_now_ns() - plan->begin_ns), cpu_ns = (double)(bench_cpu_ns() - plan->begin_cpu_ns);
    double count = plan->what == TIMERS_CHURN ? plan->pushes : plan->count;
    if (plan->what != TIMERS_FIRE)   /* that waits for the time to pass */
        bench_metric("ns_per_timer", ns / count);
    bench_metric("cpu_ns_per_timer", cpu_ns / count);
    bench_checksum(plan->checksum);
}

#endif
