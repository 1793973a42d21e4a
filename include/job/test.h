/* test.h — tests of your program in which the kernel does what a seed says: the target job::test, in place of job::job.
 *
 * Its library is the same, on a fake io_uring: requests work on real descriptors, but come back late, short, in another order, or fail, as
 * the seed has it. What the library may not do to a kernel ends the program with the seed and a sentence. In virtual time a clock stands
 * still while code runs and jumps when the loop sleeps: a time-out of an hour takes no time, and a sleep that nothing can end stops the
 * program. Only one thread takes part then: use JOB_POOL_INLINE, and no files, whose calls need threads. In real time all is as ever.
 *
 * It needs no io_uring, so tests run where that is forbidden. It is not for production.
 */
#ifndef JOB_TEST_H
#define JOB_TEST_H

#include <job/api.h>

JOB_BEGIN_DECLS

struct job_test_options {
    uint64_t seed;        /* what happens is a function of it, and of what the test does */
    bool has_faults;      /* those that a correct program does not feel: short, late, reordered, interrupted, out of buffers … */
    bool has_failures;    /* and those that end connections: ECONNRESET, EPIPE, ENOMEM. With has_faults */
    bool is_real_time;    /* time passes, and other threads take part */
};

/* How often each has happened since job_test_begin(): a test that says something of faults looks whether there were any. */
struct job_test_counts {
    uint64_t submitted, completed;   /* requests, and what came of them */
    uint64_t sleeps;                 /* of loops */
    uint64_t shortened, late, reordered, cancels_lost, failed, interrupted, refused, starved;
};

/**
 * Begins a test. Loops that are opened from now on have this kernel, and runtimes this clock. Without a call: no faults, real time.
 *
 * @param options  NULL or {0}: seed 0, no faults, virtual time
 * Thread: before start; no loop is open.
 */
JOB_API void job_test_begin(const struct job_test_options *options);

/** Reads the counts. Thread: any, while no loop runs. */
JOB_API void job_test_counts(struct job_test_counts *counts);

/** The time that runtimes see, in ns. Thread: any. */
JOB_API uint64_t job_test_now(void);

/** Lets virtual time pass, as if what runs had taken so long. Ignored in real time. Thread: the one that takes part. */
JOB_API void job_test_advance(uint64_t ns);

/** A seed: that of the environment variable SEED, or else a new one. Printed on standard error with the name of the test, so that the run
 * can be repeated. Thread: any. */
JOB_API uint64_t job_test_seed(const char *test);

/** The next number of a generator whose state is *state: any seed begins one. Thread: whoever owns the state. */
JOB_API uint64_t job_test_random(uint64_t *state);

JOB_END_DECLS

#endif
