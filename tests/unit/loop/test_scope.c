/* test_scope.c — a scope has what belongs to it and nothing else: when the loop ends, what close cancels, and in which order it is told. */
#include <semaphore.h>

#include "support/fixture.h"

enum { TASKS = 3 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_scope scope;
static struct job_task tasks[TASKS];
static sem_t begun, gate;
static unsigned done_count, cancelled_count, closed_count;

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    memset(&scope, 0xEE, sizeof scope);
    ck_assert_ok(job_scope_open(loop, &scope));
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    done_count = cancelled_count = closed_count = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
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
    ck_assert_uint_eq(closed_count, 0);
    done_count++;
    cancelled_count += status == -ECANCELED;
}

static void closed(struct job_scope *of)
{
    ck_assert_ptr_eq(of, &scope);
    ck_assert_uint_eq(done_count, TASKS);
    closed_count++;
    memset(&scope, 0xEE, sizeof scope);   /* ours again */
}

/* The first of them runs and waits, the others are behind it. */
static void submit_all(void)
{
    for (int i = 0; i < TASKS; i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, blocks, done));
        ck_assert_ok(job_submit(pool, &tasks[i], &scope.handle));
        if (i == 0)
            sem_wait(&begun);
    }
}

static void let_all_go(void)
{
    for (int i = 0; i < TASKS; i++)
        sem_post(&gate);
}

START_TEST(it_does_not_keep_the_loop_alive_but_what_belongs_to_it_does)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert(!job_handle_is_closing(&scope.handle));
    ck_assert_uint_eq(job_loop_handles(loop, NULL, NULL), 0);

    submit_all();
    let_all_go();
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(done_count, TASKS);
    ck_assert_uint_eq(cancelled_count, 0);
}
END_TEST

START_TEST(close_cancels_what_is_queued_and_closed_comes_once_after_the_last_end)
{
    struct job_task late;
    ck_assert_ok(job_task_init(&late, pool, blocks, done));
    submit_all();
    job_scope_close(&scope, closed);
    job_scope_close(&scope, NULL);
    ck_assert_uint_eq(closed_count, 0);
    ck_assert_int_eq(job_submit(pool, &late, &scope.handle), -ECANCELED);
    let_all_go();

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(cancelled_count, TASKS - 1);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

START_TEST(cancel_ends_what_is_queued_and_the_scope_stays_open)
{
    submit_all();
    ck_assert_ok(job_handle_cancel(&scope.handle));
    let_all_go();

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(cancelled_count, TASKS - 1);
    ck_assert(!job_handle_is_closing(&scope.handle));
    ck_assert_int_eq(job_handle_cancel(&scope.handle), -ENOENT);
}
END_TEST

static void was_closed(struct job_handle *handle)
{
    ck_assert_ptr_eq(handle, &scope.handle);
    closed_count++;
}

static void looks(void *arg, const struct job_handle_info *info)
{
    (void)arg;
    ck_assert_ptr_eq(info->handle, &scope.handle);
    ck_assert_str_eq(info->kind, "scope");
    ck_assert(!info->keeps_alive);
}

START_TEST(a_loop_that_closes_closes_it_and_says_so_to_who_asked)
{
    job_handle_on_closed(&scope.handle, was_closed);
    (void)job_loop_handles(loop, looks, NULL);

    ck_assert_int_eq(job_loop_close(&loop, 0), 0);

    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

static void *open_elsewhere(void *arg)
{
    struct job_scope other = {0};
    (void)arg;
    ck_assert_int_eq(job_scope_open(loop, &other), -EPERM);
    job_scope_close(&scope, closed);   /* ignored, and logged */
    return NULL;
}

START_TEST(bad_input_and_other_threads_change_nothing)
{
    pthread_t thread;
    struct job_scope never = {0};
    ck_assert_int_eq(job_scope_open(NULL, &never), -EINVAL);
    ck_assert_int_eq(job_scope_open(loop, NULL), -EINVAL);
    job_scope_close(NULL, closed);
    job_scope_close(&never, closed);
    ck_assert_int_eq(job_loop_run(loop), 0);   /* the loop is this thread's from here on */
    ck_assert_int_eq(pthread_create(&thread, NULL, open_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert(!job_handle_is_closing(&scope.handle));
    ck_assert_uint_eq(closed_count, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("scope");
    TCase *tcase = tcase_create("scope");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_does_not_keep_the_loop_alive_but_what_belongs_to_it_does);
    tcase_add_test(tcase, close_cancels_what_is_queued_and_closed_comes_once_after_the_last_end);
    tcase_add_test(tcase, cancel_ends_what_is_queued_and_the_scope_stays_open);
    tcase_add_test(tcase, a_loop_that_closes_closes_it_and_says_so_to_who_asked);
    tcase_add_test(tcase, bad_input_and_other_threads_change_nothing);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
