/* test_worker_stop.c — workers that are stopped, by whom ever and whatever they do. */
#include "base/root.h"
#include "unit/worker/stopped_workers.h"

static uint64_t shared_id;

static void *terminate(void *arg)
{
    (void)arg;
    int err;
    while ((err = job_worker_stop_by_id(runtime, shared_id)) == 0)
        sched_yield();
    ck_assert_int_eq(err, -ESRCH);
    return NULL;
}

START_TEST(W11_two_who_stop_it_at_once_end_it_once)
{
    pthread_t threads[2];
    open_worker(&w, listens, NULL);
    shared_id = job_worker_id(&w.worker);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, terminate, NULL), 0);
    run_to_end(&w);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(w.code, 1);
    ck_assert_int_eq(job_worker_stop(&w.worker), -ESRCH);
    ck_assert_int_eq(job_worker_stop_by_id(runtime, shared_id), -ESRCH);
    ck_assert_int_eq(job_worker_stop(NULL), -EINVAL);
}
END_TEST
static struct job_worker nested;

static void count(struct job_timer *timer)
{
    (void)job_region_add32(counter, 0, 1, NULL);
    ck_assert_ok(job_timer_start(timer, 0));
}

static struct job_timer counting;

static void counts(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &counting, count));
    ck_assert_ok(job_timer_start(&counting, 0));
}

static void nested_is_online(struct job_worker *worker)
{
    (void)worker;
    post_value(job_inside_current(), 1);
}

static void nested_exits(struct job_worker *worker, int code)
{
    (void)worker;
    (void)job_region_store32(counter, 4, 1 + (uint32_t)code);
}

static const struct job_worker_events nested_events = {.online = nested_is_online, .exit = nested_exits};

static void nests(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_worker_open(job_inside_loop(inside), &nested, counts, NULL, &nested_events));
}

START_TEST(W13_stopping_a_worker_stops_its_workers_first)
{
    uint32_t before = 0, after = 0, was_told = 0;
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    w.then = stop_it;
    open_worker(&w, nests, NULL);
    run_to_end(&w);
    ck_assert_ok(job_region_load32(counter, 4, &was_told));
    ck_assert_uint_eq(was_told, 2);   /* exit 1, before its parent's */
    ck_assert_ok(job_region_load32(counter, 0, &before));
    usleep(2000);
    ck_assert_ok(job_region_load32(counter, 0, &after));
    ck_assert_uint_eq(before, after);
    job_region_release(&counter);
}
END_TEST

static void stops_when_full(struct told *told)
{
    (void)told;
}

START_TEST(P25_a_full_queue_does_not_hold_up_a_stop)
{
    unsigned accepted = 0;
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    w.then = stops_when_full;
    open_worker(&w, blocks_until_told, &(struct job_worker_options){.channel = {.messages_max = 8}});
    while (job_worker_post(&w.worker, &(struct job_post){0}) == 0)
        accepted++;
    ck_assert_uint_le(accepted, 8);
    ck_assert_ok(job_worker_stop(&w.worker));
    ck_assert_ok(job_region_store32(counter, 0, 1));
    run_to_end(&w);
    ck_assert_int_eq(w.code, 1);
    job_region_release(&counter);
}
END_TEST

/* A worker whose task waits for a cell without an end. */
static struct job_timer waits_at;
static struct job_task waiting_task;
static struct job_pool *waiting_pool;

static void waits_for_a_cell(struct job_task *task)
{
    (void)task;
    (void)job_region_store32(counter, 0, 1);
    while (job_region_wait32(counter, 8, 0, -1) != -ECANCELED) {
    }
    (void)job_region_store32(counter, 4, 1);
}

static void has_a_task_that_waits(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &waits_at, never));
    ck_assert_ok(job_task_init(&waiting_task, waiting_pool, waits_for_a_cell, NULL));
    ck_assert_ok(job_submit(waiting_pool, &waiting_task, &waits_at.handle));
    uint32_t has_begun = 0;
    while (has_begun == 0) {
        ck_assert_ok(job_region_load32(counter, 0, &has_begun));
        sched_yield();
    }
    post_value(inside, 1);
}

START_TEST(S13_a_task_that_waits_for_a_cell_does_not_hold_up_the_stop_of_its_worker)
{
    uint32_t has_ended = 0;
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    ck_assert_ok(job_pool_open(runtime, &waiting_pool, &(struct job_pool_options){.workers = 1}));
    w.then = stop_it;
    open_worker(&w, has_a_task_that_waits, &(struct job_worker_options){.stop_timeout_ns = 10000000000});
    run_to_end(&w);
    ck_assert_uint_eq(w.left + w.stuck, 0);
    ck_assert_ok(job_region_load32(counter, 4, &has_ended));
    ck_assert_uint_eq(has_ended, 1);
    ck_assert_ok(job_pool_close(&waiting_pool));
    job_region_release(&counter);
}
END_TEST

/* `fails_late` is in the queue when the loop begins to close: the worker's port is shut before it runs. */
static struct job_inside *failing;
static struct job_call posts_late, fails_late;

static void fail_late(struct job_call *call)
{
    (void)call;
    job_inside_fail(failing, -EDOM, "too late to be told");
}

static void post_late(struct job_call *call)
{
    (void)call;
    ck_assert_ok(job_loop_call(job_inside_loop(failing), &fails_late));
}

static void ends_and_calls(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    failing = inside;
    posts_late = (struct job_call){.run = post_late};
    fails_late = (struct job_call){.run = fail_late};
    job_inside_exit(inside, 3);
    ck_assert_ok(job_loop_call(job_inside_loop(inside), &posts_late));
}

START_TEST(who_fails_while_its_loop_closes_is_told_by_its_code)
{
    open_worker(&w, ends_and_calls, NULL);
    run_to_end(&w);
    ck_assert_uint_eq(w.errors, 0);
    ck_assert_int_eq(w.code, 1);
}
END_TEST

static bool post_is_stopping;   /* behind job_inside_exit() */

static void runs_until_it_is_asked_to_stop(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    MUST(!job_inside_is_stopping(inside));
    post_value(inside, 1);
    while (!job_inside_is_stopping(inside))
        sched_yield();
}

static void says_that_it_ends(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    job_inside_exit(inside, 0);
    post_is_stopping = job_inside_is_stopping(inside);
}

START_TEST(a_callback_that_goes_on_for_long_can_see_that_its_worker_shall_end)
{
    w.then = stop_it;
    open_worker(&w, runs_until_it_is_asked_to_stop, NULL);
    run_to_end(&w);
    ck_assert_uint_eq(w.stuck, 0);
    memset(&w, 0, sizeof w);
    open_worker(&w, says_that_it_ends, NULL);
    run_to_end(&w);
    ck_assert(post_is_stopping);
    ck_assert(!job_inside_is_stopping(NULL));
}
END_TEST

START_TEST(closing_the_parents_loop_stops_its_workers)
{
    struct job_loop *parent = NULL;
    ck_assert_ok(job_loop_open(runtime, &parent, NULL));
    ck_assert_ok(job_worker_open(parent, &w.worker, listens, NULL, &events));
    ck_assert_ok(job_loop_close(&parent, 0));
    ck_assert_uint_eq(w.exits, 1);
    ck_assert_uint_eq(w.closed, 1);
    ck_assert_int_eq(w.code, 1);
}
END_TEST

static void *post_and_stop(void *errs)
{
    ((int *)errs)[0] = job_worker_post(&w.worker, &(struct job_post){0});
    ((int *)errs)[1] = job_worker_stop(&w.worker);
    return NULL;
}

START_TEST(a_worker_that_is_closed_can_be_called_though_its_parents_loop_is_gone)
{
    pthread_t thread;
    int errs[2];
    open_worker(&w, listens, NULL);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(w.closed, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, post_and_stop, errs), 0);   /* there it is not right by chance */
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(errs[0], -ESRCH);
    ck_assert_int_eq(errs[1], -ESRCH);
    job_worker_close(&w.worker);
}
END_TEST

static int post_in_exit;

static void posts_in_exit(struct job_worker *worker, int code)
{
    (void)code;
    post_in_exit = job_worker_post(worker, &(struct job_post){0});
}

static unsigned told_closed;

static void forget(struct job_handle *handle)
{
    told_closed++;
    memset(handle, 0xa5, sizeof(struct job_worker));   /* it is ours again */
}

START_TEST(without_a_closed_event_a_worker_tells_who_was_named_for_its_handle_and_in_exit_it_has_ended)
{
    static const struct job_worker_events no_closed = {.exit = posts_in_exit};
    ck_assert_ok(job_worker_open(loop, &w.worker, ends_at_once, NULL, &no_closed));
    job_handle_on_closed(&w.worker.handle, forget);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(post_in_exit, -ESRCH);
    ck_assert_uint_eq(told_closed, 1);
}
END_TEST

static struct job_timer closing_late;

static void exits_late(struct job_handle *handle)
{
    (void)handle;
    job_inside_exit(job_inside_current(), 0);
}

static void opens_what_exits_late(struct job_inside *inside, struct job_message *start)
{
    listens(inside, start);
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &closing_late, never));
    job_handle_on_closed(&closing_late.handle, exits_late);
    post_value(inside, 1);
}

static void exits_and_fails(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    job_inside_exit(inside, 3);
    job_inside_fail(inside, -EDOM, "behind its exit");
    job_inside_exit(inside, 4);
}

START_TEST(a_code_that_is_said_behind_a_stop_or_a_failure_is_not_heard)
{
    w.then = stop_it;
    open_worker(&w, opens_what_exits_late, NULL);
    run_to_end(&w);
    ck_assert_int_eq(w.code, 1);
    memset(&w, 0, sizeof w);
    open_worker(&w, exits_and_fails, NULL);
    run_to_end(&w);
    ck_assert_uint_eq(w.errors, 1);
    ck_assert_int_eq(w.code, 1);
}
END_TEST

static pthread_t parents;
static atomic_uint may_go_on, mains;

static uint64_t holds_all_other_threads(void)
{
    struct timespec now;
    while (!pthread_equal(pthread_self(), parents) && !atomic_load(&may_go_on))
        sched_yield();
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void counts_mains(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
    atomic_fetch_add(&mains, 1);
}

START_TEST(a_worker_that_is_stopped_before_it_begins_does_not_begin)
{
    parents = pthread_self();
    ((struct root *)runtime)->now_ns = holds_all_other_threads;   /* its first member */
    open_worker(&w, counts_mains, NULL);
    ck_assert_ok(job_worker_stop(&w.worker));
    atomic_store(&may_go_on, 1);

    run_to_end(&w);

    ck_assert_uint_eq(atomic_load(&mains), 0);
    ck_assert_int_eq(w.code, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker stop");
    TCase *tcase = tcase_create("worker stop");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_worker_that_is_stopped_before_it_begins_does_not_begin);
    tcase_add_test(tcase, W11_two_who_stop_it_at_once_end_it_once);
    tcase_add_test(tcase, W13_stopping_a_worker_stops_its_workers_first);
    tcase_add_test(tcase, P25_a_full_queue_does_not_hold_up_a_stop);
    tcase_add_test(tcase, S13_a_task_that_waits_for_a_cell_does_not_hold_up_the_stop_of_its_worker);
    tcase_add_test(tcase, a_callback_that_goes_on_for_long_can_see_that_its_worker_shall_end);
    tcase_add_test(tcase, who_fails_while_its_loop_closes_is_told_by_its_code);
    tcase_add_test(tcase, a_worker_that_is_closed_can_be_called_though_its_parents_loop_is_gone);
    tcase_add_test(tcase, without_a_closed_event_a_worker_tells_who_was_named_for_its_handle_and_in_exit_it_has_ended);
    tcase_add_test(tcase, a_code_that_is_said_behind_a_stop_or_a_failure_is_not_heard);
    tcase_add_test(tcase, closing_the_parents_loop_stops_its_workers);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
