/* test_thread.c — how a thread of the library starts: counted, without signals, with the stack and the CPUs that were asked for. */
#include "base/root.h"
#include "base/thread.h"
#include "support/fixture.h"

#include <sched.h>
#include <signal.h>

enum { STACK_BYTES = 1 << 20 };

struct seen {
    struct root *root;
    uint64_t counted;
    sigset_t blocked;
    cpu_set_t cpus;
    size_t stack_bytes;
};

static void *look(void *arg)
{
    struct seen *seen = arg;
    pthread_attr_t attributes;
    seen->counted = load_relaxed(&seen->root->threads);   /* nobody else has threads here */
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    (void)sched_getaffinity(0, sizeof seen->cpus, &seen->cpus);
    (void)pthread_getattr_np(pthread_self(), &attributes);
    (void)pthread_attr_getstacksize(&attributes, &seen->stack_bytes);
    (void)pthread_attr_destroy(&attributes);
    thread_ends(seen->root);
    return NULL;
}

static void run(struct seen *seen, const struct thread_options *options)
{
    pthread_t thread;
    ck_assert_int_eq(thread_start(seen->root, &thread, options, look, seen), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/* The first CPU that this thread may use. */
static unsigned first_cpu(void)
{
    cpu_set_t set;
    unsigned cpu = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    while (!CPU_ISSET(cpu, &set))
        cpu++;
    return cpu;
}

static bool is_fault(int number)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    bool is_one = false;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        is_one |= number == faults[i];
    return is_one;
}

/* Between the ordinary signals and those that may be used. */
static bool is_libcs(int number)
{
    return number > 31 && number < SIGRTMIN;
}

START_TEST(a_thread_is_counted_while_it_runs_and_has_all_signals_blocked_but_faults)
{
    struct root root = {0};
    struct seen seen = {.root = &root};
    sigset_t before, after;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);

    run(&seen, NULL);

    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_uint_eq(seen.counted, 1);
    ck_assert_uint_eq(load_relaxed(&root.threads), 0);   /* it was joined */
    for (int number = 1; number <= SIGRTMAX; number++) {
        ck_assert_int_eq(sigismember(&after, number), sigismember(&before, number));
        if (is_libcs(number) || number == SIGKILL || number == SIGSTOP)
            continue;
        ck_assert_int_eq(sigismember(&seen.blocked, number), is_fault(number) ? sigismember(&before, number) : 1);
    }
}
END_TEST

START_TEST(a_thread_has_the_stack_and_the_cpus_that_were_asked_for)
{
    struct root root = {0};
    struct seen seen = {.root = &root};
    unsigned cpu = first_cpu();
    uint64_t affinity[CPU_SETSIZE / 64] = {0};
    affinity[cpu / 64] = UINT64_C(1) << cpu % 64;

    run(&seen, &(struct thread_options){
                   .stack_bytes = STACK_BYTES, .affinity = affinity, .affinity_words = CPU_SETSIZE / 64});

    ck_assert_int_eq(CPU_COUNT(&seen.cpus), 1);
    ck_assert(CPU_ISSET(cpu, &seen.cpus));
    ck_assert_uint_eq(seen.stack_bytes, STACK_BYTES);
}
END_TEST

START_TEST(a_thread_that_cannot_start_is_not_counted)
{
    struct root root = {0};
    struct seen seen = {.root = &root};
    const uint64_t none = 0;
    const struct thread_options options = {.affinity = &none, .affinity_words = 1};
    pthread_t thread;
    sigset_t before, after;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);

    int err = thread_start(&root, &thread, &options, look, &seen);

    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    ck_assert_int_eq(err, -EINVAL);
    ck_assert_uint_eq(load_relaxed(&root.threads), 0);   /* there is no thread */
    ck_assert_int_eq(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("thread");
    TCase *tcase = tcase_create("thread");
    tcase_add_test(tcase, a_thread_is_counted_while_it_runs_and_has_all_signals_blocked_but_faults);
    tcase_add_test(tcase, a_thread_has_the_stack_and_the_cpus_that_were_asked_for);
    tcase_add_test(tcase, a_thread_that_cannot_start_is_not_counted);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
