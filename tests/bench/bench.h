/* bench.h — what the programs of a scenario share: arguments, clocks, pinning, percentiles, and how results are printed.
 *
 * C and C++: ours and the peers' programs use the same clock and the same arithmetic. README.md is the contract.
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BENCH_SKIPPED = 77 };   /* exit code: this variant cannot be run here; the reason is on stderr */

struct bench {
    const char *variant;
    bool is_smoke;
};

static inline struct bench bench_begin(int argc, char **argv)
{
    struct bench bench = {"", false};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--smoke") == 0) {
            bench.is_smoke = true;
        } else if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc) {
            bench.variant = argv[++i];
        } else {
            fprintf(stderr, "usage: %s --variant VARIANT [--smoke]\n", argv[0]);
            exit(2);
        }
    }
    return bench;
}

static inline void bench_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void bench_skip(const char *why)
{
    fprintf(stderr, "%s\n", why);
    exit(BENCH_SKIPPED);
}

/* For calls that must not fail, whose negative result is an error. */
static inline void bench_ok(long long result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "%s: %lld\n", what, result);
    exit(1);
}

static inline uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* CPU time of the whole process, user and system. */
static inline uint64_t bench_cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

static inline void bench_metric(const char *name, double value)
{
    printf("%s %.9g\n", name, value);
}

static inline void bench_checksum(uint64_t value)
{
    printf("checksum %016llx\n", (unsigned long long)value);
}

/* CPUs that this thread may use; index counts only those. */
static inline unsigned bench_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static inline int bench_cpu(unsigned index)
{
    cpu_set_t set;
    (void)sched_getaffinity(0, sizeof set, &set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set) && index-- == 0)
            return cpu;
    }
    return -1;
}

/* Pins the calling thread, and what it starts from now on. */
static inline void bench_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        bench_fail("sched_setaffinity");
}

static inline int bench_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Sorts; then bench_percentile() reads. */
static inline void bench_sort(uint32_t *samples, size_t count)
{
    qsort(samples, count, sizeof *samples, bench_compare);
}

static inline double bench_percentile(const uint32_t *sorted, size_t count, double percent)
{
    size_t at = (size_t)((double)count * percent / 100.0);
    return (double)sorted[at < count ? at : count - 1];
}

#endif
