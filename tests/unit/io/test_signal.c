/* test_signal.c — signals as callbacks: blocked first, caught on the loop, merged by the kernel, closed anywhere. */
#include <dirent.h>
#include <signal.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_signal handle;
static unsigned caught_count[65], closed_count, close_after;

static void setup(void)
{
    const int numbers[] = {SIGTERM, SIGUSR1, SIGUSR2};
    ck_assert_ok(job_signals_block(numbers, 3));   /* before the runtime: its helper is a thread */
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    memset(caught_count, 0, sizeof caught_count);
    closed_count = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static void closed(struct job_signal *signal)
{
    ck_assert_ptr_eq(signal, &handle);
    closed_count++;
}

static void caught(struct job_signal *signal, int number)
{
    ck_assert_uint_eq(closed_count, 0);
    caught_count[number]++;
    unsigned all = caught_count[SIGTERM] + caught_count[SIGUSR1] + caught_count[SIGUSR2];
    if (all == close_after) {
        job_signal_close(signal, closed);
        job_signal_close(signal, NULL);
        ck_assert_uint_eq(closed_count, 0);
    }
}

START_TEST(each_kind_is_caught_and_several_of_one_kind_are_merged)
{
    const int numbers[] = {SIGTERM, SIGUSR1, SIGUSR2};
    ck_assert_ok(job_signal_open(loop, &handle, numbers, 3, caught));
    ck_assert(!job_handle_has_ref(&handle.handle));
    job_handle_ref(&handle.handle);
    close_after = 3;
    for (int i = 0; i < 100; i++) {
        kill(getpid(), SIGUSR1);
        kill(getpid(), SIGUSR2);
    }
    kill(getpid(), SIGTERM);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(caught_count[SIGUSR1], 1);   /* none could be read between */
    ck_assert_uint_eq(caught_count[SIGUSR2], 1);
    ck_assert_uint_eq(caught_count[SIGTERM], 1);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

static void raises_again(struct job_signal *signal, int number)
{
    caught_count[number]++;
    if (caught_count[number] < 100)
        kill(getpid(), number);
    else
        job_signal_close(signal, closed);
}

START_TEST(a_signal_sent_from_its_callback_is_caught_again)
{
    const int number = SIGUSR1;
    ck_assert_ok(job_signal_open(loop, &handle, &number, 1, raises_again));
    job_handle_ref(&handle.handle);
    kill(getpid(), SIGUSR1);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(caught_count[SIGUSR1], 100);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

START_TEST(an_open_signal_does_not_keep_the_loop_and_closes_without_one)
{
    const int number = SIGTERM;
    ck_assert_ok(job_signal_open(loop, &handle, &number, 1, caught));
    ck_assert_int_eq(job_loop_run(loop), 0);
    job_signal_close(&handle, closed);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

static void fired(struct job_timer *timer)
{
    job_timer_close(timer, NULL);
}

START_TEST(an_idle_signal_costs_no_turn)
{
    const int number = SIGTERM;
    struct job_timer timer = {0};
    struct job_loop_stats stats;
    ck_assert_ok(job_signal_open(loop, &handle, &number, 1, caught));
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    ck_assert_ok(job_timer_start(&timer, 50000000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    job_loop_stats(loop, &stats);
    ck_assert_uint_le(stats.turns, 10);
}
END_TEST

static int blocked_elsewhere;

static void *blocks(void *arg)
{
    blocked_elsewhere = job_signals_block(arg, 1);
    return NULL;
}

START_TEST(bad_arguments_change_nothing)
{
    const int term = SIGTERM, hup = SIGHUP, kill_number = SIGKILL, none = 0, high = 1000, low = -1;
    const int *const bad[] = {&kill_number, &none, &high, &low};
    int descriptors = fixture_descriptors();
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(job_signals_block(bad[i], 1), -EINVAL);
        ck_assert_int_eq(job_signal_open(loop, &handle, bad[i], 1, caught), -EINVAL);
    }
    ck_assert_int_eq(job_signals_block(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_signals_block(&term, 0), -EINVAL);
    ck_assert_int_eq(job_signal_open(NULL, &handle, &term, 1, caught), -EINVAL);
    ck_assert_int_eq(job_signal_open(loop, NULL, &term, 1, caught), -EINVAL);
    ck_assert_int_eq(job_signal_open(loop, &handle, &term, 1, NULL), -EINVAL);
    ck_assert_int_eq(job_signal_open(loop, &handle, NULL, 1, caught), -EINVAL);
    ck_assert_int_eq(job_signal_open(loop, &handle, &term, 0, caught), -EINVAL);
    ck_assert_int_eq(job_signal_open(loop, &handle, &hup, 1, caught), -EPERM);   /* not blocked */
    job_signal_close(NULL, closed);
    ck_assert_int_eq(fixture_descriptors(), descriptors);

    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, blocks, (void *)(uintptr_t)&hup), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(blocked_elsewhere, -EBUSY);   /* too late: other threads exist */
}
END_TEST

/* Of the threads that have a name of their own, and so run already (libc blocks all signals while a thread begins): how many there are, and
 * how many of them block what `mask` has. */
static unsigned threads_that_block(unsigned long long mask, unsigned *all)
{
    char path[300], line[128];
    unsigned count = 0;
    DIR *threads = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(threads);
    *all = 0;
    for (struct dirent *at; (at = readdir(threads));) {
        (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", at->d_name);
        FILE *file = fopen(path, "r");
        bool is_named = false;
        while (file && fgets(line, sizeof line, file)) {
            if (strncmp(line, "Name:", 5) == 0)
                is_named = strncmp(line + 6, program_invocation_short_name, 10) != 0;
            else if (is_named && strncmp(line, "SigBlk:", 7) == 0)
                count += (strtoull(line + 7, NULL, 16) & mask) == mask;
        }
        *all += is_named;
        if (file)
            fclose(file);
    }
    closedir(threads);
    return count;
}

static void catches_trap(struct job_signal *signal, int number)
{
    caught_count[number]++;
    job_signal_close(signal, closed);
}

/* The signals of a fault too, which the library's threads leave open otherwise: whom the kernel finds open, it kills. */
START_TEST(what_was_blocked_before_stays_blocked_in_each_thread_and_is_caught)
{
    static const int numbers[] = {SIGUSR1, SIGTRAP};
    struct job_pool *pool;
    unsigned all;
    ck_assert_ok(job_signals_block(numbers, 2));
    setup();
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 2}));

    unsigned blocking;
    do
        blocking = threads_that_block(1ULL << (SIGUSR1 - 1) | 1ULL << (SIGTRAP - 1), &all);
    while (all < 2);
    ck_assert_uint_eq(blocking, all);
    ck_assert_uint_eq(threads_that_block(1ULL << (SIGSEGV - 1), &all), 0);   /* nobody has asked for that */
    ck_assert_ok(job_signal_open(loop, &handle, &numbers[1], 1, catches_trap));
    job_handle_ref(&handle.handle);
    kill(getpid(), SIGTRAP);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(caught_count[SIGTRAP], 1);
    ck_assert_ok(job_pool_close(&pool));
    teardown();
}
END_TEST

enum { ROUNDS = 20 };

/* Handles beside each other. */
struct listener {
    struct job_signal signal;
    unsigned heard, closed;
};

static struct listener *first, *second, *other;

static void listener_closed(struct job_signal *signal)
{
    struct listener *listener = job_container_of(signal, struct listener, signal);
    listener->closed++;
    if (listener == second) {
        free(second);
        second = NULL;
    }
}

static void open_listener(struct listener **listener, const int *numbers, size_t count,
                          void (*hears)(struct job_signal *signal, int number))
{
    *listener = calloc(1, sizeof **listener);
    ck_assert_ptr_nonnull(*listener);
    ck_assert_ok(job_signal_open(loop, &(*listener)->signal, numbers, count, hears));
    job_handle_ref(&(*listener)->signal.handle);
}

static unsigned sent;

static void hears_a_round(struct job_signal *signal, int number)
{
    struct listener *listener = job_container_of(signal, struct listener, signal);
    ck_assert_int_eq(number, SIGUSR1);
    ck_assert_ptr_ne(listener, other);
    listener->heard++;
    if (listener == second && second->heard == ROUNDS / 2)
        job_signal_close(signal, listener_closed);
    bool is_second_open = second && !job_handle_is_closing(&second->signal.handle);
    if (first->heard < sent || (is_second_open && second->heard < sent))
        return;
    if (sent < ROUNDS) {
        sent++;
        kill(getpid(), SIGUSR1);
        return;
    }
    job_signal_close(&first->signal, listener_closed);
    job_signal_close(&other->signal, listener_closed);
}

START_TEST(each_handle_of_a_signal_hears_it_and_those_that_live_go_on_when_one_closes)
{
    static const int numbers[] = {SIGUSR2, SIGUSR1};
    open_listener(&first, &numbers[1], 1, hears_a_round);
    open_listener(&second, numbers, 2, hears_a_round);
    open_listener(&other, &numbers[0], 1, hears_a_round);
    sent = 1;
    kill(getpid(), SIGUSR1);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(first->heard, ROUNDS);
    ck_assert_ptr_null(second);
    ck_assert_uint_eq(other->heard, 0);
    ck_assert_uint_eq(first->closed, 1);
    free(first);
    free(other);
}
END_TEST

static void hears_once(struct job_signal *signal, int number)
{
    ck_assert_int_eq(number, SIGUSR1);
    job_container_of(signal, struct listener, signal)->heard++;
    if (first->heard + second->heard == 2)
        job_loop_stop(loop);
}

START_TEST(what_is_merged_is_heard_once_by_each_handle)
{
    const int number = SIGUSR1;
    open_listener(&first, &number, 1, hears_once);
    open_listener(&second, &number, 1, hears_once);
    for (int i = 0; i < 100; i++)
        kill(getpid(), SIGUSR1);

    ck_assert_int_eq(job_loop_run(loop), 1);

    ck_assert_uint_eq(first->heard, 1);
    ck_assert_uint_eq(second->heard, 1);
    job_signal_close(&first->signal, NULL);
    job_signal_close(&second->signal, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);
    free(first);
    free(second);
}
END_TEST

static unsigned heard_by_any;

/* The other one has been told already, and its mail is on its way. */
static void closes_the_other(struct job_signal *signal, int number)
{
    (void)number;
    heard_by_any++;
    struct listener *listener = job_container_of(signal, struct listener, signal);
    struct listener *its = listener == first ? other : first;
    job_signal_close(&its->signal, listener_closed);
    ck_assert_uint_eq(its->closed, 0);
    job_signal_close(signal, listener_closed);
}

START_TEST(a_handle_that_is_closed_before_it_hears_what_another_has_read_is_silent_and_closes)
{
    const int number = SIGUSR1;
    heard_by_any = 0;
    open_listener(&first, &number, 1, closes_the_other);
    open_listener(&other, &number, 1, closes_the_other);
    kill(getpid(), SIGUSR1);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(heard_by_any, 1);
    ck_assert_uint_eq(first->closed, 1);
    ck_assert_uint_eq(other->closed, 1);
    free(first);
    free(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("signal");
    TCase *tcase = tcase_create("signal");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, each_kind_is_caught_and_several_of_one_kind_are_merged);
    tcase_add_test(tcase, a_signal_sent_from_its_callback_is_caught_again);
    tcase_add_test(tcase, an_open_signal_does_not_keep_the_loop_and_closes_without_one);
    tcase_add_test(tcase, an_idle_signal_costs_no_turn);
    tcase_add_test(tcase, bad_arguments_change_nothing);
    tcase_add_test(tcase, each_handle_of_a_signal_hears_it_and_those_that_live_go_on_when_one_closes);
    tcase_add_test(tcase, what_is_merged_is_heard_once_by_each_handle);
    tcase_add_test(tcase, a_handle_that_is_closed_before_it_hears_what_another_has_read_is_silent_and_closes);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("faults");   /* blocks before setup() */
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, what_was_blocked_before_stays_blocked_in_each_thread_and_is_caught);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
