/* test_watch.c — what stands in a loop's lane behind a task that takes long is taken by another thread, whatever the threads have learnt
 * from the tasks before, and whether the loop sleeps or goes on. */
#include <sched.h>

#include "support/fixture.h"

enum { SHORT_TASKS = 100, LEARNT_TASKS = 5000 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer anchor;   /* the handle that tasks belong to; never armed */
static struct job_task tasks[SHORT_TASKS + 1];
static struct job_call submit_call, again_call;
static unsigned ran, done_count, learnt, where;   /* ran: atomic */
static bool is_awake;

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("the anchor fired");
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 2, .queue_limit = 128}));
    ck_assert_ok(job_timer_open(loop, &anchor, never));
    ran = done_count = learnt = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static void is_short(struct job_task *task)
{
    (void)task;
    (void)__atomic_fetch_add(&ran, 1, __ATOMIC_SEQ_CST);
}

/* Ends when all the others have run: beside it, or never. */
static void is_long(struct job_task *task)
{
    (void)task;
    while (__atomic_load_n(&ran, __ATOMIC_SEQ_CST) < SHORT_TASKS)
        (void)sched_yield();
}

static void done(struct job_task *task, int status)
{
    (void)task;
    ck_assert_ok(status);
    done_count++;
}

/* Keeps the loop from sleeping until all is done. */
static void again(struct job_call *call)
{
    if (done_count <= SHORT_TASKS)
        ck_assert_ok(job_loop_defer(loop, call));
}

static void submit_all(struct job_call *call)
{
    (void)call;
    for (unsigned i = 0; i <= SHORT_TASKS; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, i == where ? is_long : is_short, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));
    }
    if (is_awake)
        ck_assert_ok(job_loop_defer(loop, &again_call));
}

/* One at a time, so that no thread has met anything but the shortest tasks. */
static void learn(struct job_task *task, int status)
{
    ck_assert_ok(status);
    if (++learnt < LEARNT_TASKS)
        ck_assert_ok(job_submit(pool, task, &anchor.handle));
    else
        ck_assert_ok(job_loop_call(loop, &submit_call));
}

static void nothing(struct job_task *task)
{
    (void)task;
}

START_TEST(what_stands_behind_a_long_task_is_taken_by_another_thread)
{
    static const unsigned places[] = {0, 1, SHORT_TASKS / 2, SHORT_TASKS - 1};
    where = places[_i / 4];
    is_awake = _i & 1;
    bool has_learnt = _i & 2;
    submit_call = (struct job_call){.run = submit_all};
    again_call = (struct job_call){.run = again};
    struct job_task first;
    ck_assert_ok(job_task_init(&first, pool, nothing, learn));
    if (has_learnt)
        ck_assert_ok(job_submit(pool, &first, &anchor.handle));
    else
        ck_assert_ok(job_loop_call(loop, &submit_call));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, SHORT_TASKS + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watch");
    TCase *tcase = tcase_create("watch");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, what_stands_behind_a_long_task_is_taken_by_another_thread, 0, 16);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
