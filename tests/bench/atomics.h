/* atomics.h — how often, and how it is reported: the same for both programs of the scenario. */
#ifndef TESTS_BENCH_ATOMICS_H
#define TESTS_BENCH_ATOMICS_H

#include "bench.h"

enum atomics_variant { ATOMICS_ADD, ATOMICS_LOAD, ATOMICS_PINGPONG };

struct atomics_plan {
    enum atomics_variant variant;
    uint64_t count;
    uint64_t begin_ns;
};

static inline struct atomics_plan atomics_plan(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct atomics_plan plan = {ATOMICS_ADD, 100000000, 0};
    if (strcmp(bench.variant, "load") == 0)
        plan.variant = ATOMICS_LOAD;
    else if (strcmp(bench.variant, "pingpong") == 0)
        plan.variant = ATOMICS_PINGPONG;
    else if (strcmp(bench.variant, "add") != 0)
        bench_fail("variants: add load pingpong");
    if (plan.variant == ATOMICS_PINGPONG) {
        plan.count = 200000;
        bench_pin(bench_cpu(0));
    }
    if (bench.is_smoke)
        plan.count = 1000;
    plan.begin_ns = bench_now_ns();
    return plan;
}

static inline void atomics_end(const struct atomics_plan *plan, uint64_t result)
{
    bench_metric("ns_per_op", (double)(bench_now_ns() - plan->begin_ns) / (double)plan->count);
    bench_checksum(result);
}

#endif
