/* test_carrier.c — tasks that turn out to block: others run in their place, nested calls, limits, close, and that no task is lost.
 *
 * No time is measured: what must not wait for a sleeping call is what ends that call.
 */
#include <sched.h>
#include <semaphore.h>

#include "sched/pool.h"
#include "support/fixture.h"

enum { SLEEPERS = 64, LIMIT_FEW = 3 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer anchor;
static sem_t begun, gate;
static unsigned done_count;
static int32_t entered, left_again;   /* several tasks write them */

static void setup(void)
{
    runtime = fixture_runtime();
    pool = NULL;
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    done_count = 0;
    entered = left_again = 1;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static void fired(struct job_timer *timer)
{
    (void)timer;
}

static void open_all(unsigned workers, unsigned limit)
{
    struct job_pool_options options = {.workers = workers, .blocked_limit = limit, .queue_limit = 256, .name = "blocks"};
    ck_assert_ok(job_pool_open(runtime, &pool, &options));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &anchor, fired));
}

static void done(struct job_task *task, int status)
{
    (void)task;
    ck_assert_int_eq(status, 0);
    done_count++;
}

static void submit(struct job_task *task, job_task_run_fn *run)
{
    ck_assert_ok(job_task_init(task, pool, run, done));
    ck_assert_ok(job_submit(pool, task, &anchor.handle));
}

static void wait_for(sem_t *semaphore, unsigned count)
{
    for (; count > 0; count--)
        while (sem_wait(semaphore) < 0) {
        }
}

static void let_go(unsigned count)
{
    for (; count > 0; count--)
        sem_post(&gate);
}

static void sleeps(struct job_task *task)
{
    (void)task;
    store_relaxed(&entered, job_blocking_enter());
    sem_post(&begun);
    wait_for(&gate, 1);
    store_relaxed(&left_again, job_blocking_leave());
}

/* Waits until all others sleep, and then wakes them: if they kept it from running, nobody ever would. */
static void computes(struct job_task *task)
{
    (void)task;
    wait_for(&begun, SLEEPERS);
    let_go(SLEEPERS);
}

START_TEST(sixty_four_sleeping_calls_do_not_keep_a_task_from_running)
{
    static struct job_task sleepers[SLEEPERS], last;
    open_all((unsigned)_i, SLEEPERS);
    for (unsigned i = 0; i < SLEEPERS; i++)
        submit(&sleepers[i], sleeps);
    submit(&last, computes);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(done_count, SLEEPERS + 1);
    ck_assert_int_eq(entered, 0);
    ck_assert_int_eq(left_again, 0);
}
END_TEST

START_TEST(sixty_four_calls_of_the_blocking_class_do_not_either)
{
    static struct job_task sleepers[SLEEPERS], last;
    struct job_pool_options options = {.blocking = true, .workers = SLEEPERS, .queue_limit = 256, .name = "calls"};
    struct job_pool *computing, *calls = NULL;
    open_all(1, 0);
    ck_assert_ok(job_pool_open(runtime, &calls, &options));
    computing = pool;
    pool = calls;
    for (unsigned i = 0; i < SLEEPERS; i++)
        submit(&sleepers[i], sleeps);
    pool = computing;
    submit(&last, computes);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_pool_close(&calls));
    ck_assert_uint_eq(done_count, SLEEPERS + 1);
    ck_assert_int_eq(entered, 0);      /* nothing to do there, and no error */
    ck_assert_int_eq(left_again, 0);
}
END_TEST

static int results[8];

static void nests(struct job_task *task)
{
    (void)task;
    results[0] = job_blocking_leave();
    results[1] = job_blocking_enter();
    results[2] = job_blocking_enter();
    sem_post(&begun);
    wait_for(&gate, 1);
    results[3] = job_blocking_leave();
    results[4] = job_blocking_leave();
    results[5] = job_blocking_leave();
    results[6] = job_blocking_enter();   /* anew, and never left */
}

static void wakes_one(struct job_task *task)
{
    (void)task;
    wait_for(&begun, 1);
    let_go(1);
}

START_TEST(calls_may_be_nested_and_a_task_that_ends_has_left)
{
    static const int expected[7] = {-EINVAL, 0, 0, 0, 0, -EINVAL, 0};
    static struct job_task first, second;
    open_all(1, SLEEPERS);   /* threads on their way from one task to the next count as well, and a small build's limit is 4 */
    for (unsigned round = 1; round <= 20; round++) {
        submit(&first, nests);
        submit(&second, wakes_one);
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_int_eq(memcmp(results, expected, sizeof expected), 0);
        ck_assert_uint_eq(done_count, 2 * round);
    }
}
END_TEST

static struct job_pool *inside;
static struct job_task inner;

static void enters_and_forgets(struct job_task *task)
{
    (void)task;
    results[2] = job_blocking_leave();   /* not what the outer task has entered */
    results[3] = job_blocking_enter();
}

static void not_told(struct job_task *task, int status)
{
    (void)task;
    ck_assert_int_eq(status, 0);
}

static void runs_another_inside(struct job_task *task)
{
    (void)task;
    ck_assert_ok(job_submit(inside, &inner, NULL));
    results[0] = job_blocking_leave();
    results[1] = job_blocking_enter();
    ck_assert_ok(job_submit(inside, &inner, NULL));
    results[4] = job_blocking_leave();
    results[5] = job_blocking_leave();
    results[6] = job_blocking_enter();
}

START_TEST(a_task_that_runs_inside_another_leaves_for_itself_alone)
{
    static const int expected[7] = {-EINVAL, 0, -EINVAL, 0, 0, -EINVAL, 0};
    static struct job_task outer;
    open_all(1, SLEEPERS);
    ck_assert_ok(job_pool_open(runtime, &inside, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_task_init(&inner, inside, enters_and_forgets, not_told));
    submit(&outer, runs_another_inside);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(memcmp(results, expected, sizeof expected), 0);
    ck_assert_int_eq(job_pool_close(&inside), 0);
}
END_TEST

START_TEST(outside_of_a_task_there_is_nothing_to_enter)
{
    open_all(1, 0);
    ck_assert_int_eq(job_blocking_enter(), -EPERM);
    ck_assert_int_eq(job_blocking_leave(), -EPERM);
}
END_TEST

START_TEST(in_an_inline_pool_there_is_nothing_to_do)
{
    static struct job_task task;
    open_all(JOB_POOL_INLINE, 0);
    let_go(1);
    submit(&task, sleeps);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(entered, 0);
    ck_assert_int_eq(left_again, 0);
}
END_TEST

START_TEST(above_the_limit_it_is_refused_and_takes_a_worker_away)
{
    static struct job_task tasks[LIMIT_FEW + 1];
    struct job_counts before, after;
    open_all(1, LIMIT_FEW);
    job_runtime_counts(runtime, &before);
    for (unsigned i = 0; i < LIMIT_FEW; i++) {
        submit(&tasks[i], sleeps);
        wait_for(&begun, 1);
        ck_assert_int_eq(entered, 0);
    }
    submit(&tasks[LIMIT_FEW], sleeps);
    wait_for(&begun, 1);
    ck_assert_int_eq(entered, -EAGAIN);
    job_runtime_counts(runtime, &after);
    ck_assert_uint_eq(after.threads, before.threads + LIMIT_FEW);
    let_go(LIMIT_FEW + 1);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(done_count, LIMIT_FEW + 1);
}
END_TEST

static void cancelled_or_done(struct job_task *task, int status)
{
    (void)task;
    ck_assert(status == 0 || status == -ECANCELED);
    done_count++;
}

static void *lets_go_when_the_pool_ends(void *arg)
{
    while (!load_acquire(&pool->is_ending))   /* pairs with store_seq_cst in pool_threads_join */
        (void)sched_yield();
    let_go(SLEEPERS);
    return arg;
}

START_TEST(closing_the_pool_waits_for_those_who_are_inside)
{
    static struct job_task tasks[SLEEPERS];
    pthread_t thread;
    open_all(2, SLEEPERS);
    for (unsigned i = 0; i < SLEEPERS; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, sleeps, cancelled_or_done));
        ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));
    }
    wait_for(&begun, LIMIT_FEW);
    struct job_pool *closing = pool;
    ck_assert_int_eq(pthread_create(&thread, NULL, lets_go_when_the_pool_ends, NULL), 0);
    ck_assert_int_eq(job_pool_close(&closing), 0);
    pthread_join(thread, NULL);
    pool = NULL;
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(done_count, SLEEPERS);
}
END_TEST

static struct job_task forked[8];
static int closed_inside;

static void alone(struct job_task *task, int status)
{
    (void)task, (void)status;
    sem_post(&begun);
}

static void nothing(struct job_task *task)
{
    (void)task;
}

static void forks(struct job_task *task)
{
    struct job_pool *own = task->pool;
    (void)job_blocking_enter();
    for (int i = 0; i < 8; i++) {   /* by nobody's deque */
        (void)job_task_init(&forked[i], own, nothing, alone);
        (void)job_submit(own, &forked[i], NULL);
    }
    closed_inside = job_pool_close(&own);
    wait_for(&begun, 8);            /* they have run while this one was inside */
    (void)job_blocking_leave();
}

START_TEST(a_task_that_is_inside_may_submit_others_and_may_not_close_its_pool)
{
    static struct job_task task;
    open_all(1, 0);
    submit(&task, forks);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(closed_inside, -EDEADLK);
}
END_TEST

/* Tasks that enter, leave and fork at random: each has one end, and all are counted. */
enum { STORM_TASKS = 64, STORM_ROUNDS = 200 };

static struct job_task storm[STORM_TASKS];
static unsigned storm_left[STORM_TASKS];
static uint64_t storm_seed;

static void storms(struct job_task *task)
{
    size_t i = (size_t)(task - storm);
    struct random dice = {storm_seed ^ (i << 32) ^ storm_left[i]};
    for (uint64_t calls = random_below(&dice, 4); calls > 0; calls--) {
        (void)job_blocking_enter();
        for (uint64_t pause = random_below(&dice, 2) * random_below(&dice, 1000); pause > 0; pause--)
            cpu_relax();   /* not a yield: that puts a thread with a long time slice behind all others of a busy machine */
        if (random_below(&dice, 4) == 0)
            (void)usleep((useconds_t)random_below(&dice, 50));
        if (random_below(&dice, 5))
            (void)job_blocking_leave();
    }
}

static void stormed(struct job_task *task, int status)
{
    size_t i = (size_t)(task - storm);
    ck_assert_int_eq(status, 0);
    done_count++;
    if (--storm_left[i] > 0)
        ck_assert_ok(job_submit(pool, task, &anchor.handle));
}

START_TEST(each_task_ends_once_whoever_enters_and_leaves)
{
    struct random dice = fixture_random("each_task_ends_once_whoever_enters_and_leaves");
    struct job_pool_stats stats;
    unsigned rounds = fixture_rounds("ROUNDS", STORM_ROUNDS);
    storm_seed = dice.state;
    open_all(1 + (unsigned)_i, 1 + (unsigned)random_below(&dice, 8));
    for (unsigned i = 0; i < STORM_TASKS; i++) {
        storm_left[i] = rounds;
        ck_assert_ok(job_task_init(&storm[i], pool, storms, stormed));
        ck_assert_ok(job_submit(pool, &storm[i], &anchor.handle));
    }
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(done_count, STORM_TASKS * rounds);
    job_pool_stats(pool, &stats);
    ck_assert_uint_eq(stats.run, STORM_TASKS * rounds);
    ck_assert_uint_eq(stats.workers, 1 + (unsigned)_i);
}
END_TEST

START_TEST(a_limit_above_the_most_threads_is_refused)
{
    ck_assert_int_eq(job_pool_open(runtime, &pool, &(struct job_pool_options){.blocked_limit = 1025}), -EINVAL);
    open_all(1, 1024);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("carrier");
    TCase *tcase = tcase_create("carrier");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_loop_test(tcase, sixty_four_sleeping_calls_do_not_keep_a_task_from_running, 1, 4);
    tcase_add_test(tcase, sixty_four_calls_of_the_blocking_class_do_not_either);
    tcase_add_test(tcase, calls_may_be_nested_and_a_task_that_ends_has_left);
    tcase_add_test(tcase, a_task_that_runs_inside_another_leaves_for_itself_alone);
    tcase_add_test(tcase, outside_of_a_task_there_is_nothing_to_enter);
    tcase_add_test(tcase, in_an_inline_pool_there_is_nothing_to_do);
    tcase_add_test(tcase, above_the_limit_it_is_refused_and_takes_a_worker_away);
    tcase_add_test(tcase, closing_the_pool_waits_for_those_who_are_inside);
    tcase_add_test(tcase, a_task_that_is_inside_may_submit_others_and_may_not_close_its_pool);
    tcase_add_loop_test(tcase, each_task_ends_once_whoever_enters_and_leaves, 0, 3);
    tcase_add_test(tcase, a_limit_above_the_most_threads_is_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
