/* worker_start_thread.c — the bare mechanism: a thread that writes one byte into a pipe. It has no loop, no ring and no queue. */
#include <pthread.h>

#include "worker_start.h"

static int pipes[2], never[2];

static void *first_message(void *arg)
{
    bench_ok(write(pipes[1], "x", 1) - 1, "write");
    char byte;
    if (arg)
        (void)!read(never[0], &byte, 1);
    return NULL;
}

static void start_one(pthread_t *thread, void *arg)
{
    char byte;
    bench_ok(-pthread_create(thread, NULL, first_message, arg), "pthread_create");
    bench_ok(read(pipes[0], &byte, 1) - 1, "read");
}

int main(int argc, char **argv)
{
    static uint32_t samples[START_ROUNDS];
    pthread_t thread, first, idle[START_IDLE];
    unsigned rounds = start_rounds(argc, argv);
    if (pipe(pipes) < 0 || pipe(never) < 0)
        bench_fail("pipe");
    start_one(&first, &idle);   /* not counted */
    double before = start_resident_kib();
    for (unsigned i = 0; i < START_IDLE; i++)
        start_one(&idle[i], &idle);
    double idle_kib = (start_resident_kib() - before) / START_IDLE;
    (void)close(never[1]);
    (void)pthread_join(first, NULL);
    for (unsigned i = 0; i < START_IDLE; i++)
        (void)pthread_join(idle[i], NULL);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t begin = bench_now_ns();
        start_one(&thread, NULL);
        samples[i] = (uint32_t)(bench_now_ns() - begin);
        (void)pthread_join(thread, NULL);
    }
    start_end(samples, rounds, idle_kib);
    return 0;
}
