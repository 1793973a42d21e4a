/* test_region_wait.c — cells of regions: waits of threads and of loops, in one process and in two. */
#include "unit/loop/region_waits.h"

/* A thread that waits once. */
struct waiting {
    pthread_t thread;
    size_t offset;
    bool is_wide;
    int64_t timeout_ns;
    int result;
    uint32_t order;       /* how many were woken before it */
    int tid;
};

static void *wait_once(void *arg)
{
    struct waiting *waiting = arg;
    __atomic_store_n(&waiting->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    waiting->result = waiting->is_wide ? job_region_wait64(region, waiting->offset, 0, waiting->timeout_ns)
                                       : job_region_wait32(region, waiting->offset, 0, waiting->timeout_ns);
    ck_assert_ok(job_region_add32(region, READY, 1, &waiting->order));
    return NULL;
}

static void start_waiting(struct waiting *waiting, size_t offset, bool is_wide)
{
    *waiting = (struct waiting){.offset = offset, .is_wide = is_wide, .timeout_ns = -1};
    ck_assert_int_eq(pthread_create(&waiting->thread, NULL, wait_once, waiting), 0);
    await_sleeping(&waiting->tid);
}

static void await_woken(uint32_t count)
{
    uint32_t woken = 0;
    while (woken < count) {
        ck_assert_ok(job_region_load32(region, READY, &woken));
        sched_yield();
    }
    ck_assert_uint_eq(woken, count);
}

static void join(struct waiting *waiting)
{
    ck_assert_int_eq(pthread_join(waiting->thread, NULL), 0);
    ck_assert_int_eq(waiting->result, 0);
}

START_TEST(S11_a_wait_for_another_value_returns_at_once)
{
    ck_assert_ok(job_region_store32(region, CELL, 5));
    ck_assert_int_eq(job_region_wait32(region, CELL, 4, -1), -EAGAIN);
    ck_assert_int_eq(job_region_wait64(region, CELL, 4, -1), -EAGAIN);
    ck_assert_int_eq(job_region_wait32(region, CELL, 5, 0), -ETIMEDOUT);
    ck_assert_int_eq(job_region_wait64(region, CELL, 5, 0), -ETIMEDOUT);
    ck_assert_int_eq(job_region_wait32(region, CELL + 2, 5, 0), -EINVAL);
    ck_assert_int_eq(job_region_wait64(region, CELL + 4, 5, 0), -EINVAL);
    ck_assert_int_eq(job_region_wait32(region, 4096, 0, 0), -EINVAL);
    ck_assert_int_eq(job_region_wait32(NULL, 0, 0, 0), -EINVAL);
    ck_assert_int_eq(job_region_notify(region, CELL + 2, 1), -EINVAL);
}
END_TEST

/* Two threads hand a number to and fro; a lost wake-up hangs. */
static unsigned hand_overs;

static void *hand_over(void *arg)
{
    uint32_t mine = (uint32_t)(uintptr_t)arg, value = 0;
    for (unsigned i = 0; i < hand_overs; i++) {
        for (;;) {
            ck_assert_ok(job_region_load32(region, CELL, &value));
            if (value % 2 == mine)
                break;
            int err = job_region_wait32(region, CELL, value, -1);
            ck_assert(err == 0 || err == -EAGAIN);
        }
        ck_assert_ok(job_region_store32(region, CELL, value + 1));
        ck_assert_int_ge(job_region_notify(region, CELL, 1), 0);
    }
    return NULL;
}

START_TEST(S11_no_wake_up_is_lost_between_compare_and_sleep)
{
    pthread_t threads[2];
    hand_overs = fixture_rounds("HAND_OVERS", 20000);
    for (uintptr_t i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hand_over, (void *)i), 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    uint32_t value = 0;
    ck_assert_ok(job_region_load32(region, CELL, &value));
    ck_assert_uint_eq(value, 2 * hand_overs);
}
END_TEST

START_TEST(S12_a_time_out_is_never_early)
{
    for (int64_t timeout_ns = 1; timeout_ns < 20000000; timeout_ns *= 7) {
        uint64_t begin = now_ns();
        ck_assert_int_eq(job_region_wait32(region, CELL, 0, timeout_ns), -ETIMEDOUT);
        ck_assert_uint_ge(now_ns() - begin, (uint64_t)timeout_ns);
    }
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 0);   /* nobody is left in the queue */
}
END_TEST

static void on_alarm(int number)
{
    (void)number;
}

START_TEST(S13_neither_stores_nor_signals_wake_a_waiter)
{
    struct waiting waiting;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGUSR1, &action, NULL);
    start_waiting(&waiting, CELL, false);
    for (unsigned i = 0; i < 200; i++) {
        pthread_kill(waiting.thread, SIGUSR1);
        ck_assert_ok(job_region_add32(region, CELL, 1, NULL));
        ck_assert_int_eq(job_region_notify(region, OTHER, INT_MAX), 0);
        sched_yield();
    }
    uint32_t woken = 1;
    ck_assert_ok(job_region_load32(region, READY, &woken));
    ck_assert_uint_eq(woken, 0);
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
    join(&waiting);
}
END_TEST

/* A wait of 50 ms, of a thread that is disturbed all the time. */
struct disturbed {
    pthread_t thread;
    struct job_region *of;
    uint64_t waited_ns;
    int result, tid, has_ended;
};

enum { PATIENCE_NS = 50000000, LATE_SIGNALS_MAX = 1000 };

static int alarms;

static void on_counted_alarm(int number)
{
    (void)number;
    (void)__atomic_fetch_add(&alarms, 1, __ATOMIC_RELAXED);
}

static void *wait_disturbed(void *arg)
{
    struct disturbed *disturbed = arg;
    uint64_t begin = now_ns();
    __atomic_store_n(&disturbed->tid, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    disturbed->result = job_region_wait32(disturbed->of, CELL, 0, PATIENCE_NS);
    disturbed->waited_ns = now_ns() - begin;
    __atomic_store_n(&disturbed->has_ended, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool has_ended(struct disturbed *disturbed)
{
    return __atomic_load_n(&disturbed->has_ended, __ATOMIC_ACQUIRE) != 0;
}

/* One signal a millisecond, each of which has come before the next; the first may come before the thread waits. Counted are those behind
 * the time-out: one of them is enough to end a wait that goes on with the time that is left, and none of them one that begins anew. */
static void disturb(struct disturbed *disturbed)
{
    unsigned late = 0;
    while (__atomic_load_n(&disturbed->tid, __ATOMIC_ACQUIRE) == 0)   /* not until it sleeps: the wait may be over by then */
        sched_yield();
    uint64_t until_ns = now_ns() + PATIENCE_NS;
    while (!has_ended(disturbed)) {
        int before = __atomic_load_n(&alarms, __ATOMIC_RELAXED);
        ck_assert_uint_lt(late, LATE_SIGNALS_MAX);
        late += now_ns() > until_ns;
        pthread_kill(disturbed->thread, SIGUSR1);
        while (__atomic_load_n(&alarms, __ATOMIC_RELAXED) == before && !has_ended(disturbed))
            sched_yield();
        usleep(1000);
    }
}

START_TEST(S13_a_wait_that_is_interrupted_goes_on_with_the_time_that_is_left)
{
    struct sigaction action = {.sa_handler = on_counted_alarm};   /* no SA_RESTART: each ends the kernel's wait */
    struct job_region *shared = NULL;
    const struct job_region_options options = {.size = 64, .is_shared = true};
    sigaction(SIGUSR1, &action, NULL);
    ck_assert_ok(job_region_open_with(runtime, &options, &shared));
    for (unsigned i = 0; i < 2; i++) {
        struct disturbed disturbed = {.of = i ? shared : region};
        ck_assert_int_eq(pthread_create(&disturbed.thread, NULL, wait_disturbed, &disturbed), 0);
        disturb(&disturbed);
        ck_assert_int_eq(pthread_join(disturbed.thread, NULL), 0);
        ck_assert_int_eq(disturbed.result, -ETIMEDOUT);
        ck_assert_uint_ge(disturbed.waited_ns, PATIENCE_NS);   /* no signal ended it */
    }
    job_region_release(&shared);
}
END_TEST

START_TEST(S14_S15_notify_wakes_exactly_so_many_first_come_first_woken)
{
    struct waiting waiting[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        start_waiting(&waiting[i], CELL, false);

    ck_assert_int_eq(job_region_notify(region, CELL, 0), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
        await_woken(i + 1);
    }
    ck_assert_int_eq(job_region_notify(region, CELL, 2), 2);
    await_woken(5);
    ck_assert_int_eq(job_region_notify(region, CELL, INT_MAX), THREADS - 5);
    for (unsigned i = 0; i < THREADS; i++)
        join(&waiting[i]);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(waiting[i].order, i);
    ck_assert(waiting[3].order < 5 && waiting[4].order < 5);
    ck_assert_int_eq(job_region_notify(region, CELL, INT_MAX), 0);   /* S17 */
}
END_TEST

START_TEST(S16_a_cell_has_its_own_waiters_whatever_their_width)
{
    struct waiting narrow, wide, other;
    start_waiting(&narrow, CELL, false);
    start_waiting(&wide, CELL, true);
    start_waiting(&other, OTHER, true);

    ck_assert_int_eq(job_region_notify(region, CELL + 4, INT_MAX), 0);
    ck_assert_int_eq(job_region_notify(region, CELL, INT_MAX), 2);
    join(&narrow);
    join(&wide);
    ck_assert_int_eq(job_region_notify(region, OTHER, INT_MAX), 1);
    join(&other);
}
END_TEST

static struct job_region_waiter waiters[2];
static unsigned woken_count, closed_count;
static int last_status;
static struct job_region_waiter *order[4];

static void on_woken(struct job_region_waiter *waiter, int status)
{
    order[woken_count++ % 4] = waiter;
    last_status = status;
}

static void on_waiter_closed(struct job_region_waiter *waiter)
{
    (void)waiter;
    closed_count++;
}

static void open_waiters(void)
{
    woken_count = closed_count = 0;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_ok(job_region_waiter_open(loop, &waiters[i], on_woken));
}

START_TEST(S19_a_waiter_on_a_loop_is_told_once_and_keeps_the_loop_alive)
{
    open_waiters();
    ck_assert_int_eq(job_loop_run(loop), 0);   /* waits for nothing */
    ck_assert_int_eq(job_region_waiter_wait32(&waiters[0], region, CELL, 1, -1), -EAGAIN);
    ck_assert_int_eq(job_region_waiter_wait32(&waiters[0], region, CELL, 0, 0), -ETIMEDOUT);
    ck_assert_int_eq(job_region_waiter_wait32(&waiters[0], region, CELL + 1, 0, -1), -EINVAL);
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1));
    ck_assert_int_eq(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1), -EBUSY);
    ck_assert_ok(job_region_waiter_wait64(&waiters[1], region, CELL, 0, 1000000));
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
    ck_assert_uint_eq(woken_count, 0);   /* not inside the call */

    job_handle_unref(&waiters[0].handle);      /* were the other one woken in its place, the run would have no end */
    ck_assert_int_eq(job_loop_run(loop), 0);   /* the other one's time is over */

    ck_assert_uint_eq(woken_count, 2);
    ck_assert_ptr_eq(order[0], &waiters[0]);
    ck_assert_int_eq(last_status, -ETIMEDOUT);
    job_handle_ref(&waiters[0].handle);
    ck_assert_int_eq(job_loop_run(loop), 0);   /* nobody waits any more */
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1));
    job_handle_unref(&waiters[0].handle);
    ck_assert_int_eq(job_loop_run(loop), 0);   /* returns although it waits */
    job_region_waiter_close(&waiters[0], on_waiter_closed);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closed_count, 1);
    ck_assert_uint_eq(woken_count, 2);
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 0);
    ck_assert_int_eq(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1), -ECANCELED);
}
END_TEST

START_TEST(S15_threads_and_waiters_on_a_loop_stand_in_one_queue)
{
    struct waiting first, third;
    open_waiters();
    start_waiting(&first, CELL, false);
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1));
    start_waiting(&third, CELL, false);

    ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
    await_woken(1);   /* which of them is asked at the end: a join of the wrong one would wait for ever */
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(woken_count, 1);
    ck_assert_int_eq(last_status, 0);
    ck_assert_int_eq(job_region_notify(region, CELL, 9), 1);
    join(&first);
    join(&third);
    ck_assert_uint_eq(first.order, 0);
    ck_assert_uint_eq(third.order, 1);
}
END_TEST

START_TEST(a_waiter_that_is_closed_while_its_mail_is_on_the_way_is_not_called)
{
    open_waiters();
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1));
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
    job_region_waiter_close(&waiters[0], on_waiter_closed);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(woken_count, 0);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

static void block_on_loop(struct job_call *call)
{
    (void)call;
    ck_assert_int_eq(job_region_wait32(region, CELL, 0, 0), -ETIMEDOUT);
    ck_assert_int_eq(job_region_wait32(region, CELL, 0, 1), -EDEADLK);
    ck_assert_int_eq(job_region_wait64(region, CELL, 0, -1), -EDEADLK);
    ck_assert_int_eq(job_region_wait32(region, CELL, 1, -1), -EAGAIN);
}

START_TEST(a_loop_thread_may_not_block)
{
    struct job_call call = {.run = block_on_loop};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(S28_a_child_shares_a_region_and_its_waits_and_its_death_wakes_nobody)
{
    struct job_region *shared = NULL;
    uint32_t value = 0;
    const struct job_region_options options = {.size = 64, .size_max = 8192, .is_shared = true};
    ck_assert_ok(job_region_open_with(runtime, &options, &shared));
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        while (job_region_size(shared) < 8192)
            sched_yield();
        (void)job_region_store32(shared, 8000, 7);   /* in what the parent has added since */
        (void)job_region_store32(shared, 0, 1);
        (void)job_region_notify(shared, 0, 1);
        int err = 0;
        while (err == 0 || err == -EAGAIN)
            err = job_region_wait32(shared, 4, 0, -1);
        _exit(1);
    }
    ck_assert_ok(job_region_grow(shared, 8192));
    for (;;) {
        int err = job_region_wait32(shared, 0, 0, -1);
        ck_assert(err == 0 || err == -EAGAIN);
        ck_assert_ok(job_region_load32(shared, 0, &value));
        if (value == 1)
            break;
    }
    ck_assert_ok(job_region_load32(shared, 8000, &value));
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(job_region_wait64(shared, 0, 1, -1), -EOPNOTSUPP);
    kill(child, SIGKILL);   /* while it waits, or just before */
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(job_region_wait32(shared, 4, 0, 1000000), -ETIMEDOUT);
    ck_assert_int_eq(job_region_notify(shared, 4, 1), 0);
    job_region_release(&shared);
}
END_TEST

START_TEST(to_notify_none_wakes_none_also_in_a_shared_region)
{
    struct job_region *mine = region;
    struct waiting waiting;
    for (unsigned is_shared = 0; is_shared < 2; is_shared++) {
        if (is_shared)
            ck_assert_ok(job_region_open_with(
                runtime, &(struct job_region_options){.size = 64, .is_shared = true}, &region));
        start_waiting(&waiting, CELL, false);
        ck_assert_int_eq(job_region_notify(region, CELL, 0), 0);
        ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
        join(&waiting);
    }
    job_region_release(&region);
    region = mine;
}
END_TEST

static struct job_region *with_a_child;
static int child_status = -1;

static void fork_on_loop(struct job_call *call)
{
    (void)call;
    pid_t child = fork();
    if (child == 0)
        _exit(job_region_wait32(with_a_child, CELL, 0, 1000000) == -ETIMEDOUT ? 0 : 1);
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &child_status, 0), child);
}

START_TEST(S28_a_child_that_a_callback_has_forked_may_wait)
{
    struct job_call call = {.run = fork_on_loop};
    ck_assert_ok(job_region_open_with(
        runtime, &(struct job_region_options){.size = 64, .is_shared = true}, &with_a_child));
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(child_status, 0);
    job_region_release(&with_a_child);
}
END_TEST

static void on_closed_elsewhere(struct job_region_waiter *waiter)
{
    (void)waiter;
    ck_abort_msg("nobody may name this");
}

static void stop_loop(struct job_call *call)
{
    (void)call;
    job_loop_stop(loop);
}

static void *close_elsewhere(void *arg)
{
    (void)arg;
    job_region_waiter_close(&waiters[0], on_closed_elsewhere);   /* ignored, and said so in the log */
    return NULL;
}

START_TEST(a_close_on_another_thread_changes_nothing)
{
    pthread_t thread;
    open_waiters();
    struct job_call call = {.run = stop_loop};
    ck_assert_ok(job_loop_call(loop, &call));   /* the loop is ours once it has run */
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, close_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], region, CELL, 0, -1));   /* it is open */
    ck_assert_ok(job_loop_close(&loop, 0));
}
END_TEST

static void passed(struct job_timer *timer)
{
    job_timer_close(timer, NULL);
}

START_TEST(a_waiter_that_was_notified_is_not_told_of_its_time_out_as_well)
{
    struct job_timer later;
    open_waiters();
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], region, CELL, 0, 1000000));
    ck_assert_int_eq(job_region_notify(region, CELL, 1), 1);
    ck_assert_ok(job_timer_open(loop, &later, passed));
    ck_assert_ok(job_timer_start(&later, 2000000));   /* due behind the time-out, however late either is */

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(woken_count, 1);
    ck_assert_int_eq(last_status, 0);
}
END_TEST

static uint64_t regions_now(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.regions;
}

START_TEST(a_waiter_holds_its_region_until_it_is_told)
{
    struct job_region *short_lived = NULL;
    open_waiters();
    ck_assert_ok(job_region_open(runtime, 64, &short_lived));
    ck_assert_ok(job_region_waiter_wait32(&waiters[0], short_lived, CELL, 0, 1000000));
    job_region_release(&short_lived);
    ck_assert_uint_eq(regions_now(), 2);   /* with that of the fixture */

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(woken_count, 1);
    ck_assert_int_eq(last_status, -ETIMEDOUT);
    ck_assert_uint_eq(regions_now(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region wait");
    TCase *tcase = tcase_create("region wait");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, S11_a_wait_for_another_value_returns_at_once);
    tcase_add_test(tcase, S11_no_wake_up_is_lost_between_compare_and_sleep);
    tcase_add_test(tcase, S12_a_time_out_is_never_early);
    tcase_add_test(tcase, S13_neither_stores_nor_signals_wake_a_waiter);
    tcase_add_test(tcase, S13_a_wait_that_is_interrupted_goes_on_with_the_time_that_is_left);
    tcase_add_test(tcase, S14_S15_notify_wakes_exactly_so_many_first_come_first_woken);
    tcase_add_test(tcase, S16_a_cell_has_its_own_waiters_whatever_their_width);
    tcase_add_test(tcase, S19_a_waiter_on_a_loop_is_told_once_and_keeps_the_loop_alive);
    tcase_add_test(tcase, S15_threads_and_waiters_on_a_loop_stand_in_one_queue);
    tcase_add_test(tcase, a_waiter_that_is_closed_while_its_mail_is_on_the_way_is_not_called);
    tcase_add_test(tcase, a_loop_thread_may_not_block);
    tcase_add_test(tcase, S28_a_child_shares_a_region_and_its_waits_and_its_death_wakes_nobody);
    tcase_add_test(tcase, to_notify_none_wakes_none_also_in_a_shared_region);
    tcase_add_test(tcase, S28_a_child_that_a_callback_has_forked_may_wait);
    tcase_add_test(tcase, a_close_on_another_thread_changes_nothing);
    tcase_add_test(tcase, a_waiter_that_was_notified_is_not_told_of_its_time_out_as_well);
    tcase_add_test(tcase, a_waiter_holds_its_region_until_it_is_told);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
