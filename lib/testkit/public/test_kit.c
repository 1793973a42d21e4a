/* test_kit.c — job/test.h: the fake kernel and the virtual clock, for users' tests.
 *
 * libjob_test.a is the library's own objects, linked together with the fake kernel so that these stand for what they wrap. Our own tests
 * link the parts by themselves, and set the clock of a runtime by hand.
 */
#include "job/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "testkit/fake_kernel.h"
#include "testkit/seed.h"
#include "testkit/virtual_clock.h"

uint64_t __real_sys_clock_monotonic_ns(void);
uint64_t __wrap_sys_clock_monotonic_ns(void);

/* One world a process: liburing's functions take no argument that could lead to another. */
static bool is_virtual;

uint64_t __wrap_sys_clock_monotonic_ns(void)
{
    return is_virtual ? virtual_clock_now_ns() : __real_sys_clock_monotonic_ns();
}

/* Before main(), and before constructors of the user: without a job_test_begin() the kernel is as good as it can be. */
__attribute__((constructor(101))) static void begin(void)
{
    fake_kernel_start(&(struct fake_options){.is_real_time = true});
}

void job_test_begin(const struct job_test_options *options)
{
    static const struct job_test_options defaults = {0};
    options = options ? options : &defaults;
    struct fake_options fake = {.seed = options->seed, .is_real_time = options->is_real_time};
    if (options->has_faults)
        fake.faults = fake_faults_draw(options->seed, options->has_failures);
    is_virtual = !options->is_real_time;
    fake_kernel_start(&fake);
}

void job_test_counts(struct job_test_counts *counts)
{
    struct fake_counts fake = fake_kernel_counts();
    if (!counts)
        return;
    *counts = (struct job_test_counts){
        .submitted = fake.submitted,
        .completed = fake.completed,
        .sleeps = fake.sleeps,
        .shortened = fake.shortened,
        .late = fake.late,
        .reordered = fake.reordered,
        .cancels_lost = fake.cancels_lost,
        .failed = fake.failed,
        .interrupted = fake.interrupted,
        .refused = fake.refused,
        .starved = fake.starved,
    };
}

uint64_t job_test_now(void)
{
    return __wrap_sys_clock_monotonic_ns();
}

void job_test_advance(uint64_t ns)
{
    if (is_virtual)
        virtual_clock_advance(ns);
}

uint64_t job_test_seed(const char *test)
{
    const char *text = getenv("SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : __real_sys_clock_monotonic_ns() * 1000003U + (uint64_t)getpid();
    fprintf(stderr, "%s: SEED=%llu\n", test ? test : "test", (unsigned long long)seed);
    return seed;
}

uint64_t job_test_random(uint64_t *state)
{
    struct dice dice = {state ? *state : 0};
    uint64_t number = dice_next(&dice);
    if (state)
        *state = dice.state;
    return number;
}
