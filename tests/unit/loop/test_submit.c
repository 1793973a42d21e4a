/* test_submit.c — tasks of a handle: where `done` comes, what close does to them, full lanes and room, and every refusal. */
#include <sched.h>
#include <semaphore.h>
#include <sys/wait.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer anchor;   /* the handle that tasks belong to; never armed */
static sem_t begun, gate;
static unsigned done_count, cancelled_count, closed_count, writable_count;
static pthread_t loop_thread;

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("the anchor fired");
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1, .queue_limit = 4}));
    ck_assert_ok(job_timer_open(loop, &anchor, never));
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    done_count = cancelled_count = closed_count = writable_count = 0;
    loop_thread = pthread_self();
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static void nothing(struct job_task *task)
{
    (void)task;
}

static void blocks(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    sem_wait(&gate);
}

static void done(struct job_task *task, int status)
{
    (void)task;
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    ck_assert_ptr_eq(job_loop_current(), loop);
    ck_assert_uint_eq(closed_count, 0);
    done_count++;
    cancelled_count += status == -ECANCELED;
}

static void anchor_closed(struct job_timer *timer)
{
    (void)timer;
    closed_count++;
}

static struct job_task *new_tasks(unsigned count, job_task_run_fn *run)
{
    struct job_task *tasks = calloc(count, sizeof *tasks);
    for (unsigned i = 0; i < count; i++)
        ck_assert_ok(job_task_init(&tasks[i], pool, run, done));
    return tasks;
}

static struct job_buf *new_buf(void)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 10, NULL, &buf));
    return buf;
}

START_TEST(done_comes_on_the_loop_of_the_handle_also_when_submitted_before_start)
{
    struct job_task *tasks = new_tasks(4, nothing);
    for (int i = 0; i < 4; i++)
        ck_assert_ok(job_submit(pool, &tasks[i], &anchor.handle));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, 4);
    free(tasks);
}
END_TEST

/* One runs, one is queued, the lane behind it is full, and one waits for room with a buf. */
static struct job_task *fill(job_task_run_fn *run, unsigned *submitted)
{
    struct job_task *tasks = new_tasks(8, run);
    struct job_buf *buf = new_buf();
    int err = job_submit(pool, &tasks[0], &anchor.handle);
    ck_assert_ok(err);
    sem_wait(&begun);
    unsigned i = 1;
    while (i < 7 && (err = job_submit(pool, &tasks[i], &anchor.handle)) == 0)
        i++;
    ck_assert_int_eq(err, -EAGAIN);
    ck_assert_uint_eq(i, 5);   /* one runs, four are queued */
    ck_assert_ok(job_task_give(&tasks[i], &buf));
    ck_assert_int_eq(job_submit(pool, &tasks[i], &anchor.handle), -EAGAIN);
    ck_assert_ptr_nonnull(tasks[i].buf);
    *submitted = i;
    return tasks;
}

static void not_called(struct job_task *task)
{
    (void)task;
    ck_abort_msg("called for a wait that is over");
}

START_TEST(close_cancels_the_queued_and_the_waiting_and_closed_comes_last)
{
    unsigned submitted;
    struct job_counts counts;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_ok(job_task_when_writable(&tasks[submitted], not_called));
    ck_assert_int_eq(job_task_when_writable(&tasks[submitted], not_called), -EALREADY);
    ck_assert_int_eq(job_submit(pool, &tasks[submitted], &anchor.handle), -EBUSY);
    ck_assert_int_eq(job_task_cancel(&tasks[submitted]), -ENOENT);

    job_timer_close(&anchor, anchor_closed);
    ck_assert(job_handle_is_closing(&anchor.handle));
    ck_assert_ptr_null(tasks[submitted].buf);   /* nobody will be called for it */
    ck_assert_int_eq(job_submit(pool, &tasks[7], &anchor.handle), -ECANCELED);
    ck_assert_int_eq(job_task_when_writable(&tasks[submitted], not_called), -ECANCELED);
    ck_assert(job_task_is_cancelled(&tasks[0]));
    for (int i = 0; i < 8; i++)
        sem_post(&gate);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, submitted);
    ck_assert_uint_eq(cancelled_count, submitted - 1);
    ck_assert_uint_eq(closed_count, 1);
    ck_assert_int_eq(job_task_fini(&tasks[submitted]), 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
    free(tasks);
}
END_TEST

static void submits_again(struct job_task *task)
{
    ck_assert(pthread_equal(pthread_self(), loop_thread));
    writable_count++;
    ck_assert_ok(job_submit(pool, task, &anchor.handle));
}

START_TEST(a_refused_task_is_called_when_there_is_room_and_may_be_submitted_from_there)
{
    unsigned submitted;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_ok(job_task_when_writable(&tasks[submitted], submits_again));
    ck_assert_uint_eq(writable_count, 0);
    for (int i = 0; i < 8; i++)
        sem_post(&gate);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(writable_count, 1);
    ck_assert_uint_eq(done_count, submitted + 1);
    ck_assert_uint_eq(cancelled_count, 0);
    free(tasks);
}
END_TEST

START_TEST(fini_ends_a_wait)
{
    unsigned submitted;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_ok(job_task_when_writable(&tasks[submitted], not_called));

    ck_assert_int_eq(job_task_fini(&tasks[submitted]), 0);
    memset(&tasks[submitted], 0xEE, sizeof *tasks);
    for (int i = 0; i < 8; i++)
        sem_post(&gate);

    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(done_count, submitted);
    free(tasks);
}
END_TEST

static int refused_with;

static void is_refused(struct job_task *task)
{
    writable_count++;
    refused_with = job_submit(pool, task, &anchor.handle);
    ck_assert_ok(job_task_fini(task));
}

START_TEST(a_task_that_waits_learns_that_the_pool_was_stopped)
{
    unsigned submitted;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_ok(job_task_when_writable(&tasks[submitted], is_refused));
    job_pool_stop(pool);
    sem_post(&gate);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(writable_count, 1);
    ck_assert_int_eq(refused_with, -ECANCELED);
    ck_assert_uint_eq(done_count, submitted);
    free(tasks);
}
END_TEST

START_TEST(a_closed_pool_calls_nobody_and_its_refused_tasks_cannot_wait)
{
    unsigned submitted;
    struct job_pool *other = NULL;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_ok(job_task_when_writable(&tasks[submitted], not_called));
    ck_assert_int_eq(job_submit(pool, &tasks[6], &anchor.handle), -EAGAIN);   /* refused, and does not wait yet */
    for (int i = 0; i < 8; i++)
        sem_post(&gate);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    ck_assert_int_eq(job_task_when_writable(&tasks[6], not_called), -ECANCELED);

    ck_assert_int_eq(job_loop_run(loop), 0);   /* what had its end is still delivered */
    ck_assert_uint_eq(done_count, submitted);
    ck_assert_ok(job_task_fini(&tasks[submitted]));
    ck_assert_ok(job_pool_open(runtime, &other, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_submit(other, &tasks[7], &anchor.handle));   /* the loop's record of the old one goes */
    ck_assert_int_eq(job_task_when_writable(&tasks[6], not_called), -ECANCELED);
    for (int i = 0; i < 8; i++)
        sem_post(&gate);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(job_pool_close(&other), 0);
    free(tasks);
}
END_TEST

static struct job_task elsewhere;
static struct job_pool *second_pool;

static void closes_pool_and_uses_another(struct job_task *task)
{
    writable_count++;
    ck_assert_int_eq(job_pool_close(&pool), 0);
    ck_assert_ok(job_task_init(&elsewhere, second_pool, nothing, done));
    ck_assert_ok(job_submit(second_pool, &elsewhere, &anchor.handle));   /* records of closed pools are dropped here */
    ck_assert_ok(job_task_fini(task));
}

START_TEST(a_pool_may_be_closed_by_the_call_that_tells_of_its_room)
{
    unsigned submitted;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_ok(job_pool_open(runtime, &second_pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_when_writable(&tasks[submitted], closes_pool_and_uses_another));
    for (int i = 0; i < 8; i++)
        sem_post(&gate);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(writable_count, 1);
    ck_assert_uint_eq(done_count, submitted + 1);
    ck_assert_int_eq(job_pool_close(&second_pool), 0);
    free(tasks);
}
END_TEST

static void submits_and_closes(struct job_task *task, int status)
{
    done(task, status);
    if (done_count == 1) {
        ck_assert_ok(job_submit(pool, task, &anchor.handle));
        job_timer_close(&anchor, anchor_closed);
        ck_assert_uint_eq(closed_count, 0);
    }
}

START_TEST(a_handle_closed_in_done_waits_for_the_task_that_done_submitted)
{
    struct job_task task;
    ck_assert_ok(job_task_init(&task, pool, nothing, submits_and_closes));
    ck_assert_ok(job_submit(pool, &task, &anchor.handle));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, 2);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

static bool is_inside_submit;

static void inline_done(struct job_task *task, int status)
{
    ck_assert(!is_inside_submit);
    done(task, status);
    if (done_count < 1000) {
        is_inside_submit = true;
        ck_assert_ok(job_submit(task->pool, task, &anchor.handle));
        is_inside_submit = false;
    }
}

START_TEST(an_inline_pool_runs_at_once_and_tells_done_through_the_loop)
{
    struct job_pool *here = NULL;
    struct job_task task;
    ck_assert_ok(job_pool_open(runtime, &here, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_task_init(&task, here, nothing, inline_done));
    is_inside_submit = true;
    ck_assert_ok(job_submit(here, &task, &anchor.handle));
    is_inside_submit = false;
    ck_assert_uint_eq(done_count, 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, 1000);
    ck_assert_int_eq(job_pool_close(&here), 0);
}
END_TEST

static int foreign_results[2];

static void *foreign(void *arg)
{
    struct job_task *tasks = arg;
    foreign_results[0] = job_submit(pool, &tasks[7], &anchor.handle);
    foreign_results[1] = job_task_when_writable(&tasks[6], not_called);
    return NULL;
}

START_TEST(only_the_loop_thread_submits_for_a_handle_or_waits)
{
    unsigned submitted;
    pthread_t thread;
    struct job_task *tasks = fill(blocks, &submitted);
    ck_assert_int_eq(job_submit(pool, &tasks[6], &anchor.handle), -EAGAIN);
    job_loop_stop(loop);
    ck_assert_int_eq(job_loop_run(loop), 1);   /* the loop belongs to this thread now */
    ck_assert_int_eq(pthread_create(&thread, NULL, foreign, tasks), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(foreign_results[0], -EPERM);
    ck_assert_int_eq(foreign_results[1], -EPERM);
    ck_assert_ok(job_task_fini(&tasks[submitted]));
    for (int i = 0; i < 8; i++)
        sem_post(&gate);
    ck_assert_int_eq(job_loop_run(loop), 0);
    free(tasks);
}
END_TEST

static char log_lines[8][256];
static unsigned log_count;

static void keeps_lines(void *arg, enum job_log_level level, const char *text)
{
    (void)arg;
    if (level == JOB_LOG_ERROR && log_count < 8)
        (void)snprintf(log_lines[log_count++], sizeof log_lines[0], "%s", text);
}

/* In a child, since what hangs is leaked. */
START_TEST(a_task_that_does_not_end_is_named_at_the_deadline_and_its_loop_leaked)
{
    sem_init(&gate, 0, 0);
    sem_init(&begun, 0, 0);
    pid_t child = fork();
    if (child == 0) {
        struct job_runtime *own = NULL;
        struct job_loop *own_loop = NULL;
        struct job_pool *own_pool = NULL;
        static struct job_timer timer;
        static struct job_task task;
        ck_assert_ok(job_runtime_open(&own, &(struct job_runtime_options){.log = keeps_lines}));
        ck_assert_ok(job_loop_open(own, &own_loop, NULL));
        ck_assert_ok(job_pool_open(own, &own_pool, &(struct job_pool_options){.workers = 1}));
        ck_assert_ok(job_timer_open(own_loop, &timer, never));
        ck_assert_ok(job_task_init(&task, own_pool, blocks, NULL));
        ck_assert_ok(job_submit(own_pool, &task, &timer.handle));
        sem_wait(&begun);
        bool is_right = job_loop_close(&own_loop, 1000000) == -ETIMEDOUT && !own_loop && log_count >= 1 &&
                        strstr(log_lines[0], "timer") && strstr(log_lines[0], "1 task");
        is_right = is_right && job_runtime_close(&own) == -EBUSY && own;
        sem_post(&gate);   /* its end comes to a loop that is no more: nothing is touched that was freed */
        is_right = is_right && job_pool_close(&own_pool) == 0;
        if (!is_right)
            fprintf(stderr, "logged: %s\n", log_lines[0]);
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("submit");
    TCase *tcase = tcase_create("submit");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, done_comes_on_the_loop_of_the_handle_also_when_submitted_before_start);
    tcase_add_test(tcase, close_cancels_the_queued_and_the_waiting_and_closed_comes_last);
    tcase_add_test(tcase, a_refused_task_is_called_when_there_is_room_and_may_be_submitted_from_there);
    tcase_add_test(tcase, fini_ends_a_wait);
    tcase_add_test(tcase, a_task_that_waits_learns_that_the_pool_was_stopped);
    tcase_add_test(tcase, a_closed_pool_calls_nobody_and_its_refused_tasks_cannot_wait);
    tcase_add_test(tcase, a_pool_may_be_closed_by_the_call_that_tells_of_its_room);
    tcase_add_test(tcase, a_handle_closed_in_done_waits_for_the_task_that_done_submitted);
    tcase_add_test(tcase, an_inline_pool_runs_at_once_and_tells_done_through_the_loop);
    tcase_add_test(tcase, only_the_loop_thread_submits_for_a_handle_or_waits);
    suite_add_tcase(suite, tcase);
    TCase *alone = tcase_create("alone");   /* forks: no threads before */
    tcase_set_timeout(alone, 30);
    tcase_add_test(alone, a_task_that_does_not_end_is_named_at_the_deadline_and_its_loop_leaked);
    suite_add_tcase(suite, alone);
    return fixture_run(suite);
}
