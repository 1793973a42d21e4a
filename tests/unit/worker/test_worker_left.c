/* test_worker_left.c — workers that do not end: they are named as stuck or left, and nobody waits for them without a bound. */
#include "unit/worker/stopped_workers.h"

static void free_it(struct job_worker *worker, const void *function)
{
    on_stuck(worker, function);
    ck_assert_ok(job_region_store32(counter, 0, 1));
}

static char logged[256];

static void keep_log(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)level;
    snprintf(logged, sizeof logged, "%s", text);
}

START_TEST(O04_a_worker_that_does_not_return_is_reported_stuck_with_its_function)
{
    struct job_worker_events stuck = events;
    struct job_runtime *quiet = NULL;
    struct job_loop *parent = NULL;
    char name[128];
    stuck.stuck = free_it;
    ck_assert_ok(job_runtime_open(&quiet, &(struct job_runtime_options){.log = keep_log}));
    ck_assert_ok(job_loop_open(quiet, &parent, NULL));
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    w.then = stop_it;
    struct job_worker_options options = {.stop_timeout_ns = 20000000, .name = "hangs"};
    ck_assert_ok(job_worker_open(parent, &w.worker, blocks_until_told, &options, &stuck));
    ck_assert_int_eq(job_loop_run(parent), 0);   /* does not wait for it any more */
    ck_assert_uint_eq(w.stuck, 1);
    ck_assert_ptr_eq(w.running, (const void *)(uintptr_t)blocks_until_told);
    snprintf(name, sizeof name, "in 20 ms; it runs %s+0x", program_invocation_short_name);   /* what addr2line takes */
    ck_assert_msg(strstr(logged, "worker hangs is stuck") && strstr(logged, name), "%s", logged);
    ck_assert_ok(job_loop_close(&parent, 0));    /* does, up to its deadline */
    ck_assert_uint_eq(w.exits, 1);
    ck_assert_uint_eq(w.closed, 1);
    ck_assert_int_eq(w.code, 1);
    job_region_release(&counter);
    fixture_close(quiet);
}
END_TEST

static void in_a_child(void (*body)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(40);
        body();
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* A task in a thread of the runtime's that reads from a pipe in which nobody writes; what a user would free in `closed`. */
struct reading {
    struct job_timer timer;
    struct job_task task;
    int fds[2];
    atomic_uint has_begun, has_ended;
    unsigned char byte;
};

static struct reading *reading;

static void reads_the_pipe(struct job_task *task)
{
    struct reading *mine = job_container_of(task, struct reading, task);
    atomic_store(&mine->has_begun, 1);
    (void)!read(mine->fds[0], &mine->byte, 1);
    atomic_store(&mine->has_ended, 1);
}

static void is_through(struct job_task *task, int status)
{
    (void)task, (void)status;
}

static void reads_a_pipe(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    MUST(job_timer_open(job_inside_loop(inside), &reading->timer, never) == 0);
    MUST(job_task_init(&reading->task, job_runtime_calls(runtime), reads_the_pipe, is_through) == 0);
    MUST(job_submit(job_runtime_calls(runtime), &reading->task, &reading->timer.handle) == 0);
    while (!atomic_load(&reading->has_begun))
        sched_yield();
    post_value(inside, 1);
    MUST(job_inside_listen(inside, &hearing) == 0);
}

static void open_reading(void)
{
    memset(&w, 0, sizeof w);
    reading = calloc(1, sizeof *reading);
    MUST(reading && pipe(reading->fds) == 0);
    MUST(job_runtime_open(&runtime, NULL) == 0);   /* quiet: it says so in the log */
    MUST(job_loop_open(runtime, &loop, NULL) == 0);
    w.then = stop_it;
}

/* The call returns at last: it writes where it was told to, and nobody may have freed that. */
static void let_it_end(void)
{
    MUST(write(reading->fds[1], "x", 1) == 1);
    while (!atomic_load(&reading->has_ended))
        sched_yield();
    MUST(reading->byte == 'x');
    MUST(job_runtime_close(&runtime) == -EBUSY);
}

static void leaves_a_call_behind(uint64_t stop_timeout_ns)
{
    open_reading();
    struct job_worker_options options = {.stop_timeout_ns = stop_timeout_ns, .memory_limit_bytes = 16 << 20};
    MUST(job_worker_open(loop, &w.worker, reads_a_pipe, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.stuck <= 1);
    while (w.left == 0 && w.closed == 0)   /* reported stuck in between, it does not keep the loop alive */
        MUST(job_loop_run(loop) == 0);
    MUST(w.exits == 1 && w.code == 1);
    MUST(w.left == 1 && w.closed == 0);
    MUST(strcmp(w.left_what, "timer") == 0 && w.left_count == 1);
    MUST(job_worker_stop(&w.worker) == -ESRCH);
    memset(&w.worker, 0xff, sizeof w.worker);   /* ours again */
    MUST(job_loop_close(&loop, 0) == -ETIMEDOUT);
    let_it_end();
}

static void leaves_it_in_time(void)
{
    leaves_a_call_behind(20000000);
}

/* It is over before the loop has made a turn, as on a machine that is busy. */
static void leaves_it_in_no_time(void)
{
    leaves_a_call_behind(1);
}

START_TEST(what_has_not_ended_is_told_as_left_and_never_as_closed)
{
    in_a_child(leaves_it_in_time);
    in_a_child(leaves_it_in_no_time);
}
END_TEST

static void stop_the_loop(struct told *told)
{
    (void)told;
    job_loop_stop(loop);
}

/* All by default: the bounds of the worker are over before that of its parent's close. */
static void leaves_a_call_behind_by_default(void)
{
    open_reading();
    w.then = stop_the_loop;
    MUST(job_worker_open(loop, &w.worker, reads_a_pipe, NULL, &events) == 0);
    MUST(job_loop_run(loop) == 1);
    MUST(job_loop_close(&loop, 0) == -ETIMEDOUT);
    MUST(w.left == 1 && w.closed == 0);
    let_it_end();
}

START_TEST(what_has_not_ended_is_told_as_left_to_a_parent_that_closes_by_default)
{
    in_a_child(leaves_a_call_behind_by_default);
}
END_TEST

static unsigned hung_workers;

static void counts_hung(void *arg, const struct job_hung *hung)
{
    (void)arg;
    hung_workers += strcmp(hung->what, "worker") == 0;
}

static struct told inner;

static void nests_the_reader(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    inner.then = stop_it;
    struct job_worker_options options = {.stop_timeout_ns = 10000000};
    MUST(job_worker_open(job_inside_loop(inside), &inner.worker, reads_a_pipe, &options, &events) == 0);
}

static void leaves_a_call_behind_below(void)
{
    open_reading();
    w.then = NULL;
    MUST(job_loop_close(&loop, 0) == 0);
    MUST(job_loop_open(runtime, &loop, &(struct job_loop_options){.hung = counts_hung}) == 0);
    MUST(job_worker_open(loop, &w.worker, nests_the_reader, NULL, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(inner.exits == 1 && inner.left == 1 && inner.closed == 0);
    MUST(w.exits == 1 && w.left == 1 && w.closed == 0);
    MUST(strcmp(w.left_what, "worker") == 0);
    MUST(hung_workers == 1);
    let_it_end();
}

START_TEST(what_a_worker_of_a_worker_leaves_is_left_by_both)
{
    in_a_child(leaves_a_call_behind_below);
}
END_TEST

static void tells_above(struct told *told)
{
    (void)told;
    post_value(job_inside_current(), 1);
}

static void nests_the_reader_by_default(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    inner.then = tells_above;
    MUST(job_worker_open(job_inside_loop(inside), &inner.worker, reads_a_pipe, NULL, &events) == 0);
}

/* All by default: the bounds of the inner worker are over before that of the close of its parent's loop, and these before its parent's. */
static void leaves_a_call_behind_below_by_default(void)
{
    open_reading();
    w.then = stop_the_loop;
    MUST(job_worker_open(loop, &w.worker, nests_the_reader_by_default, NULL, &events) == 0);
    MUST(job_loop_run(loop) == 1);
    MUST(job_loop_close(&loop, 0) == -ETIMEDOUT);
    MUST(inner.exits == 1 && inner.left == 1 && inner.closed == 0);
    MUST(w.exits == 1 && w.left == 1 && w.closed == 0);
    let_it_end();
}

START_TEST(what_a_worker_of_a_worker_leaves_is_left_by_both_that_close_by_default)
{
    in_a_child(leaves_a_call_behind_below_by_default);
}
END_TEST

static void hangs_for_ever(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    post_value(inside, 1);
    for (;;)
        pause();
}

static void close_it(struct told *told)
{
    job_worker_close(&told->worker);
}

static void waits_within_bounds(void (*how)(struct told *told))
{
    open_reading();
    w.then = how;
    struct job_worker_options options = {.stop_timeout_ns = 10000000, .name = "hangs"};
    MUST(job_worker_open(loop, &w.worker, hangs_for_ever, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.stuck == 1 && w.exits == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(job_loop_close(&loop, 10000000) == -ETIMEDOUT);
    MUST(w.stuck == 1);
    MUST(w.exits + w.closed + w.left == 0);
    MUST(job_runtime_close(&runtime) == -EBUSY);
}

static void stop_it_by_id(struct told *told)
{
    MUST(job_worker_stop_by_id(runtime, job_worker_id(&told->worker)) == 0);
    MUST(job_worker_stop_by_id(runtime, job_worker_id(&told->worker)) == 0);
}

static void waits_for_one_that_another_has_stopped(void)
{
    waits_within_bounds(stop_it_by_id);
}

static struct job_timer endless;

static void hangs_in_closed(struct job_handle *handle)
{
    (void)handle;
    for (;;)
        pause();
}

/* It has nothing to do, so its loop ends by itself; what does not return is `closed` of a handle that was open then. */
static void leaves_what_hangs(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    MUST(job_timer_open(job_inside_loop(inside), &endless, never) == 0);
    job_handle_on_closed(&endless.handle, hangs_in_closed);
    post_value(inside, 1);
}

static void close_it_behind_its_end(struct told *told)
{
    while (job_worker_list(runtime, NULL, 0) > 0)
        sched_yield();
    MUST(job_worker_stop_by_id(runtime, job_worker_id(&told->worker)) == -ESRCH);
    job_worker_close(&told->worker);
}

static void waits_for_one_whose_loop_hangs_in_its_close(void)
{
    open_reading();
    w.then = close_it_behind_its_end;
    struct job_worker_options options = {.stop_timeout_ns = 10000000, .name = "hangs"};
    MUST(job_worker_open(loop, &w.worker, leaves_what_hangs, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.stuck == 1 && w.running == NULL && w.exits == 0);
    MUST(job_loop_close(&loop, 10000000) == -ETIMEDOUT);
}

static void waits_for_one_that_was_closed(void)
{
    waits_within_bounds(close_it);
}

static void waits_for_one_that_was_stopped(void)
{
    waits_within_bounds(stop_it);
}

START_TEST(a_stuck_worker_is_told_once_and_holds_up_neither_run_nor_close)
{
    in_a_child(waits_for_one_that_was_closed);
    in_a_child(waits_for_one_that_was_stopped);
    in_a_child(waits_for_one_that_another_has_stopped);
}
END_TEST

START_TEST(a_worker_that_has_ended_by_itself_and_hangs_in_its_close_is_told_as_stuck)
{
    in_a_child(waits_for_one_whose_loop_hangs_in_its_close);
}
END_TEST

static pthread_key_t slow_key;
static atomic_uint may_end, has_waited_in_vain;
static struct job_timer ticking;
static unsigned ticks;

/* What the thread runs when the library is through with it. */
static void waits_for_the_parent(void *arg)
{
    (void)arg;
    for (unsigned ms = 0; ms < 10000 && !atomic_load(&may_end); ms++)
        usleep(1000);
    atomic_store(&has_waited_in_vain, !atomic_load(&may_end));
}

static void has_a_slow_destructor(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
    ck_assert_int_eq(pthread_setspecific(slow_key, &slow_key), 0);
}

static void lets_it_end(struct job_timer *timer)
{
    ticks += w.stuck;
    if (ticks < 3) {
        ck_assert_ok(job_timer_start(timer, 1000000));
        return;
    }
    ck_assert_uint_eq(w.exits, 0);
    atomic_store(&may_end, 1);
    job_timer_close(timer, NULL);
}

START_TEST(a_thread_that_is_slow_to_end_is_told_as_stuck_and_does_not_hold_up_its_parents_loop)
{
    struct job_worker_options options = {.stop_timeout_ns = 10000000};
    struct job_runtime *quiet = NULL;
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_runtime_open(&quiet, &(struct job_runtime_options){.log = keep_log}));
    ck_assert_ok(job_loop_open(quiet, &loop, NULL));
    ticks = 0;
    ck_assert_int_eq(pthread_key_create(&slow_key, waits_for_the_parent), 0);
    ck_assert_ok(job_timer_open(loop, &ticking, lets_it_end));
    ck_assert_ok(job_timer_start(&ticking, 0));
    open_worker(&w, has_a_slow_destructor, &options);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(atomic_load(&has_waited_in_vain), 0);
    ck_assert_uint_eq(w.stuck, 1);
    ck_assert_uint_eq(w.exits, 1);
    ck_assert_uint_eq(w.closed, 1);
    ck_assert_int_eq(w.code, 0);
    ck_assert_msg(strstr(logged, "has not ended in 100 ms; its thread is being ended"), "%s", logged);   /* not 10 */
    ck_assert_ok(job_runtime_close(&quiet));
    ck_assert_int_eq(pthread_key_delete(slow_key), 0);
}
END_TEST

static void lets_it_go(struct job_timer *timer)
{
    ticks += w.messages;   /* it was asked to stop at the first one */
    if (ticks < 5) {
        ck_assert_ok(job_timer_start(timer, 1000000));
        return;
    }
    ck_assert_ok(job_region_store32(counter, 0, 1));
    job_timer_close(timer, NULL);
}

START_TEST(a_worker_with_all_the_time_there_is_to_stop_is_never_stuck)
{
    ticks = 0;
    ck_assert_ok(job_region_open(runtime, 64, &counter));
    ck_assert_ok(job_timer_open(loop, &ticking, lets_it_go));
    ck_assert_ok(job_timer_start(&ticking, 0));
    w.then = stop_it;
    open_worker(&w, blocks_until_told, &(struct job_worker_options){.stop_timeout_ns = UINT64_MAX});
    run_to_end(&w);
    ck_assert_uint_eq(w.stuck, 0);
    job_region_release(&counter);
}
END_TEST

static void ends_too_slowly(void)
{
    open_reading();
    w.then = NULL;
    struct job_worker_options options = {.stop_timeout_ns = 1};   /* over before its loop has begun to close */
    MUST(job_worker_open(loop, &w.worker, posts_two, &options, &events) == 0);
    MUST(job_loop_run(loop) == 0);
    MUST(w.messages == 2 && w.exits == 1 && w.left == 0 && w.closed == 1);
}

START_TEST(a_worker_whose_time_is_up_with_nothing_left_to_wait_for_is_closed)
{
    in_a_child(ends_too_slowly);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker left");
    TCase *tcase = tcase_create("worker stop");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, O04_a_worker_that_does_not_return_is_reported_stuck_with_its_function);
    tcase_add_test(tcase, what_has_not_ended_is_told_as_left_and_never_as_closed);
    tcase_add_test(tcase, what_has_not_ended_is_told_as_left_to_a_parent_that_closes_by_default);
    tcase_add_test(tcase, what_a_worker_of_a_worker_leaves_is_left_by_both);
    tcase_add_test(tcase, what_a_worker_of_a_worker_leaves_is_left_by_both_that_close_by_default);
    tcase_add_test(tcase, a_stuck_worker_is_told_once_and_holds_up_neither_run_nor_close);
    tcase_add_test(tcase, a_worker_that_has_ended_by_itself_and_hangs_in_its_close_is_told_as_stuck);
    tcase_add_test(tcase, a_thread_that_is_slow_to_end_is_told_as_stuck_and_does_not_hold_up_its_parents_loop);
    tcase_add_test(tcase, a_worker_with_all_the_time_there_is_to_stop_is_never_stuck);
    tcase_add_test(tcase, a_worker_whose_time_is_up_with_nothing_left_to_wait_for_is_closed);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
