/* test_task.c — a task: what it owns and when, its states, cancel, and every refusal. */
#include <sched.h>
#include <semaphore.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_pool *pool;
static struct job_task task;
static sem_t begun, gate, ended;
static int done_status, statuses[2];
static unsigned done_count;

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    sem_init(&ended, 0, 0);
    memset(&task, 0, sizeof task);
    done_count = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static struct job_buf *new_buf(const char *text)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, text, strlen(text)));
    return buf;
}

static uint64_t live_bufs(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.bufs;
}

static void blocks(struct job_task *t)
{
    (void)t;
    sem_post(&begun);
    sem_wait(&gate);
}

static void nothing(struct job_task *t)
{
    (void)t;
}

static void tells(struct job_task *t, int status)
{
    done_status = status;
    if (done_count < 2)
        statuses[done_count++] = status;
    ck_assert_ok(job_task_fini(t));   /* the waiter's stack may be gone from here on */
    sem_post(&ended);
}

START_TEST(bad_arguments_are_refused_and_change_nothing)
{
    struct job_buf *buf = new_buf("x"), *none = NULL, *other = new_buf("y");
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, 8, &region));
    ck_assert_int_eq(job_task_init(NULL, pool, nothing, NULL), -EINVAL);
    ck_assert_int_eq(job_task_init(&task, pool, NULL, NULL), -EINVAL);

    /* Not initialised: zero memory. */
    ck_assert_int_eq(job_task_give(&task, &buf), -EINVAL);
    ck_assert_int_eq(job_task_share(&task, region), -EINVAL);
    ck_assert_int_eq(job_submit(pool, &task, NULL), -EINVAL);
    ck_assert_int_eq(job_task_cancel(&task), -ENOENT);
    ck_assert_int_eq(job_task_fini(&task), 0);
    ck_assert_ptr_null(job_task_take(&task));

    ck_assert_ok(job_task_init(&task, pool, nothing, NULL));
    ck_assert_int_eq(job_task_give(NULL, &buf), -EINVAL);
    ck_assert_int_eq(job_task_give(&task, NULL), -EINVAL);
    ck_assert_int_eq(job_task_give(&task, &none), -EINVAL);
    ck_assert_ok(job_task_give(&task, &buf));
    ck_assert_ptr_null(buf);
    ck_assert_int_eq(job_task_give(&task, &other), -EBUSY);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(job_task_share(NULL, region), -EINVAL);
    ck_assert_int_eq(job_task_share(&task, NULL), -EINVAL);
    ck_assert_int_eq(job_submit(NULL, &task, NULL), -EINVAL);
    ck_assert_int_eq(job_submit(pool, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_submit(pool, &task, &(struct job_handle){0}), -EINVAL);
    ck_assert_int_eq(job_task_cancel(NULL), -EINVAL);
    ck_assert_int_eq(job_task_cancel(&task), -ENOENT);
    ck_assert_int_eq(job_task_fini(NULL), -EINVAL);
    ck_assert_int_eq(job_task_when_writable(NULL, nothing), -EINVAL);
    ck_assert_int_eq(job_task_when_writable(&task, NULL), -EINVAL);
    ck_assert_int_eq(job_task_when_writable(&task, nothing), -EINVAL);   /* was not refused */
    ck_assert_ptr_null(job_task_take(NULL));
    ck_assert_ptr_null(job_task_region(NULL, 0));
    ck_assert_ptr_null(job_task_region(&task, 4));
    ck_assert_ptr_null(job_task_region(&task, 0));
    ck_assert(!job_task_is_cancelled(NULL));
    job_task_set_status(NULL, 1);

    buf = job_task_take(&task);
    ck_assert_ptr_nonnull(buf);
    ck_assert_ptr_null(job_task_take(&task));
    job_buf_free(&buf);
    job_buf_free(&other);
    job_region_release(&region);
    ck_assert_uint_eq(live_bufs(), 0);
}
END_TEST

START_TEST(a_task_that_is_queued_or_runs_elsewhere_is_not_to_be_changed)
{
    struct job_task second;
    struct job_buf *buf = new_buf("x");
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, 8, &region));
    ck_assert_ok(job_task_init(&task, pool, blocks, tells));
    ck_assert_ok(job_task_init(&second, pool, nothing, tells));
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&begun);
    ck_assert_ok(job_submit(pool, &second, NULL));
    struct job_task *busy[] = {&task, &second};   /* runs; is queued. Neither owns a buf */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(job_task_give(busy[i], &buf), -EBUSY);
        ck_assert_ptr_nonnull(buf);
        ck_assert_ptr_null(job_task_take(busy[i]));
        ck_assert_int_eq(job_task_share(busy[i], region), -EBUSY);
        ck_assert_int_eq(job_task_fini(busy[i]), -EBUSY);
        ck_assert_int_eq(job_submit(pool, busy[i], NULL), -EBUSY);
    }
    sem_post(&gate);
    sem_wait(&ended);
    sem_wait(&ended);
    job_buf_free(&buf);
    job_region_release(&region);
}
END_TEST

static void takes_and_gives(struct job_task *t)
{
    struct job_buf *in = job_task_take(t), *out = new_buf("output");
    ck_assert_ptr_nonnull(in);
    job_buf_free(&in);
    ck_assert_ok(job_task_give(t, &out));
    uint32_t old;
    ck_assert_ok(job_region_add32(job_task_region(t, 0), 4, 7, &old));
    job_task_set_status(t, -EIO);
}

static size_t len_in_done;

static void measures(struct job_task *t, int status)
{
    len_in_done = t->buf ? job_buf_len(t->buf) : 0;
    done_status = status;
    sem_post(&ended);
}

START_TEST(the_function_takes_gives_shares_and_sets_the_status_and_what_is_left_goes_back)
{
    struct job_buf *in = new_buf("in");
    struct job_region *region = NULL;
    uint32_t value = 0;
    ck_assert_ok(job_region_open(runtime, 8, &region));
    ck_assert_ok(job_task_init(&task, pool, takes_and_gives, measures));
    ck_assert_ok(job_task_give(&task, &in));
    for (int i = 0; i < 4; i++)
        ck_assert_ok(job_task_share(&task, region));
    ck_assert_int_eq(job_task_share(&task, region), -ENOSPC);

    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&ended);
    ck_assert_int_eq(job_pool_close(&pool), 0);   /* `done` has returned */

    ck_assert_int_eq(done_status, -EIO);
    ck_assert_uint_eq(len_in_done, 6);
    ck_assert_uint_eq(live_bufs(), 0);
    ck_assert_ok(job_region_load32(region, 4, &value));
    ck_assert_uint_eq(value, 7);
    ck_assert_ptr_null(job_task_region(&task, 0));
    job_region_release(&region);
}
END_TEST

START_TEST(of_cancel_and_begin_exactly_one_wins)
{
    struct job_task queued;
    ck_assert_ok(job_task_init(&task, pool, blocks, tells));
    ck_assert_ok(job_task_init(&queued, pool, nothing, tells));
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&begun);
    ck_assert_ok(job_submit(pool, &queued, NULL));

    ck_assert_int_eq(job_task_cancel(&queued), 0);
    ck_assert_int_eq(job_task_cancel(&queued), -EALREADY);
    ck_assert_int_eq(job_task_cancel(&task), -EALREADY);
    ck_assert(job_task_is_cancelled(&task));
    ck_assert_int_eq(job_submit(pool, &queued, NULL), -EBUSY);   /* its end is still to come */
    sem_post(&gate);
    sem_wait(&ended);
    sem_wait(&ended);
    ck_assert_int_eq(statuses[0], 0);   /* it had begun */
    ck_assert_int_eq(statuses[1], -ECANCELED);
    ck_assert_uint_eq(done_count, 2);
}
END_TEST

static void resubmits_twice(struct job_task *t, int status)
{
    ck_assert_int_eq(status, 0);
    if (++done_count < 3) {
        struct job_buf *next = new_buf("next");
        job_buf_free(&t->buf);
        ck_assert_ok(job_task_give(t, &next));
        ck_assert_ok(job_submit(pool, t, NULL));
    } else {
        sem_post(&ended);
    }
}

START_TEST(in_its_done_a_task_may_be_given_a_buf_and_submitted_anew)
{
    struct job_buf *buf = new_buf("first");
    ck_assert_ok(job_task_init(&task, pool, nothing, resubmits_twice));
    ck_assert_ok(job_task_give(&task, &buf));
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&ended);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    ck_assert_uint_eq(done_count, 3);
    ck_assert_uint_eq(live_bufs(), 0);
}
END_TEST

static void second_phase(struct job_task *t)
{
    char text[4] = "";
    ck_assert_ptr_nonnull(t->buf);
    ck_assert_int_eq(job_buf_read(t->buf, 0, text, 4), 0);
    ck_assert_int_eq(memcmp(text, "next", 4), 0);
}

static void begins_second_phase(struct job_task *t, int status)
{
    struct job_buf *next = new_buf("next");
    ck_assert_int_eq(status, 0);
    ck_assert_ok(job_task_init(t, pool, second_phase, tells));
    ck_assert_ok(job_task_give(t, &next));
    ck_assert_ok(job_submit(pool, t, NULL));
}

START_TEST(in_its_done_a_task_may_become_another_one_which_keeps_what_it_is_given)
{
    ck_assert_ok(job_task_init(&task, pool, nothing, begins_second_phase));
    ck_assert_ok(job_submit(pool, &task, NULL));   /* one thread: the second phase runs when this `done` has returned */
    sem_wait(&ended);
    ck_assert_int_eq(done_status, 0);
    ck_assert_uint_eq(live_bufs(), 0);
}
END_TEST

static void runs_another_inside_and_is_made_anew(struct job_task *outer, int status)
{
    static struct job_pool *inline_pool;
    struct job_task inner;
    struct job_buf *buf = new_buf("x"), *kept = new_buf("y");
    ck_assert_int_eq(status, 0);
    ck_assert_ok(job_pool_open(runtime, &inline_pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_task_init(&inner, inline_pool, nothing, NULL));
    ck_assert_ok(job_task_give(&inner, &buf));
    ck_assert_ok(job_submit(inline_pool, &inner, NULL));   /* its end is delivered inside of ours */
    ck_assert_uint_eq(live_bufs(), 1);
    ck_assert_ok(job_task_init(outer, pool, second_phase, NULL));
    ck_assert_ok(job_task_give(outer, &kept));
    ck_assert_int_eq(job_pool_close(&inline_pool), 0);
    sem_post(&ended);
}

START_TEST(what_a_new_task_in_the_place_of_the_ended_one_owns_stays_also_when_it_is_not_submitted)
{
    ck_assert_ok(job_task_init(&task, pool, nothing, runs_another_inside_and_is_made_anew));
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&ended);
    ck_assert_int_eq(job_pool_close(&pool), 0);   /* that `done` has returned */
    ck_assert_uint_eq(live_bufs(), 1);
    ck_assert_ok(job_task_fini(&task));
    ck_assert_uint_eq(live_bufs(), 0);
}
END_TEST

static void frees_itself(struct job_task *t, int status)
{
    ck_assert_int_eq(status, 0);
    ck_assert_ok(job_task_fini(t));
    memset(t, 0xEE, sizeof *t);
    free(t);
    sem_post(&ended);
}

START_TEST(in_its_done_a_task_may_be_ended_and_its_memory_freed)
{
    for (int i = 0; i < 1000; i++) {
        struct job_task *heap = malloc(sizeof *heap);
        struct job_buf *buf = new_buf("x");
        memset(heap, 0xDD, sizeof *heap);   /* whatever the memory held */
        ck_assert_ok(job_task_init(heap, pool, nothing, frees_itself));
        ck_assert_ok(job_task_give(heap, &buf));
        ck_assert_ok(job_submit(pool, heap, NULL));
    }
    for (int i = 0; i < 1000; i++)
        sem_wait(&ended);
    ck_assert_uint_eq(live_bufs(), 0);
}
END_TEST

static void forks(struct job_task *t)
{
    struct job_task *children = t->data;
    for (int i = 0; i < 1000; i++) {   /* more than a deque holds */
        ck_assert_ok(job_task_init(&children[i], pool, nothing, tells));
        ck_assert_ok(job_submit(pool, &children[i], NULL));
    }
}

START_TEST(a_task_submits_follow_up_work)
{
    static struct job_task children[1000];
    task.data = children;
    ck_assert_ok(job_task_init(&task, pool, forks, NULL));
    ck_assert_ptr_eq(task.data, children);   /* the user's */
    ck_assert_ok(job_submit(pool, &task, NULL));
    for (int i = 0; i < 1000; i++)
        sem_wait(&ended);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("task");
    TCase *tcase = tcase_create("task");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bad_arguments_are_refused_and_change_nothing);
    tcase_add_test(tcase, a_task_that_is_queued_or_runs_elsewhere_is_not_to_be_changed);
    tcase_add_test(tcase, the_function_takes_gives_shares_and_sets_the_status_and_what_is_left_goes_back);
    tcase_add_test(tcase, of_cancel_and_begin_exactly_one_wins);
    tcase_add_test(tcase, in_its_done_a_task_may_be_given_a_buf_and_submitted_anew);
    tcase_add_test(tcase, in_its_done_a_task_may_become_another_one_which_keeps_what_it_is_given);
    tcase_add_test(tcase, what_a_new_task_in_the_place_of_the_ended_one_owns_stays_also_when_it_is_not_submitted);
    tcase_add_test(tcase, in_its_done_a_task_may_be_ended_and_its_memory_freed);
    tcase_add_test(tcase, a_task_submits_follow_up_work);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
