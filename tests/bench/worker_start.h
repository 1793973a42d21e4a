/* worker_start.h — how many, how memory is read, and how it is reported: the same for all programs of the scenario. */
#ifndef TESTS_BENCH_WORKER_START_H
#define TESTS_BENCH_WORKER_START_H

#include <unistd.h>

#include "bench.h"

enum { START_ROUNDS = 200, START_IDLE = 20, START_ROUNDS_SMOKE = 5 };

static inline unsigned start_rounds(int argc, char **argv)
{
    return bench_begin(argc, argv).is_smoke ? START_ROUNDS_SMOKE : START_ROUNDS;
}

static inline double start_resident_kib(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        bench_fail("/proc/self/statm");
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static inline void start_end(uint32_t *samples_ns, unsigned rounds, double idle_kib)
{
    bench_sort(samples_ns, rounds);
    bench_metric("p50_us", bench_percentile(samples_ns, rounds, 50) / 1000);
    bench_metric("p99_us", bench_percentile(samples_ns, rounds, 99) / 1000);
    bench_metric("idle_kib", idle_kib);
    bench_checksum(rounds);
}

#endif
