/* test_drain.c — job_loop_close(): each handle is told, and what cannot be drained is named. */
#include <signal.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer timer;
static struct job_listener listener;
static struct job_signal watcher;
static struct job_stream stream;
static unsigned told, hung_count;
static struct job_hung hung[8];

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

static void swallow(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)level, (void)text;
}

static void open_all(void)
{
    int fds[2];
    struct job_loop_options options = {.hung = is_hung, .hung_arg = hung};
    told = hung_count = 0;
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = swallow}));
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
    ck_assert_uint_eq(told, 0);   /* and what is leaked is never told */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("drain");
    TCase *tcase = tcase_create("drain");
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, a_loop_that_closes_tells_every_kind_of_handle);
    tcase_add_test(tcase, a_close_that_names_a_function_calls_that_one_alone);
    tcase_add_test(tcase, what_is_left_at_the_deadline_is_named_with_operation_descriptor_and_handle);
    suite_add_tcase(suite, tcase);
    if (job_signals_block((int[]){SIGUSR1}, 1) < 0)
        return EXIT_FAILURE;
    return fixture_run(suite);
}
