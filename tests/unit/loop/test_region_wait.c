/* test_region_wait.c — waiting for cells: threads that block and waiters on a loop in one queue, growing, and children that share. */
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "support/fixture.h"

enum { THREADS = 8, CELL = 16, OTHER = 24, READY = 32 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_region *region;

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_region_open(runtime, 4096, &region));
}

static void teardown(void)
{
    job_region_release(&region);
    ck_assert_ok(job_loop_close(&loop, 0));
    fixture_close(runtime);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

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

/* Until the thread sleeps in the kernel: then it is in the queue, since it has nothing else to sleep for. */
static void await_sleeping(const int *where)
{
    char path[64], text[512];
    int tid;
    while ((tid = __atomic_load_n(where, __ATOMIC_ACQUIRE)) == 0)
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    for (;;) {
        FILE *file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
        fclose(file);
        const char *state = strrchr(text, ')');
        if (state && state[2] == 'S')
            return;
        sched_yield();
    }
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

START_TEST(S05_S06_cells_of_8_and_16_bits_return_the_old_value_and_wrap)
{
    uint8_t narrow = 0;
    uint16_t half = 0;
    ck_assert_ok(job_region_store8(region, 1, 250));
    ck_assert_ok(job_region_add8(region, 1, 10, &narrow));
    ck_assert_uint_eq(narrow, 250);
    ck_assert_ok(job_region_load8(region, 1, &narrow));
    ck_assert_uint_eq(narrow, 4);
    ck_assert_ok(job_region_sub8(region, 1, 5, &narrow));
    ck_assert_ok(job_region_load8(region, 1, &narrow));
    ck_assert_uint_eq(narrow, 255);
    ck_assert_ok(job_region_load8(region, 0, &narrow));
    ck_assert_uint_eq(narrow, 0);   /* neighbours */
    ck_assert_ok(job_region_load8(region, 2, &narrow));
    ck_assert_uint_eq(narrow, 0);
    ck_assert_ok(job_region_store16(region, 4, 0xFFFF));
    ck_assert_ok(job_region_add16(region, 4, 2, &half));
    ck_assert_uint_eq(half, 0xFFFF);
    ck_assert_ok(job_region_xor16(region, 4, 0xF0F1, &half));
    ck_assert_uint_eq(half, 1);
    half = 0xF0F0;
    ck_assert_ok(job_region_compare_exchange16(region, 4, &half, 7));
    ck_assert_uint_eq(half, 0xF0F0);
    ck_assert_ok(job_region_exchange16(region, 4, 9, &half));
    ck_assert_uint_eq(half, 7);
    ck_assert_int_eq(job_region_load16(region, 5, &half), -EINVAL);
    ck_assert_int_eq(job_region_load16(region, SIZE_MAX - 1, &half), -EINVAL);   /* S07 */
    ck_assert_int_eq(job_region_load8(region, 4096, &narrow), -EINVAL);
    ck_assert_ok(job_region_load8(region, 4095, &narrow));
}
END_TEST

START_TEST(S03_a_region_grows_to_its_maximum_and_never_shrinks)
{
    struct job_region *growing = NULL;
    uint32_t value = 1;
    const struct job_region_options options = {.size = 100, .size_max = 100000}, bad = {.size = 10, .size_max = 9};
    ck_assert_ok(job_region_open_with(runtime, &options, &growing));
    void *cells = job_region_cell(growing, 0, 1);
    ck_assert_ok(job_region_store32(growing, 96, 5));
    ck_assert_int_eq(job_region_load32(growing, 100, &value), -EINVAL);
    ck_assert_ok(job_region_grow(growing, 100));
    ck_assert_ok(job_region_grow(growing, 50000));
    ck_assert_int_eq(job_region_grow(growing, 49999), -EINVAL);
    ck_assert_int_eq(job_region_grow(growing, 100001), -EINVAL);
    ck_assert_uint_eq(job_region_size(growing), 50000);
    ck_assert_ptr_eq(job_region_cell(growing, 0, 1), cells);
    for (size_t at = 100; at + 4 <= 50000; at += 4) {
        ck_assert_ok(job_region_load32(growing, at, &value));
        ck_assert_uint_eq(value, 0);
    }
    ck_assert_ok(job_region_load32(growing, 96, &value));
    ck_assert_uint_eq(value, 5);
    job_region_release(&growing);
    ck_assert_int_eq(job_region_grow(region, 4097), -EINVAL);   /* one that has no maximum */
    ck_assert_int_eq(job_region_grow(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_region_open_with(runtime, &bad, &growing), -EINVAL);
}
END_TEST

static void *grow_steadily(void *arg)
{
    struct job_region *growing = arg;
    for (size_t size = 4; size <= 400000; size += 400)
        ck_assert_ok(job_region_grow(growing, size));
    return NULL;
}

START_TEST(S03_another_thread_sees_only_larger_sizes_and_zero_bytes)
{
    struct job_region *growing = NULL;
    pthread_t thread;
    const struct job_region_options options = {.size = 4, .size_max = 400004};
    ck_assert_ok(job_region_open_with(runtime, &options, &growing));
    ck_assert_int_eq(pthread_create(&thread, NULL, grow_steadily, growing), 0);
    for (size_t last = 0; last < 399000;) {
        uint32_t value = 1;
        size_t size = job_region_size(growing);
        ck_assert_uint_ge(size, last);
        ck_assert_ok(job_region_load32(growing, size / 4 * 4 - 4, &value));
        ck_assert_uint_eq(value, 0);
        last = size;
    }
    pthread_join(thread, NULL);
    job_region_release(&growing);
}
END_TEST

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

/* One signal a millisecond, each of which has come before the next. Counted are those behind the time-out: one of them is enough to end a
 * wait that goes on with the time that is left, and none of them one that begins anew. */
static void disturb(struct disturbed *disturbed)
{
    unsigned late = 0;
    await_sleeping(&disturbed->tid);
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

START_TEST(S23_S24_what_is_lock_free_is_known)
{
    static const size_t widths[] = {1, 2, 4, 8};
    for (unsigned i = 0; i < 4; i++)
        ck_assert(job_region_is_lock_free(widths[i]));
    ck_assert(!job_region_is_lock_free(0) && !job_region_is_lock_free(3) && !job_region_is_lock_free(16));
    job_cpu_relax();
}
END_TEST

/* Store buffering: of two that store and then load, at least one sees the other; and message passing. */
enum { LITMUS_MAX = 20000 };
static unsigned litmus_rounds;
static uint32_t seen[2][LITMUS_MAX + 1];

static void *litmus_side(void *arg)
{
    unsigned side = (unsigned)(uintptr_t)arg;
    for (uint32_t round = 1; round <= litmus_rounds; round++) {
        uint32_t here = 0;
        (void)job_region_add32(region, 256, 1, NULL);
        for (unsigned looks = 0; here < 2 * round; looks++) {   /* both have come */
            (void)job_region_load32(region, 256, &here);
            if (looks > 100)
                sched_yield();
        }
        (void)job_region_store32(region, 64 + 64 * side, round);
        (void)job_region_load32(region, 128 - 64 * side, &seen[side][round]);
    }
    return NULL;
}

START_TEST(S25_stores_and_loads_are_sequentially_consistent)
{
    pthread_t threads[2];
    unsigned left = fixture_rounds("LITMUS", LITMUS_MAX);
    for (; left > 0; left -= litmus_rounds) {
        litmus_rounds = left < LITMUS_MAX ? left : LITMUS_MAX;
        for (size_t cell = 64; cell <= 256; cell += 64)
            ck_assert_ok(job_region_store32(region, cell, 0));
        for (uintptr_t i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, litmus_side, (void *)i), 0);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        for (uint32_t round = 1; round <= litmus_rounds; round++)
            ck_assert(seen[0][round] >= round || seen[1][round] >= round);
    }
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

/* A task that waits for a cell without an end, and who ends it. */
enum ender {
    BY_CANCEL, BY_HANDLE_CANCEL, BY_HANDLE_CLOSE, BY_POOL_STOP, BY_POOL_CLOSE, BY_LOOP_CLOSE, BEFORE_IT_WAITS, ENDERS
};

struct waiting_task {
    struct job_task task;
    struct job_timer timer;         /* its handle */
    struct job_region *region;
    bool is_wide;
    int tid, may_wait;              /* atomic: set by the task; by who ends it */
    int result, status;
    unsigned done;
};

static struct job_pool *pool;
static struct waiting_task asleep;

/* As on kernels that have no futex_waitv(2): for this thread and those that it starts, until the process of this test ends. */
static void refuse_waitv(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
    ck_assert_int_eq(syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0), -1);
    ck_assert_int_eq(errno, ENOSYS);
}

static void waits_without_end(struct job_task *task)
{
    struct waiting_task *mine = job_container_of(task, struct waiting_task, task);
    __atomic_store_n(&mine->tid, (int)gettid(), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&mine->may_wait, __ATOMIC_ACQUIRE))
        sched_yield();
    mine->result = mine->is_wide ? job_region_wait64(mine->region, CELL, 0, -1)
                                 : job_region_wait32(mine->region, CELL, 0, -1);
    ck_assert(job_task_is_cancelled(task) || mine->result != -ECANCELED);
}

static void has_waited(struct job_task *task, int status)
{
    struct waiting_task *mine = job_container_of(task, struct waiting_task, task);
    mine->status = status;
    mine->done++;
}

static void nothing_fires(struct job_timer *timer)
{
    (void)timer;
}

static void start_task(struct waiting_task *mine, bool is_wide, bool is_shared)
{
    struct job_region_options options = {.size = 64, .is_shared = is_shared};
    *mine = (struct waiting_task){.is_wide = is_wide};
    ck_assert_ok(job_region_open_with(runtime, &options, &mine->region));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_timer_open(loop, &mine->timer, nothing_fires));
    ck_assert_ok(job_task_init(&mine->task, pool, waits_without_end, has_waited));
    ck_assert_ok(job_submit(pool, &mine->task, &mine->timer.handle));
}

static void end_task(struct waiting_task *mine, int how)
{
    switch (how) {
    case BEFORE_IT_WAITS:
    case BY_CANCEL: ck_assert_int_eq(job_task_cancel(&mine->task), -EALREADY); break;
    case BY_HANDLE_CANCEL: ck_assert_ok(job_handle_cancel(&mine->timer.handle)); break;
    case BY_HANDLE_CLOSE: job_timer_close(&mine->timer, NULL); break;
    case BY_POOL_STOP: job_pool_stop(pool); break;
    case BY_POOL_CLOSE: ck_assert_ok(job_pool_close(&pool)); break;
    default: ck_assert_ok(job_loop_close(&loop, 0)); break;
    }
}

static void run_until_done(struct waiting_task *mine)
{
    job_timer_close(&mine->timer, NULL);   /* more than once is harmless */
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(mine->done, 1);
}

static void ends_a_wait(int how, bool is_wide, bool is_shared)
{
    start_task(&asleep, is_wide, is_shared);
    if (how != BEFORE_IT_WAITS) {
        __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
        await_sleeping(&asleep.tid);
    } else {
        while (__atomic_load_n(&asleep.tid, __ATOMIC_ACQUIRE) == 0)
            sched_yield();
    }

    end_task(&asleep, how);
    __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
    while (loop && asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);   /* as long as the task is out */
    if (loop)
        run_until_done(&asleep);

    ck_assert_uint_eq(asleep.done, 1);
    ck_assert_int_eq(asleep.result, -ECANCELED);
    ck_assert_int_eq(asleep.status, 0);   /* the task says itself how it has ended */
    ck_assert_int_eq(job_region_notify(asleep.region, CELL, UINT_MAX), 0);   /* it is in no queue any more */
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}

START_TEST(S13_a_task_that_waits_ends_by_its_cancel_its_handle_its_pool_or_its_loop)
{
    ends_a_wait(_i, false, false);
}
END_TEST

START_TEST(S13_the_same_for_a_cell_of_64_bits_and_for_one_that_processes_share)
{
    ends_a_wait(BY_CANCEL, true, false);
    ends_a_wait(BY_POOL_STOP, false, true);
    ends_a_wait(BY_HANDLE_CLOSE, false, true);
    ends_a_wait(BEFORE_IT_WAITS, false, true);
}
END_TEST

START_TEST(S13_a_task_that_waits_ends_also_where_the_kernel_waits_for_one_word_only)
{
    refuse_waitv();
    ends_a_wait(BY_CANCEL, false, false);
    ends_a_wait(BY_POOL_STOP, false, true);
}
END_TEST

/* A task is no worse a waiter than a thread. */
START_TEST(a_task_that_waits_is_notified_and_counted)
{
    if (_i % 2 == 1)
        refuse_waitv();
    start_task(&asleep, false, _i >= 2);
    __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
    await_sleeping(&asleep.tid);

    int woken;
    while ((woken = job_region_notify(asleep.region, CELL, UINT_MAX)) == 0)
        sched_yield();   /* between two slices it is in no queue of the kernel's */
    while (asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);   /* as long as the task is out */
    run_until_done(&asleep);

    ck_assert_int_eq(woken, 1);
    ck_assert_int_eq(asleep.result, 0);
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

static void waits_a_moment(struct job_task *task)
{
    struct waiting_task *mine = job_container_of(task, struct waiting_task, task);
    mine->result = job_region_wait32(mine->region, CELL, 0, 60000000);   /* longer than a slice */
}

START_TEST(a_task_that_nobody_notifies_times_out)
{
    if (_i % 2 == 1)
        refuse_waitv();
    asleep = (struct waiting_task){0};
    uint64_t begin = now_ns();
    struct job_region_options options = {.size = 64, .is_shared = _i >= 2};
    ck_assert_ok(job_region_open_with(runtime, &options, &asleep.region));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_timer_open(loop, &asleep.timer, nothing_fires));
    ck_assert_ok(job_task_init(&asleep.task, pool, waits_a_moment, has_waited));
    ck_assert_ok(job_submit(pool, &asleep.task, &asleep.timer.handle));

    while (asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);
    run_until_done(&asleep);

    ck_assert_int_eq(asleep.result, -ETIMEDOUT);
    ck_assert_uint_ge(now_ns() - begin, 60000000);   /* never early */
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region wait");
    TCase *tcase = tcase_create("region wait");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, S05_S06_cells_of_8_and_16_bits_return_the_old_value_and_wrap);
    tcase_add_test(tcase, S03_a_region_grows_to_its_maximum_and_never_shrinks);
    tcase_add_test(tcase, S03_another_thread_sees_only_larger_sizes_and_zero_bytes);
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
    tcase_add_test(tcase, S23_S24_what_is_lock_free_is_known);
    tcase_add_test(tcase, S25_stores_and_loads_are_sequentially_consistent);
    tcase_add_test(tcase, S28_a_child_shares_a_region_and_its_waits_and_its_death_wakes_nobody);
    tcase_add_test(tcase, to_notify_none_wakes_none_also_in_a_shared_region);
    tcase_add_test(tcase, S28_a_child_that_a_callback_has_forked_may_wait);
    tcase_add_test(tcase, a_close_on_another_thread_changes_nothing);
    tcase_add_loop_test(tcase, S13_a_task_that_waits_ends_by_its_cancel_its_handle_its_pool_or_its_loop, 0, ENDERS);
    tcase_add_test(tcase, S13_the_same_for_a_cell_of_64_bits_and_for_one_that_processes_share);
    tcase_add_test(tcase, S13_a_task_that_waits_ends_also_where_the_kernel_waits_for_one_word_only);
    tcase_add_loop_test(tcase, a_task_that_waits_is_notified_and_counted, 0, 4);
    tcase_add_loop_test(tcase, a_task_that_nobody_notifies_times_out, 0, 4);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
