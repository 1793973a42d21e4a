/* test_drain.c — job_loop_close(): each handle is told, and what cannot be drained is named. */
#include <signal.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/limits.h"
#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer timer;
static struct job_listener listener;
static struct job_signal watcher;
static struct job_stream stream;
static unsigned told, hung_count;
static struct job_hung hung[64];

static void was_closed(struct job_handle *handle)
{
    ck_assert(job_handle_is_closing(handle));
    told++;
    memset(handle, 0xEE, sizeof *handle);   /* ours again */
}

static void timer_closed(struct job_timer *t)
{
    (void)t;
    told += 100;
}

static void fired(struct job_timer *t)
{
    (void)t;
}

static void accepted(struct job_listener *l, struct job_incoming *incoming)
{
    (void)l, (void)incoming;
}

static void caught(struct job_signal *s, int number)
{
    (void)s, (void)number;
}

static void on_data(struct job_stream *s, struct job_buf **in)
{
    (void)s, (void)in;
}

static const struct job_stream_events events = {.data = on_data};

static void is_hung(void *arg, const struct job_hung *what)
{
    ck_assert_ptr_eq(arg, hung);
    hung[hung_count++] = *what;
}

static char lines[8192];

static void keep_line(void *arg, enum job_log_level level, const char *text)
{
    size_t len = strlen(lines);
    (void)arg, (void)level;
    snprintf(lines + len, sizeof lines - len, "%s\n", text);
}

/* What the log says behind `before` is `after`. */
static bool log_says(const char *before, const char *after)
{
    for (const char *at = lines; (at = strstr(at, before)); at++) {
        const char *end = strchr(at, '\n'), *found = strstr(at, after);
        if (found && found < end)
            return true;
    }
    return false;
}

static void open_all(void)
{
    int fds[2];
    struct job_loop_options options = {.hung = is_hung, .hung_arg = hung};
    told = hung_count = 0;
    lines[0] = '\0';
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = keep_line}));
    ck_assert_ok(job_loop_open(runtime, &loop, &options));
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    ck_assert_ok(job_listener_open(loop, &listener, NULL, accepted));
    ck_assert_ok(job_signal_open(loop, &watcher, (int[]){SIGUSR1}, 1, caught));
    fixture_pair(fds);
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], &events));
    job_handle_on_closed(&timer.handle, was_closed);
    job_handle_on_closed(&listener.handle, was_closed);
    job_handle_on_closed(&watcher.handle, was_closed);
    job_handle_on_closed(&stream.handle, was_closed);
    job_handle_on_closed(NULL, was_closed);
}

START_TEST(a_loop_that_closes_tells_every_kind_of_handle)
{
    open_all();

    ck_assert_int_eq(job_loop_close(&loop, 0), 0);

    ck_assert_uint_eq(told, 4);
    ck_assert_uint_eq(hung_count, 0);
    fixture_close(runtime);
}
END_TEST

START_TEST(a_close_that_names_a_function_calls_that_one_alone)
{
    open_all();
    job_timer_close(&timer, timer_closed);
    job_handle_on_closed(&timer.handle, was_closed);   /* too late */

    ck_assert_int_eq(job_loop_close(&loop, 0), 0);

    ck_assert_uint_eq(told, 103);
    fixture_close(runtime);
}
END_TEST

static bool has(const char *what, bool is_handle, int fd, void *handle)
{
    for (unsigned i = 0; i < hung_count; i++) {
        if (strcmp(hung[i].what, what) != 0 || (hung[i].handle != NULL) != is_handle)
            continue;
        ck_assert_uint_gt(hung[i].since_ns, 0);
        return hung[i].fd == fd && hung[i].handle == handle;
    }
    return false;
}

/* The deadline has passed before the first turn: nothing that is in flight can be given back. */
START_TEST(what_is_left_at_the_deadline_is_named_with_operation_descriptor_and_handle)
{
    open_all();

    ck_assert_int_eq(job_loop_close(&loop, 1), -ETIMEDOUT);

    ck_assert_ptr_null(loop);
    ck_assert(has("stream", true, -1, &stream));
    ck_assert(has("listener", true, -1, &listener));
    ck_assert(has("receive", false, stream.job_fd, NULL));
    ck_assert(has("accept", false, listener.job_fd, NULL));
    ck_assert(has("read", false, watcher.job_fd, NULL));
    ck_assert(log_says("loop loop: a stream cannot be closed, for ", ": 0 tasks and "));
    char text[64];
    snprintf(text, sizeof text, "receive on descriptor %d, started ", stream.job_fd);
    ck_assert(log_says("the kernel has not given back: ", text));
    ck_assert_uint_eq(told, 0);   /* and what is leaked is never told */
}
END_TEST

static atomic_u32 has_begun, may_end;
static struct job_task tasks[HUNG_TASKS_MAX + 4];

static void waits_for_us(struct job_task *task)
{
    (void)task;
    store_release(&has_begun, 1);           /* pairs with load_acquire in each_task_is_named_with_its_function_its_pool_and_what_it_does */
    while (!load_acquire(&may_end)) {       /* pairs with store_release in each_task_is_named_with_its_function_its_pool_and_what_it_does */
    }
}

START_TEST(each_task_is_named_with_its_function_its_pool_and_what_it_does)
{
    struct job_pool *pool = NULL;
    struct job_timer *of = &timer;
    open_all();
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){
        .workers = 1, .name = "slow", .queue_limit = 64}));
    for (unsigned i = 0; i < ARRAY_COUNT(tasks); i++) {
        ck_assert_ok(job_task_init(&tasks[i], pool, waits_for_us, NULL));
        ck_assert_ok(job_submit(pool, &tasks[i], &of->handle));
    }
    while (!load_acquire(&has_begun)) {     /* pairs with store_release in waits_for_us */
    }

    ck_assert_int_eq(job_loop_close(&loop, 1), -ETIMEDOUT);

    unsigned named = 0;
    bool has_its_handle = false;
    for (unsigned i = 0; i < hung_count; i++) {
        bool is_task = strcmp(hung[i].what, "task") == 0;
        ck_assert_int_eq(is_task, hung[i].task != NULL);
        has_its_handle |= !is_task && hung[i].handle == &of->handle && hung[i].tasks == ARRAY_COUNT(tasks);
        if (!is_task)
            continue;
        ck_assert(has_its_handle);          /* it came before them */
        ck_assert_ptr_eq(hung[i].task, &tasks[named++]);
        ck_assert_ptr_eq(hung[i].handle, &of->handle);
        ck_assert_int_eq(hung[i].fd, -1);
        ck_assert_uint_gt(hung[i].since_ns, 0);
    }
    ck_assert_uint_eq(named, HUNG_TASKS_MAX);   /* there are more, and they are counted */
    ck_assert(log_says("a task of a timer has not ended: unit_io_drain+0x", "it runs on pool slow, submitted "));
    ck_assert(log_says("a task of a timer has not ended: unit_io_drain+0x", "it waits in pool slow, submitted "));
    store_release(&may_end, 1);             /* pairs with load_acquire in waits_for_us */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("drain");
    TCase *tcase = tcase_create("drain");
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, a_loop_that_closes_tells_every_kind_of_handle);
    tcase_add_test(tcase, a_close_that_names_a_function_calls_that_one_alone);
    tcase_add_test(tcase, each_task_is_named_with_its_function_its_pool_and_what_it_does);
    tcase_add_test(tcase, what_is_left_at_the_deadline_is_named_with_operation_descriptor_and_handle);
    suite_add_tcase(suite, tcase);
    if (job_signals_block((int[]){SIGUSR1}, 1) < 0)
        return EXIT_FAILURE;
    return fixture_run(suite);
}
