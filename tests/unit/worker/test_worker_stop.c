/* test_worker_stop.c — stopping: from anywhere, nested, against what does not return; what is left then, and said of it. */
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "workers.h"

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

/* A worker with a worker that counts in a region. */
static struct job_region *counter;
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

static void blocks_until_told(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    uint32_t value = 0;
    post_value(inside, 1);
    while (value == 0) {   /* a callback that does not return */
        ck_assert_ok(job_region_load32(counter, 0, &value));
        sched_yield();
    }
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

/* What hangs leaves a runtime that cannot be closed, so these run in a child, which says by its exit code what it saw: 0, or the number of
 * the line that was not true. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static void in_a_child(void (*body)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        alarm(20);
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

static void never(struct job_timer *timer)
{
    (void)timer;
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

static void leaves_a_call_behind(void)
{
    open_reading();
    struct job_worker_options options = {.stop_timeout_ns = 20000000, .memory_limit_bytes = 16 << 20};
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

START_TEST(what_has_not_ended_is_told_as_left_and_never_as_closed)
{
    in_a_child(leaves_a_call_behind);
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
    ck_assert_int_eq(pthread_key_delete(slow_key), 0);
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

START_TEST(a_worker_whose_time_is_up_with_nothing_left_to_wait_for_is_closed)
{
    in_a_child(ends_too_slowly);
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

int main(void)
{
    Suite *suite = suite_create("worker stop");
    TCase *tcase = tcase_create("worker stop");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, W11_two_who_stop_it_at_once_end_it_once);
    tcase_add_test(tcase, W13_stopping_a_worker_stops_its_workers_first);
    tcase_add_test(tcase, P25_a_full_queue_does_not_hold_up_a_stop);
    tcase_add_test(tcase, O04_a_worker_that_does_not_return_is_reported_stuck_with_its_function);
    tcase_add_test(tcase, what_has_not_ended_is_told_as_left_and_never_as_closed);
    tcase_add_test(tcase, what_has_not_ended_is_told_as_left_to_a_parent_that_closes_by_default);
    tcase_add_test(tcase, what_a_worker_of_a_worker_leaves_is_left_by_both);
    tcase_add_test(tcase, a_stuck_worker_is_told_once_and_holds_up_neither_run_nor_close);
    tcase_add_test(tcase, a_worker_that_has_ended_by_itself_and_hangs_in_its_close_is_told_as_stuck);
    tcase_add_test(tcase, a_thread_that_is_slow_to_end_is_told_as_stuck_and_does_not_hold_up_its_parents_loop);
    tcase_add_test(tcase, S13_a_task_that_waits_for_a_cell_does_not_hold_up_the_stop_of_its_worker);
    tcase_add_test(tcase, a_worker_with_all_the_time_there_is_to_stop_is_never_stuck);
    tcase_add_test(tcase, a_callback_that_goes_on_for_long_can_see_that_its_worker_shall_end);
    tcase_add_test(tcase, a_worker_whose_time_is_up_with_nothing_left_to_wait_for_is_closed);
    tcase_add_test(tcase, who_fails_while_its_loop_closes_is_told_by_its_code);
    tcase_add_test(tcase, a_worker_that_is_closed_can_be_called_though_its_parents_loop_is_gone);
    tcase_add_test(tcase, without_a_closed_event_a_worker_tells_who_was_named_for_its_handle_and_in_exit_it_has_ended);
    tcase_add_test(tcase, a_code_that_is_said_behind_a_stop_or_a_failure_is_not_heard);
    tcase_add_test(tcase, closing_the_parents_loop_stops_its_workers);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
