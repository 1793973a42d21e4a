/* submit.h — how much is submitted, by how many, and how it is reported: the same for all programs of the scenario. */
#ifndef TESTS_BENCH_SUBMIT_H
#define TESTS_BENCH_SUBMIT_H

#include "bench.h"

/* Tasks of one submitter that are submitted and not yet known to have ended. As long as a loop's lane, so that nobody is refused and
 * nobody's memory grows: what is compared is the way of a task, not a queue's length. */
enum { SUBMIT_WINDOW = 1024 };

struct submit {
    unsigned submitters;
    unsigned workers;
    uint64_t each;        /* tasks a submitter; the sum is the same for 1 and for 3 */
    uint64_t begin_ns;
    uint64_t begin_cpu_ns;
};

static inline struct submit submit_plan(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct submit plan = {1, bench_cpus(), 0, 0, 0};
    if (strcmp(bench.variant, "3-submitters") == 0)
        plan.submitters = 3;
    else if (strcmp(bench.variant, "1-submitter") != 0)
        bench_fail("variants: 1-submitter 3-submitters");
    plan.each = (bench.is_smoke ? 30000U : 9999999U) / plan.submitters;
    return plan;
}

/* When all threads are up and nothing is submitted. */
static inline void submit_begin(struct submit *plan)
{
    plan->begin_cpu_ns = bench_cpu_ns();
    plan->begin_ns = bench_now_ns();
}

/* When the last completion is known; `ran` is how often a task function has run. */
static inline void submit_end(const struct submit *plan, uint64_t ran)
{
    double ns = (double)(bench_now_ns() - plan->begin_ns);
    double cpu_ns = (double)(bench_cpu_ns() - plan->begin_cpu_ns);
    double tasks = (double)plan->each * plan->submitters;
    bench_metric("tasks_per_s", tasks / ns * 1e9);
    bench_metric("ns_per_task", ns / tasks);
    bench_metric("cpu_ns_per_task", cpu_ns / tasks);
    bench_checksum(ran);
}

#endif
