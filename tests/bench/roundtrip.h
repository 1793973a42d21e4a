/* roundtrip.h — who is where, how often, and how it is reported: the same for all programs of the scenario.
 *
 * One value goes to another thread, which computes the next one, and comes back; only then the next round begins.
 */
#ifndef TESTS_BENCH_ROUNDTRIP_H
#define TESTS_BENCH_ROUNDTRIP_H

#include "bench.h"

enum { ROUNDTRIP_WARM = 1000, ROUNDTRIP_SPIN_NS = 20000 };

struct roundtrip {
    bool is_spun;          /* may look for a while before it sleeps; parked: sleeps at once */
    int cpu_here;          /* -1: where the kernel likes */
    int cpu_there;
    uint64_t rounds;       /* with the warm-up */
    uint64_t round;
    uint64_t value;        /* travels there and back */
    uint64_t last_ns;
    uint64_t begin_ns;
    uint64_t begin_cpu_ns;
    uint32_t *samples;
};

static inline struct roundtrip roundtrip_plan(int argc, char **argv)
{
    struct bench bench = bench_begin(argc, argv);
    struct roundtrip trip;
    memset(&trip, 0, sizeof trip);
    const char *dash = strchr(bench.variant, '-');
    size_t length = dash ? (size_t)(dash - bench.variant) : 0;
    bool is_together = length == 8 && strncmp(bench.variant, "together", length) == 0;
    bool is_apart = length == 5 && strncmp(bench.variant, "apart", length) == 0;
    bool is_free = length == 4 && strncmp(bench.variant, "free", length) == 0;
    trip.is_spun = dash && strcmp(dash, "-spun") == 0;
    if (!(is_together || is_apart || is_free) || !(trip.is_spun || strcmp(dash, "-parked") == 0))
        bench_fail("variants: together-spun together-parked apart-spun apart-parked free-spun free-parked");
    if (is_apart && bench_cpus() < 2)
        bench_skip("needs two CPUs");
    trip.cpu_here = is_free ? -1 : bench_cpu(0);
    trip.cpu_there = is_free ? -1 : bench_cpu(is_apart ? 1 : 0);
    /* Apart, a round of those who sleep wakes a CPU twice: 20 to 40 times as long. */
    trip.rounds = ROUNDTRIP_WARM + (bench.is_smoke ? 500 : is_together ? 100000 : 20000);
    trip.samples = (uint32_t *)calloc(trip.rounds, sizeof *trip.samples);
    if (!trip.samples)
        bench_fail("no memory");
    return trip;
}

static inline void roundtrip_pin(int cpu)
{
    if (cpu >= 0)
        bench_pin(cpu);
}

/* What the other thread does. */
static inline uint64_t roundtrip_next(uint64_t value)
{
    return value * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
}

/* The value is back (or the first round begins). True: another round. */
static inline bool roundtrip_mark(struct roundtrip *trip)
{
    uint64_t now = bench_now_ns();
    if (trip->round > ROUNDTRIP_WARM) {
        trip->samples[trip->round - ROUNDTRIP_WARM - 1] = (uint32_t)(now - trip->last_ns);
    } else if (trip->round == ROUNDTRIP_WARM) {
        trip->begin_cpu_ns = bench_cpu_ns();
        now = bench_now_ns();
        trip->begin_ns = now;
    }
    trip->last_ns = now;
    return trip->round++ < trip->rounds;
}

static inline void roundtrip_end(struct roundtrip *trip)
{
    double cpu_ns = (double)(bench_cpu_ns() - trip->begin_cpu_ns);
    double ns = (double)(trip->last_ns - trip->begin_ns);
    size_t count = trip->rounds - ROUNDTRIP_WARM;
    bench_sort(trip->samples, count);
    bench_metric("p50_ns", bench_percentile(trip->samples, count, 50));
    bench_metric("p90_ns", bench_percentile(trip->samples, count, 90));
    bench_metric("p99_ns", bench_percentile(trip->samples, count, 99));
    bench_metric("mean_ns", ns / (double)count);
    bench_metric("cpu_ns_per_round", cpu_ns / (double)count);
    bench_checksum(trip->value);
    free(trip->samples);
}

#endif
