/* test_blocking.c — a pool for calls that block: threads that come with the calls and go when there are none, order, cancel, close. */
#include <sched.h>
#include <semaphore.h>

#include "sched/pool.h"
#include "support/fixture.h"

enum { LIMIT_SMALL = 3, SLEEPERS = 64 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer anchor;
static sem_t begun, gate;
static unsigned done_count, cancelled_count;

static void setup(void)
{
    runtime = fixture_runtime();
    pool = NULL;
    loop = NULL;
    done_count = cancelled_count = 0;
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static void open_pool(unsigned workers, uint64_t idle_timeout_ns)
{
    struct job_pool_options options = {
        .blocking = true, .workers = workers, .queue_limit = 256, .idle_timeout_ns = idle_timeout_ns, .name = "calls"};
    ck_assert_ok(job_pool_open(runtime, &pool, &options));
}

static void fired(struct job_timer *timer)
{
    (void)timer;
    job_loop_stop(loop);
}

static void open_loop(void)
{
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &anchor, fired));
}

static void blocks(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    sem_wait(&gate);
}

static void nothing(struct job_task *task)
{
    (void)task;
}

/* On the loop, or, of a task without a handle, on a pool thread. */
static void done(struct job_task *task, int status)
{
    (void)task;
    (void)__atomic_fetch_add(&cancelled_count, status == -ECANCELED, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&done_count, 1, __ATOMIC_RELEASE);
}

static void wait_for(sem_t *semaphore, unsigned count)
{
    for (; count > 0; count--)
        ck_assert_int_eq(sem_wait(semaphore), 0);
}

static void let_go(unsigned count)
{
    for (; count > 0; count--)
        sem_post(&gate);
}

static uint64_t threads_now(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.threads;
}

START_TEST(a_pool_that_is_never_used_has_no_thread)
{
    uint64_t before = threads_now();

    open_pool(0, 0);

    ck_assert_uint_eq(job_pool_workers(pool), 0);
    ck_assert_uint_eq(threads_now(), before);
}
END_TEST

START_TEST(J01_each_call_that_blocks_has_a_thread_up_to_the_limit)
{
    struct job_task tasks[LIMIT_SMALL + 1];
    open_pool(LIMIT_SMALL, 0);
    open_loop();
    for (unsigned i = 0; i <= LIMIT_SMALL; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, i < LIMIT_SMALL ? blocks : nothing, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));
    }

    wait_for(&begun, LIMIT_SMALL);   /* all at a time */
    ck_assert_uint_eq(job_pool_workers(pool), LIMIT_SMALL);
    ck_assert_uint_eq(done_count, 0);
    let_go(LIMIT_SMALL);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, LIMIT_SMALL + 1);
    ck_assert_uint_le(job_pool_workers(pool), LIMIT_SMALL);
}
END_TEST


START_TEST(sixty_four_sleeping_calls_do_not_delay_a_compute_task)
{
    struct job_pool *computers = NULL;
    static struct job_task calls[SLEEPERS];
    struct job_task task;
    open_pool(SLEEPERS, 0);
    open_loop();
    ck_assert_ok(job_pool_open(runtime, &computers, &(struct job_pool_options){.workers = 1}));
    for (unsigned i = 0; i < SLEEPERS; i++) {
        ck_assert_ok(job_task_init(&calls[i], pool, blocks, done));
        ck_assert_ok(job_submit(pool, &calls[i], &anchor.handle));
    }
    wait_for(&begun, SLEEPERS);

    ck_assert_ok(job_task_init(&task, computers, nothing, done));
    ck_assert_ok(job_submit(computers, &task, &anchor.handle));
    while (__atomic_load_n(&done_count, __ATOMIC_ACQUIRE) == 0) {
        ck_assert_ok(job_timer_start(&anchor, 0));
        ck_assert_int_ge(job_loop_run(loop), 0);
    }

    ck_assert_uint_eq(job_pool_workers(pool), SLEEPERS);   /* all of them still sleep */
    let_go(SLEEPERS);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(done_count, SLEEPERS + 1);
    ck_assert_int_eq(job_pool_close(&computers), 0);
}
END_TEST

static unsigned order[16], order_count;

static void notes(struct job_task *task)
{
    order[order_count++] = *(unsigned *)task->data;
}

START_TEST(calls_of_one_loop_run_in_the_order_of_their_submission)
{
    struct job_task first, tasks[8];
    unsigned numbers[8];
    order_count = 0;
    open_pool(1, 0);
    open_loop();
    ck_assert_ok(job_task_init(&first, pool, blocks, done));
    ck_assert_ok(job_submit(pool, &first, &anchor.handle));
    wait_for(&begun, 1);
    for (unsigned i = 0; i < 8; i++) {
        numbers[i] = i;
        ck_assert_ok(job_task_init(&tasks[i], pool, notes, done));
        tasks[i].data = &numbers[i];
        ck_assert_ok(job_submit(pool, &tasks[i], i % 2 ? &anchor.handle : NULL));
    }

    let_go(1);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);

    ck_assert_uint_eq(order_count, 8);
    unsigned next[2] = {0, 1};   /* those with a handle, and those without */
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(order[i], next[order[i] % 2]);
        next[order[i] % 2] += 2;
    }
}
END_TEST

START_TEST(J01_threads_that_are_idle_go_but_for_the_last)
{
    struct job_task tasks[LIMIT_SMALL];
    open_pool(LIMIT_SMALL, 1000000);
    open_loop();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < LIMIT_SMALL; i++) {
            ck_assert_ok(job_task_init(&tasks[i], pool, blocks, done));
            ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));
        }
        wait_for(&begun, LIMIT_SMALL);
        let_go(LIMIT_SMALL);
        ck_assert_int_eq(job_loop_run(loop), 0);

        while (job_pool_workers(pool) > 1 || threads_now() > 2)   /* the last one, and the helper; check's time-out is the watchdog */
            sched_yield();
    }
    ck_assert_uint_eq(job_pool_workers(pool), 1);
}
END_TEST

START_TEST(a_queued_call_that_was_cancelled_does_not_run)
{
    struct job_task first, second, third;
    unsigned number = 3;
    order_count = 0;
    open_pool(1, 0);
    open_loop();
    ck_assert_ok(job_task_init(&first, pool, blocks, done));
    ck_assert_ok(job_task_init(&second, pool, blocks, done));
    ck_assert_ok(job_task_init(&third, pool, notes, done));
    third.data = &number;
    ck_assert_ok(job_submit(pool, &first, &anchor.handle));
    ck_assert_ok(job_submit(pool, &second, &anchor.handle));
    ck_assert_ok(job_submit(pool, &third, &anchor.handle));
    wait_for(&begun, 1);

    ck_assert_int_eq(job_task_cancel(&second), 0);
    ck_assert_int_eq(job_task_cancel(&first), -EALREADY);
    let_go(1);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, 3);
    ck_assert_uint_eq(cancelled_count, 1);
    ck_assert_uint_eq(order_count, 1);
}
END_TEST

static unsigned closed_after;

static void closed(struct job_timer *timer)
{
    (void)timer;
    closed_after = done_count;
}

START_TEST(closing_the_handle_cancels_what_is_queued_and_waits_for_what_runs)
{
    struct job_task tasks[4];
    open_pool(1, 0);
    open_loop();
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, blocks, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));
    }
    wait_for(&begun, 1);

    job_timer_close(&anchor, closed);
    let_go(1);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(closed_after, 4);
    ck_assert_uint_eq(cancelled_count, 3);
}
END_TEST

START_TEST(a_stopped_pool_cancels_and_a_closed_one_has_told_every_end)
{
    struct job_task tasks[4];
    open_pool(2, 0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, i < 2 ? blocks : nothing, NULL));
        ck_assert_ok(job_submit(pool, &tasks[i], NULL));
    }
    wait_for(&begun, 2);

    job_pool_stop(pool);
    ck_assert_int_eq(job_submit(pool, &tasks[3], NULL), -EBUSY);
    let_go(2);
    struct job_pool_stats stats;
    do {
        job_pool_stats(pool, &stats);
    } while (stats.run + stats.cancelled < 4);

    ck_assert_uint_eq(stats.submitted, 4);
    ck_assert_uint_eq(stats.run, 2);
    ck_assert_uint_eq(stats.cancelled, 2);
    ck_assert_int_eq(job_pool_close(&pool), 0);
}
END_TEST

static int close_result;
static struct job_task inner;

static void closes_its_pool(struct job_task *task)
{
    struct job_pool *own = task->pool;
    close_result = job_pool_close(&own);
    ck_assert_ok(job_submit(task->pool, &inner, NULL));
    sem_post(&begun);
}

START_TEST(a_call_cannot_close_its_pool_and_may_submit_to_it)
{
    struct job_task task;
    open_pool(1, 0);
    ck_assert_ok(job_task_init(&task, pool, closes_its_pool, NULL));
    ck_assert_ok(job_task_init(&inner, pool, blocks, NULL));
    ck_assert_ok(job_submit(pool, &task, NULL));

    wait_for(&begun, 2);
    let_go(1);

    ck_assert_int_eq(close_result, -EDEADLK);
    ck_assert_int_eq(job_pool_close(&pool), 0);
}
END_TEST

static struct job_task *retried;
static unsigned writable_count;

static void writable(struct job_task *task)
{
    writable_count++;
    ck_assert_ok(job_submit(pool, task, &anchor.handle));
}

START_TEST(a_full_lane_is_refused_and_told_of_room)
{
    struct job_task tasks[8];
    struct job_pool_options options = {.blocking = true, .workers = 1, .queue_limit = 4};
    ck_assert_ok(job_pool_open(runtime, &pool, &options));
    open_loop();
    writable_count = 0;
    int err = 0;
    for (unsigned i = 0; i < 8 && err == 0; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, blocks, done));
        err = job_submit(pool, &tasks[i], &anchor.handle);
        retried = &tasks[i];
        if (i == 0)
            wait_for(&begun, 1);
    }
    ck_assert_int_eq(err, -EAGAIN);
    unsigned count = (unsigned)(retried - tasks) + 1;

    ck_assert_ok(job_task_when_writable(retried, writable));
    let_go(count);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(writable_count, 1);
    ck_assert_uint_eq(done_count, count);
}
END_TEST

static void notes_sleeps(struct job_task *task)
{
    *(uint64_t *)task->data = load_relaxed(&pool->blocking->parked);   /* by the one thread that counts */
}

static void not_delivered(struct job_mail *mail)
{
    (void)mail;
    ck_abort_msg("delivered");
}

/* What is put into a queue here is taken back: the thread sleeps and hears of nothing. */
START_TEST(a_pool_is_full_when_what_is_queued_needs_the_threads_that_are_free)
{
    struct job_task task;
    struct mailbox home = {0};
    struct job_mail mail = {.job_deliver = not_delivered}, *last;
    uint64_t sleeps;
    open_pool(1, 0);
    open_loop();
    ck_assert(!blocking_is_full(pool));
    ck_assert_ok(job_task_init(&task, pool, notes_sleeps, done));
    task.data = &sleeps;
    ck_assert_ok(job_submit(pool, &task, &anchor.handle));
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned looks = 0; load_acquire(&pool->blocking->parked) == sleeps; fixture_pause(&looks)) {
    }
    ck_assert(!blocking_is_full(pool));

    struct lane *lane = pool_lane_open(pool, &home);
    ck_assert_ptr_nonnull(lane);
    ck_assert(lane_push(lane, &task));
    ck_assert(blocking_is_full(pool));
    ck_assert_ptr_eq(lane_pop(lane), &task);
    pool_lane_close(pool, lane);
    mailbox_post(&pool->inbox, &mail);
    ck_assert(blocking_is_full(pool));
    ck_assert_ptr_eq(mailbox_take(&pool->inbox, &last), &mail);
    ck_assert(!blocking_is_full(pool));
}
END_TEST

START_TEST(a_pool_is_full_when_all_threads_that_it_may_have_are_busy)
{
    struct job_task tasks[2];
    open_pool(2, 0);
    open_loop();
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(!blocking_is_full(pool));
        ck_assert_ok(job_task_init(&tasks[i], pool, blocks, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));
        wait_for(&begun, 1);
    }
    ck_assert(blocking_is_full(pool));

    let_go(2);
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(a_time_out_for_a_pool_that_computes_is_refused)
{
    ck_assert_int_eq(job_pool_open(runtime, &pool, &(struct job_pool_options){.idle_timeout_ns = 1}), -EINVAL);
    ck_assert_ptr_null(pool);
}
END_TEST

static bool refuses_threads, holds_threads;   /* read by threads that start before it is written */
static sem_t held, may_start;
int __real_pool_spawn(struct job_pool *of, pthread_t *thread, void *(*function)(void *arg), void *arg);
int __wrap_pool_spawn(struct job_pool *of, pthread_t *thread, void *(*function)(void *arg), void *arg);

int __wrap_pool_spawn(struct job_pool *of, pthread_t *thread, void *(*function)(void *arg), void *arg)
{
    if (__atomic_exchange_n(&holds_threads, false, __ATOMIC_SEQ_CST)) {
        sem_post(&held);
        wait_for(&may_start, 1);
    }
    return __atomic_load_n(&refuses_threads, __ATOMIC_SEQ_CST) ? -EAGAIN : __real_pool_spawn(of, thread, function, arg);
}

/* The third thread takes as long to start as one likes; the first has become free meanwhile. */
START_TEST(J06_no_call_waits_for_a_thread_that_starts_beside_one_that_is_free)
{
    struct job_task tasks[3];
    sem_init(&held, 0, 0);
    sem_init(&may_start, 0, 0);
    open_pool(0, 0);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(job_task_init(&tasks[i], pool, blocks, done));
    ck_assert_ok(job_submit(pool, &tasks[0], NULL));
    wait_for(&begun, 1);   /* and a second thread is there */
    __atomic_store_n(&holds_threads, true, __ATOMIC_SEQ_CST);
    ck_assert_ok(job_submit(pool, &tasks[1], NULL));
    wait_for(&held, 1);    /* it has the call, and starts a third one first */
    let_go(1);
    while (__atomic_load_n(&done_count, __ATOMIC_ACQUIRE) < 1)
        sched_yield();

    ck_assert_ok(job_submit(pool, &tasks[2], NULL));
    wait_for(&begun, 1);   /* by the first thread: no other one can */

    sem_post(&may_start);
    wait_for(&begun, 1);
    let_go(2);
    while (__atomic_load_n(&done_count, __ATOMIC_ACQUIRE) < 3)
        sched_yield();
}
END_TEST

START_TEST(without_a_first_thread_a_submit_is_refused_and_changes_nothing)
{
    struct job_task task;
    struct job_buf *buf = NULL;
    open_pool(2, 0);
    open_loop();
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_task_init(&task, pool, nothing, done));
    ck_assert_ok(job_task_give(&task, &buf));
    __atomic_store_n(&refuses_threads, true, __ATOMIC_SEQ_CST);

    ck_assert_int_eq(job_submit(pool, &task, &anchor.handle), -ENOMEM);
    ck_assert_int_eq(job_submit(pool, &task, NULL), -ENOMEM);
    ck_assert_ptr_nonnull(task.buf);
    __atomic_store_n(&refuses_threads, false, __ATOMIC_SEQ_CST);
    ck_assert_ok(job_submit(pool, &task, &anchor.handle));
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, 1);
}
END_TEST

START_TEST(without_a_second_thread_calls_wait_for_the_first)
{
    struct job_task tasks[3];
    open_pool(2, 0);
    open_loop();
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(job_task_init(&tasks[i], pool, i ? nothing : blocks, done));
    ck_assert_ok(job_submit(pool, &tasks[0], NULL));
    ck_assert_uint_eq(job_pool_workers(pool) > 0, 1);
    wait_for(&begun, 1);
    let_go(1);
    ck_assert_int_eq(job_pool_close(&pool), 0);

    open_pool(2, 0);
    ck_assert_ok(job_submit(pool, &tasks[1], &anchor.handle));
    __atomic_store_n(&refuses_threads, true, __ATOMIC_SEQ_CST);
    ck_assert_ok(job_submit(pool, &tasks[2], &anchor.handle));
    ck_assert_int_eq(job_loop_run(loop), 0);
    __atomic_store_n(&refuses_threads, false, __ATOMIC_SEQ_CST);

    ck_assert_uint_eq(done_count, 3);
}
END_TEST

enum { STORM_THREADS = 3, STORM_TASKS = 8 };

static void tells(struct job_task *task, int status)
{
    sem_t *all = task->data;
    ck_assert_int_eq(status, 0);
    ck_assert_ok(job_task_fini(task));   /* the waiter's stack may be gone from here on */
    sem_post(all);
}

static void *storm(void *arg)
{
    struct random random = {*(uint64_t *)arg};
    unsigned rounds = fixture_rounds("ROUNDS", 1000);
    sem_t all;
    sem_init(&all, 0, 0);
    for (unsigned round = 0; round < rounds; round++) {
        struct job_task tasks[STORM_TASKS];
        unsigned count = 1 + (unsigned)random_below(&random, STORM_TASKS);
        for (unsigned i = 0; i < count; i++) {
            if (job_task_init(&tasks[i], pool, nothing, tells) < 0)
                abort();
            tasks[i].data = &all;
            if (job_submit(pool, &tasks[i], NULL) < 0)
                abort();
        }
        wait_for(&all, count);
        for (uint64_t pause = random_below(&random, 2000); pause > 0; pause--)
            __asm__ volatile("" ::: "memory");
    }
    sem_destroy(&all);
    return NULL;
}

/* Threads that leave as soon as they find nothing, and submitters that wait for each of their tasks: a lost wake-up hangs. */
START_TEST(nothing_is_left_while_threads_come_and_go)
{
    struct random random = fixture_random("storm");
    for (unsigned limit = 1; limit <= 4; limit++) {
        pthread_t threads[STORM_THREADS];
        uint64_t seeds[STORM_THREADS];
        open_pool(limit, limit % 2 ? 1000 : 20000);
        for (unsigned i = 0; i < STORM_THREADS; i++) {
            seeds[i] = random_next(&random);
            ck_assert_int_eq(pthread_create(&threads[i], NULL, storm, &seeds[i]), 0);
        }
        for (unsigned i = 0; i < STORM_THREADS; i++)
            pthread_join(threads[i], NULL);
        ck_assert_int_eq(job_pool_close(&pool), 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocking");
    TCase *tcase = tcase_create("blocking");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_pool_that_is_never_used_has_no_thread);
    tcase_add_test(tcase, J01_each_call_that_blocks_has_a_thread_up_to_the_limit);
    tcase_add_test(tcase, sixty_four_sleeping_calls_do_not_delay_a_compute_task);
    tcase_add_test(tcase, calls_of_one_loop_run_in_the_order_of_their_submission);
    tcase_add_test(tcase, J01_threads_that_are_idle_go_but_for_the_last);
    tcase_add_test(tcase, a_queued_call_that_was_cancelled_does_not_run);
    tcase_add_test(tcase, closing_the_handle_cancels_what_is_queued_and_waits_for_what_runs);
    tcase_add_test(tcase, a_stopped_pool_cancels_and_a_closed_one_has_told_every_end);
    tcase_add_test(tcase, a_call_cannot_close_its_pool_and_may_submit_to_it);
    tcase_add_test(tcase, a_full_lane_is_refused_and_told_of_room);
    tcase_add_test(tcase, a_pool_is_full_when_what_is_queued_needs_the_threads_that_are_free);
    tcase_add_test(tcase, a_pool_is_full_when_all_threads_that_it_may_have_are_busy);
    tcase_add_test(tcase, a_time_out_for_a_pool_that_computes_is_refused);
    tcase_add_test(tcase, without_a_first_thread_a_submit_is_refused_and_changes_nothing);
    tcase_add_test(tcase, without_a_second_thread_calls_wait_for_the_first);
    tcase_add_test(tcase, nothing_is_left_while_threads_come_and_go);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("a call that waits hangs");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_test(tcase, J06_no_call_waits_for_a_thread_that_starts_beside_one_that_is_free);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
