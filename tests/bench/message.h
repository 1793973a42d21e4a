/* message.h — how many messages, from whom, and how it is reported: the same for all programs of the scenario.
 *
 * A message is 64 bytes, of which the first eight are its number; what is received is summed up. At most 1024 wait.
 */
#ifndef TESTS_BENCH_MESSAGE_H
#define TESTS_BENCH_MESSAGE_H

#include "bench.h"

enum { MESSAGE_BYTES = 64, MESSAGE_WINDOW = 1024, MESSAGE_SENDERS_MAX = 3 };

struct message_plan {
    unsigned senders;
    uint64_t each;
    uint64_t begin_ns, begin_cpu_ns;
};

struct note {
    uint64_t number;
    uint8_t more[MESSAGE_BYTES - 8];
};

static inline struct message_plan message_plan(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct message_plan plan = {strcmp(bench.variant, "three") == 0 ? 3 : 1, 0, 0, 0};
    if (plan.senders == 1 && strcmp(bench.variant, "one") != 0)
        bench_fail("variants: one three");
    plan.each = (bench.is_smoke ? 6000 : 3000000) / plan.senders;
    return plan;
}

static inline void message_begin(struct message_plan *plan)
{
    plan->begin_cpu_ns = bench_cpu_ns();
    plan->begin_ns = bench_now_ns();
}

static inline void message_end(const struct message_plan *plan, uint64_t sum)
{
    double count = (double)(plan->each * plan->senders);
    bench_metric("messages_per_s", count * 1e9 / (double)(bench_now_ns() - plan->begin_ns));
    bench_metric("cpu_ns_per_message", (double)(bench_cpu_ns() - plan->begin_cpu_ns) / count);
    bench_checksum(sum);
}

#endif
