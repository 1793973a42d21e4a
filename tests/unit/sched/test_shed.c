/* test_shed.c — an overloaded pool that sheds: a burst is run, a queue that stands is not, and everybody is told. Time is a word of
 * this test, so that each decision is exact. */
#include <semaphore.h>

#include "base/root.h"
#include "sched/shed.h"
#include "support/fixture.h"

enum { MS = 1000000, COST_NS = 5 * MS, TARGET_NS = 10 * MS, INTERVAL_NS = 100 * MS };

static atomic_u64 clock_ns;
static struct job_runtime *runtime;
static struct job_pool *pool;
static sem_t begun, gate, ended;
static atomic_u64 run_count, shed_count, other_count;

static uint64_t test_now_ns(void)
{
    return load_relaxed(&clock_ns);   /* who moves it hands tasks over by queues */
}

static void pass(uint64_t ns)
{
    (void)fetch_add_relaxed(&clock_ns, ns);   /* as above */
}

static void setup(void)
{
    clock_ns = 1000 * (uint64_t)MS;
    run_count = shed_count = other_count = 0;
    runtime = fixture_runtime();
    ((struct root *)runtime)->now_ns = test_now_ns;   /* its first member; before there is another thread */
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){
        .workers = 1, .no_spin = true, .queue_limit = 256,
        .shed_target_ns = TARGET_NS, .shed_interval_ns = INTERVAL_NS}));
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    sem_init(&ended, 0, 0);
}

static void teardown(void)
{
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static void costs(struct job_task *task)
{
    (void)task;
    pass(COST_NS);
}

static void blocks(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    sem_wait(&gate);
}

static void count(struct job_task *task, int status)
{
    (void)fetch_add_relaxed(status == 0 ? &run_count : status == -ETIME ? &shed_count : &other_count, 1);   /* read behind `ended` */
    ck_assert_ok(job_task_fini(task));
    sem_post(&ended);
}

/* From here on the worker takes nothing, until `gate`. */
static void block_worker(void)
{
    static struct job_task blocker;
    ck_assert_ok(job_task_init(&blocker, pool, blocks, count));
    ck_assert_ok(job_submit(pool, &blocker, NULL));
    sem_wait(&begun);
}

/* Submits `n` at one moment to a worker that then takes them in order. */
static void burst(struct job_task *tasks, unsigned n)
{
    block_worker();
    for (unsigned i = 0; i < n; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, costs, count));
        ck_assert_ok(job_submit(pool, &tasks[i], NULL));
    }
    sem_post(&gate);
    for (unsigned i = 0; i < n + 1; i++)
        sem_wait(&ended);
    run_count--;   /* the blocker */
}

START_TEST(a_burst_that_passes_within_two_intervals_is_run_whole)
{
    static struct job_task tasks[40];

    burst(tasks, 40);

    ck_assert_uint_eq(run_count, 40);
    ck_assert_uint_eq(shed_count, 0);
}
END_TEST

START_TEST(a_queue_that_stands_for_an_interval_is_shed_with_ETIME_and_counted)
{
    static struct job_task tasks[100];
    struct job_pool_stats stats;

    burst(tasks, 100);   /* the first interval has begun without a wait; the second one shows that all wait: the 41st is too late */

    ck_assert_uint_eq(run_count, 40);
    ck_assert_uint_eq(shed_count, 60);
    ck_assert_uint_eq(other_count, 0);
    job_pool_stats(pool, &stats);
    ck_assert_uint_eq(stats.shed, 60);
    ck_assert_uint_eq(stats.submitted, stats.run + stats.cancelled + stats.shed);
}
END_TEST

START_TEST(whoever_did_not_wait_is_run_also_while_the_pool_is_overloaded)
{
    static struct job_task tasks[100];
    burst(tasks, 100);

    burst(tasks, 3);   /* 0, 5 and 10 ms: none above twice the target */

    ck_assert_uint_eq(run_count, 43);
    ck_assert_uint_eq(shed_count, 60);
}
END_TEST

static struct job_task child;

static void forks_and_is_slow(struct job_task *task)
{
    (void)task;
    ck_assert_ok(job_task_init(&child, pool, costs, count));
    ck_assert_ok(job_submit(pool, &child, NULL));
    pass(15 * (uint64_t)MS);   /* within the interval that is judged by the last one, and above twice the target for the child */
    pass(10 * (uint64_t)MS);
}

START_TEST(what_a_task_forks_is_never_shed)
{
    static struct job_task tasks[100], parent;
    burst(tasks, 100);

    ck_assert_ok(job_task_init(&parent, pool, forks_and_is_slow, count));
    ck_assert_ok(job_submit(pool, &parent, NULL));
    sem_wait(&ended);
    sem_wait(&ended);

    ck_assert_uint_eq(run_count, 42);
    ck_assert_uint_eq(shed_count, 60);
}
END_TEST

static struct job_loop *loop;
static struct job_timer home;
static struct job_task late, slow[50];
static unsigned told;
static int late_status;
static bool has_buf;

static void never(struct job_timer *timer)
{
    (void)timer;
}

static void slow_done(struct job_task *task, int status)
{
    (void)task;
    ck_assert(status == 0 || status == -ETIME);
    if (++told == 51)
        job_timer_close(&home, NULL);
}

static void late_done(struct job_task *task, int status)
{
    late_status = status;
    has_buf = task->buf != NULL;
    slow_done(task, 0);
}

START_TEST(a_task_of_a_handle_is_told_ETIME_on_its_loop_and_still_owns_its_buf)
{
    struct job_buf *buf = NULL;
    told = 0;
    late_status = 0;
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &home, never));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    block_worker();
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_ok(job_task_init(&slow[i], pool, costs, slow_done));
        ck_assert_ok(job_submit(pool, &slow[i], &home.handle));
    }
    ck_assert_ok(job_task_init(&late, pool, costs, late_done));
    ck_assert_ok(job_task_give(&late, &buf));
    ck_assert_ok(job_submit(pool, &late, &home.handle));
    sem_post(&gate);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(late_status, -ETIME);
    ck_assert(has_buf);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
}
END_TEST

START_TEST(an_interval_without_tasks_shows_nothing)
{
    struct shed shed;
    shed_init(&shed, TARGET_NS, INTERVAL_NS);
    ck_assert(!shed_is_too_late(&shed, 0, 50 * MS));                 /* begins an interval; all in it wait for 50 ms */
    ck_assert(shed_is_too_late(&shed, 100 * MS, 150 * MS));          /* and so this one is too late */

    ck_assert(!shed_is_too_late(&shed, 900 * (uint64_t)MS, 950 * (uint64_t)MS));   /* long after: first of a burst */
    ck_assert(shed_is_too_late(&shed, 1000 * (uint64_t)MS, 1050 * (uint64_t)MS));
    ck_assert(!shed_is_too_late(&shed, 1149 * (uint64_t)MS, 1149 * (uint64_t)MS)); /* one that did not wait ends the overload */
    ck_assert(!shed_is_too_late(&shed, 1000 * (uint64_t)MS, 1151 * (uint64_t)MS));
}
END_TEST

START_TEST(a_clock_that_went_back_counts_as_no_wait)
{
    struct shed shed;
    shed_init(&shed, TARGET_NS, 0);
    ck_assert(!shed_is_too_late(&shed, UINT64_MAX, 5));
    ck_assert_uint_eq(shed.interval_ns, SHED_INTERVAL_NS);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shed");
    TCase *tcase = tcase_create("pool"), *rule = tcase_create("rule");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_burst_that_passes_within_two_intervals_is_run_whole);
    tcase_add_test(tcase, a_queue_that_stands_for_an_interval_is_shed_with_ETIME_and_counted);
    tcase_add_test(tcase, whoever_did_not_wait_is_run_also_while_the_pool_is_overloaded);
    tcase_add_test(tcase, what_a_task_forks_is_never_shed);
    tcase_add_test(tcase, a_task_of_a_handle_is_told_ETIME_on_its_loop_and_still_owns_its_buf);
    tcase_add_test(rule, an_interval_without_tasks_shows_nothing);
    tcase_add_test(rule, a_clock_that_went_back_counts_as_no_wait);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, rule);
    return fixture_run(suite);
}
