/* test_pool.c — rows J: pools. What a loop hears of room, of failures and of the end; and that work which one task makes is everybody's. */
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer timer;   /* whose tasks they are */

static void fired(struct job_timer *which)
{
    (void)which;
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &timer, fired));
}

static void teardown(void)
{
    job_timer_close(&timer, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_loop_close(&loop, 0));
    fixture_close(runtime);
}

static unsigned ended, cancelled, told_of_room;

static void done(struct job_task *task, int status)
{
    (void)task;
    ended++;
    cancelled += status == -ECANCELED;
}

/* What has come to the loop is told. */
static void settle(void)
{
    fixture_turns(loop, 3);
}

static sem_t begun, gate;

static void waits_at_the_gate(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    sem_wait(&gate);
}

static void there_is_room(struct job_task *task)
{
    (void)task;
    told_of_room++;
}

/* One thread takes one task after another, and each waits: what is left of the queue is known. */
START_TEST(J03_who_was_refused_is_told_of_room_once_when_half_of_it_is_free)
{
    enum { LIMIT = 8 };
    static struct job_task tasks[LIMIT + 1], refused;
    struct job_pool *pool = NULL;
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1, .queue_limit = LIMIT}));
    for (unsigned i = 0; i <= LIMIT; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, waits_at_the_gate, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &timer.handle));
        if (i == 0)
            sem_wait(&begun);   /* out of the queue */
    }
    ck_assert_ok(job_task_init(&refused, pool, waits_at_the_gate, done));
    ck_assert_int_eq(job_submit(pool, &refused, &timer.handle), -EAGAIN);
    ck_assert_ok(job_task_when_writable(&refused, there_is_room));

    for (unsigned left = LIMIT; left > 0; left--) {
        settle();
        ck_assert_uint_eq(told_of_room, left <= LIMIT / 2);
        sem_post(&gate);
        sem_wait(&begun);
    }
    sem_post(&gate);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(told_of_room, 1);
    ck_assert_uint_eq(ended, LIMIT + 1);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

/* A task that makes all the work there is, and never lets its own thread take any of it. */
enum { THREADS = 4, ROUNDS_DEFAULT = 1000 };

static unsigned rounds;
static struct job_task *leaves;
static pthread_barrier_t meeting;   /* they sleep there: who looks again and again takes the CPU from whom it waits for */
static atomic_uint ran_by_maker;
static int maker;
static sem_t through;

/* All of a round run at a time, or none of them ends. */
static void meets_the_others(struct job_task *task)
{
    (void)task;
    atomic_fetch_add(&ran_by_maker, (int)syscall(SYS_gettid) == maker);
    pthread_barrier_wait(&meeting);
}

static void makes_work(struct job_task *task)
{
    maker = (int)syscall(SYS_gettid);
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < THREADS - 1; i++)
            ck_assert_ok(job_submit(task->data, &leaves[round * (THREADS - 1) + i], NULL));
        pthread_barrier_wait(&meeting);
    }
    sem_post(&through);
}

START_TEST(J05_what_one_task_submits_all_other_threads_run_and_no_loop_has_to)
{
    struct job_pool *pool = NULL;
    struct job_task root;
    struct job_loop_stats before, after;
    rounds = fixture_rounds("SKEWED", ROUNDS_DEFAULT);
    leaves = calloc((size_t)rounds * (THREADS - 1), sizeof *leaves);
    ck_assert_ptr_nonnull(leaves);
    sem_init(&through, 0, 0);
    ck_assert_int_eq(pthread_barrier_init(&meeting, NULL, THREADS), 0);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = THREADS}));
    for (unsigned i = 0; i < rounds * (THREADS - 1); i++)
        ck_assert_ok(job_task_init(&leaves[i], pool, meets_the_others, NULL));
    ck_assert_ok(job_task_init(&root, pool, makes_work, done));
    root.data = pool;
    job_loop_stats(loop, &before);

    ck_assert_ok(job_submit(pool, &root, &timer.handle));
    sem_wait(&through);   /* the loop's thread does nothing else */

    job_loop_stats(loop, &after);
    ck_assert_uint_eq(after.turns, before.turns);
    ck_assert_uint_eq(atomic_load(&ran_by_maker), 0);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(ended, 1);
    ck_assert_ok(job_pool_close(&pool));
    pthread_barrier_destroy(&meeting);
    free(leaves);
}
END_TEST

/* What a task has done, and on which thread. */
struct outcome {
    struct job_task task;
    int tells, status, tid;
};

static void ends_as_told(struct job_task *task)
{
    struct outcome *outcome = job_container_of(task, struct outcome, task);
    outcome->tid = (int)syscall(SYS_gettid);
    job_task_set_status(task, outcome->tells);
}

static void notes_status(struct job_task *task, int status)
{
    job_container_of(task, struct outcome, task)->status = status;
}

START_TEST(J08_a_task_that_fails_fails_alone_and_its_thread_goes_on)
{
    static struct outcome outcomes[] = {{.tells = 0}, {.tells = -EIO}, {.tells = 7}, {.tells = -ENOENT}, {.tells = 0}};
    enum { COUNT = sizeof outcomes / sizeof outcomes[0] };
    struct job_pool *pool = NULL;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1, .queue_limit = COUNT}));
    for (unsigned i = 0; i < COUNT; i++) {
        outcomes[i].status = 1;
        ck_assert_ok(job_task_init(&outcomes[i].task, pool, ends_as_told, notes_status));
        ck_assert_ok(job_submit(pool, &outcomes[i].task, &timer.handle));
    }
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        ck_assert_int_eq(outcomes[i].status, outcomes[i].tells);
        ck_assert_int_eq(outcomes[i].tid, outcomes[0].tid);
    }
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

static atomic_uint cpus_of_task, nice_of_task;

static void looks_at_its_thread(struct job_task *task)
{
    cpu_set_t set;
    (void)task;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    atomic_store(&cpus_of_task, (unsigned)CPU_COUNT(&set));
    atomic_store(&nice_of_task, (unsigned)(getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)) + 100));
}

START_TEST(J10_J11_a_pools_threads_run_where_and_how_they_were_told_to)
{
    static struct job_task task;
    struct job_pool *pool = NULL;
    cpu_set_t mine;
    uint64_t mask = 0;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mine, &mine), 0);
    for (size_t i = 0; i < 64 && mask == 0; i++)
        mask = CPU_ISSET(i, &mine) ? UINT64_C(1) << i : 0;
    struct job_pool_options options = {.workers = 2, .nice = 5, .affinity = &mask, .affinity_words = 1};
    ck_assert_ok(job_pool_open(runtime, &pool, &options));
    ck_assert_ok(job_task_init(&task, pool, looks_at_its_thread, done));
    ck_assert_ok(job_submit(pool, &task, &timer.handle));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(atomic_load(&cpus_of_task), 1);
    ck_assert_int_eq((int)atomic_load(&nice_of_task) - 100, getpriority(PRIO_PROCESS, 0) + 5);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

static atomic_uint ran;

static void runs(struct job_task *task)
{
    (void)task;
    atomic_fetch_add(&ran, 1);
}

/* 10 000 tasks; the pool is closed behind them at once, or when the loop has nothing left to do. */
static void close_behind_many(bool waits)
{
    enum { MANY = 10000 };
    static struct job_task tasks[MANY];
    struct job_pool *pool = NULL;
    atomic_store(&ran, 0);
    ended = cancelled = 0;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 2, .queue_limit = 16384}));
    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, runs, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &timer.handle));
    }
    if (waits)
        ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_pool_close(&pool));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(ended, MANY);
    ck_assert_uint_eq(cancelled + atomic_load(&ran), MANY);
    ck_assert(!waits || cancelled == 0);
}

START_TEST(J13_each_task_ends_once_when_its_pool_is_closed_with_or_without_waiting)
{
    close_behind_many(true);
    close_behind_many(false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows J");
    TCase *tcase = tcase_create("rows J");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, J03_who_was_refused_is_told_of_room_once_when_half_of_it_is_free);
    tcase_add_test(tcase, J08_a_task_that_fails_fails_alone_and_its_thread_goes_on);
    tcase_add_test(tcase, J10_J11_a_pools_threads_run_where_and_how_they_were_told_to);
    tcase_add_test(tcase, J13_each_task_ends_once_when_its_pool_is_closed_with_or_without_waiting);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("work that waits beside an idle thread hangs");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_test(tcase, J05_what_one_task_submits_all_other_threads_run_and_no_loop_has_to);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
