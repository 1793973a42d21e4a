/* test_handle.c — the life that all handles share; calls on the wrong thread and in a forked child; a flood starves nobody. */
#include <signal.h>
#include <sys/wait.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static unsigned error_lines;
static char error_text[2048];

static void counts_errors(void *arg, enum job_log_level level, const char *text)
{
    (void)arg;
    error_lines += level == JOB_LOG_ERROR && strstr(text, "not on the thread") != NULL;
    (void)snprintf(error_text + strlen(error_text), sizeof error_text - strlen(error_text), "%s\n", text);
}

static void setup(void)
{
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = counts_errors}));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    error_lines = 0;
    error_text[0] = '\0';
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static struct job_stream stream;
static struct job_timer timer;
static int results[6];
static unsigned data_count, fired_count, call_count, closed_count;
static int peer;

static void on_data(struct job_stream *s, struct job_buf **in)
{
    (void)s;
    (void)in;
    data_count++;
}

static void on_end(struct job_stream *s, int status)
{
    (void)status;
    job_stream_close(s);
}

static void on_closed(struct job_stream *s)
{
    (void)s;
    closed_count++;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

static void on_fired(struct job_timer *t)
{
    (void)t;
    fired_count++;
}

static void open_both(void)
{
    int fds[2];
    fixture_pair(fds);
    peer = fds[0];
    data_count = fired_count = call_count = closed_count = 0;
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], &events));
    ck_assert_ok(job_timer_open(loop, &timer, on_fired));
}

static void *foreign(void *arg)
{
    struct job_buf **buf = arg;
    results[0] = job_stream_send(&stream, buf);
    results[1] = job_stream_shutdown(&stream);
    results[2] = job_timer_start(&timer, 0);
    job_stream_pause(&stream);
    job_stream_resume(&stream);
    job_stream_close(&stream);
    job_timer_stop(&timer);
    job_timer_close(&timer, NULL);
    job_handle_unref(&stream.handle);
    job_handle_ref(&stream.handle);
    return NULL;
}

START_TEST(calls_on_the_wrong_thread_are_refused_or_ignored_with_a_line_in_the_log)
{
    pthread_t thread;
    struct job_buf *buf = NULL;
    open_both();
    ck_assert_ok(job_timer_start(&timer, 3600000000000U));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    job_loop_stop(loop);
    ck_assert_int_eq(job_loop_run(loop), 1);   /* the loop belongs to this thread now */

    ck_assert_int_eq(pthread_create(&thread, NULL, foreign, &buf), 0);
    pthread_join(thread, NULL);

    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(results[i], -EPERM);
    ck_assert_ptr_nonnull(buf);
    ck_assert_uint_eq(error_lines, 7);
    ck_assert(!job_stream_is_paused(&stream) && !job_handle_is_closing(&stream.handle));
    ck_assert(job_timer_is_armed(&timer) && job_handle_has_ref(&stream.handle));
    job_buf_free(&buf);
    close(peer);
}
END_TEST

static struct job_listener listener;
static struct job_file file;
static struct job_process process;
static struct job_signal signals;
static struct job_watch watch;

static void timer_of_another(struct job_timer *of)
{
    (void)of;
    ck_abort_msg("the timer's `closed` is not the loop's");
}

static void listener_of_another(struct job_listener *of)
{
    (void)of;
    ck_abort_msg("the listener's `closed` is not the loop's");
}

static void file_of_another(struct job_file *of)
{
    (void)of;
    ck_abort_msg("the file's `closed` is not the loop's");
}

static void process_of_another(struct job_process *of)
{
    (void)of;
    ck_abort_msg("the process's `closed` is not the loop's");
}

static void signals_of_another(struct job_signal *of)
{
    (void)of;
    ck_abort_msg("the signals' `closed` is not the loop's");
}

static void watch_of_another(struct job_watch *of)
{
    (void)of;
    ck_abort_msg("the watch's `closed` is not the loop's");
}

static void *closes_all(void *arg)
{
    job_timer_close(&timer, timer_of_another);
    job_listener_close(&listener, listener_of_another);
    job_file_close(&file, file_of_another);
    job_process_close(&process, process_of_another);
    job_signal_close(&signals, signals_of_another);
    job_watch_close(&watch, watch_of_another);
    return arg;
}

static void not_accepted(struct job_listener *of, struct job_incoming *incoming)
{
    (void)of, (void)incoming;
}

static void caught(struct job_signal *of, int number)
{
    (void)of, (void)number;
}

static void changed(struct job_watch *of, struct job_watch_entry *entry, const struct job_watch_event *event)
{
    (void)of, (void)entry, (void)event;
}

static void started(struct job_process *of, int status)
{
    (void)of, (void)status;
}

START_TEST(a_close_on_the_wrong_thread_leaves_no_callback_behind)
{
    pthread_t thread;
    sigset_t set;
    int fds[2];
    static const int number = SIGUSR1;
    static char *const arguments[] = {"sleep", "100", NULL};
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_ok(job_timer_open(loop, &timer, on_fired));
    ck_assert_ok(job_listener_open(loop, &listener, &(struct job_listener_options){.address = "127.0.0.1"}, not_accepted));
    ck_assert_ok(job_file_adopt(loop, &file, fds[0]));
    ck_assert_ok(job_signal_open(loop, &signals, &number, 1, caught));
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    ck_assert_ok(job_process_open(loop, &process,
                                  &(struct job_process_options){.program = "sleep", .arguments = arguments}, started, NULL));
    job_loop_stop(loop);
    ck_assert_int_eq(job_loop_run(loop), 1);   /* the loop belongs to this thread now */

    ck_assert_int_eq(pthread_create(&thread, NULL, closes_all, NULL), 0);
    pthread_join(thread, NULL);

    static const char *const named[] = {"job_timer_close()", "job_listener_close()", "job_file_close()",
                                        "job_signal_close()", "job_watch_close()", "job_process_close()"};
    ck_assert_uint_eq(error_lines, 6);
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        ck_assert_msg(strstr(error_text, named[i]) != NULL, "%s is not named in: %s", named[i], error_text);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);   /* closes them all */
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));   /* for teardown */
    close(fds[1]);
}
END_TEST

static unsigned opened_anew;

static void opens_anew(struct job_timer *t)
{
    if (opened_anew++ == 0) {
        ck_assert_ok(job_timer_open(loop, t, on_fired));
        job_timer_close(t, opens_anew);
    }
}

START_TEST(what_is_open_or_closing_cannot_be_opened_anew_before_closed)
{
    struct job_timer copy;
    int fds[2];
    memset(&listener, 0xA5, sizeof listener);   /* it may hold anything before */
    open_both();
    fixture_pair(fds);
    ck_assert_ok(job_timer_start(&timer, 3600000000000U));
    ck_assert_ok(job_listener_open(loop, &listener, &(struct job_listener_options){.address = "127.0.0.1"}, not_accepted));
    uint16_t port = job_listener_port(&listener);
    memcpy(&copy, &timer, sizeof copy);         /* also what looks like a handle of this loop, and is none */

    ck_assert_int_eq(job_timer_open(loop, &timer, on_fired), -EBUSY);
    ck_assert_int_eq(job_stream_adopt(loop, &stream, fds[0], &events), -EBUSY);
    ck_assert_int_eq(job_listener_open(loop, &listener, NULL, not_accepted), -EBUSY);
    ck_assert(job_timer_is_armed(&timer) && job_listener_port(&listener) == port);   /* nothing has changed */
    ck_assert_int_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    ck_assert_ok(job_timer_open(loop, &copy, on_fired));
    job_timer_close(&copy, NULL);
    job_timer_close(&timer, opens_anew);
    ck_assert_int_eq(job_timer_open(loop, &timer, on_fired), -EBUSY);
    job_listener_close(&listener, NULL);
    job_stream_close(&stream);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(opened_anew, 2);
    close(fds[0]);
    close(fds[1]);
    close(peer);
}
END_TEST

static void *runs_once(void *arg)
{
    (void)arg;
    results[0] = job_loop_run(loop);
    return NULL;
}

static void *uses(void *arg)
{
    struct job_loop *same = loop;
    int number = 0;
    (void)arg;
    results[number++] = job_timer_start(&timer, 1);
    results[number++] = job_loop_run(loop);
    results[number++] = job_loop_close(&same, 0);
    return NULL;
}

/* Both run on the same stack, so what is local to a thread is at the same address as well. */
START_TEST(the_next_thread_at_the_address_of_one_that_has_ended_is_another_thread)
{
    enum { STACK_BYTES = 1 << 20 };
    static char stack[STACK_BYTES] __attribute__((aligned(4096)));
    pthread_attr_t attributes;
    pthread_t first, second;
    ck_assert_int_eq(pthread_attr_init(&attributes), 0);
    ck_assert_int_eq(pthread_attr_setstack(&attributes, stack, sizeof stack), 0);
    ck_assert_ok(job_timer_open(loop, &timer, on_fired));
    job_loop_stop(loop);
    ck_assert_int_eq(pthread_create(&first, &attributes, runs_once, NULL), 0);
    pthread_join(first, NULL);
    ck_assert_int_eq(results[0], 1);

    ck_assert_int_eq(pthread_create(&second, &attributes, uses, NULL), 0);
    pthread_join(second, NULL);

    ck_assert_msg(pthread_equal(first, second), "this proves nothing: it is at another address");
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(results[i], -EPERM);
    pthread_attr_destroy(&attributes);   /* nobody can close the loop any more; so there is no teardown */
}
END_TEST

static void counts_call(struct job_call *call)
{
    (void)call;
    call_count++;
}

START_TEST(every_call_with_a_loop_is_refused_in_a_forked_child)
{
    struct job_call call = {.run = counts_call};
    struct job_buf *buf = NULL;
    open_both();
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    pid_t child = fork();
    if (child == 0) {
        struct job_loop *same = loop, *other = NULL;
        struct job_timer fresh = {0};
        struct job_listener unopened = {0};
        int fds[2];
        fixture_pair(fds);
        job_loop_stop(loop);
        bool is_right = job_loop_run(loop) == -EPERM && job_loop_close(&same, 0) == -EPERM && same == loop;
        is_right = is_right && job_loop_open(runtime, &other, NULL) == -EPERM && !other;
        is_right = is_right && job_loop_call(loop, &call) == -EPERM && job_loop_defer(loop, &call) == -EPERM;
        is_right = is_right && job_timer_open(loop, &fresh, on_fired) == -EPERM && job_timer_start(&timer, 0) == -EPERM;
        is_right = is_right && job_listener_open(loop, &unopened, NULL, not_accepted) == -EPERM;
        is_right = is_right && job_stream_adopt(loop, &stream, fds[0], &events) == -EPERM;
        is_right = is_right && job_stream_send(&stream, &buf) == -EPERM && job_stream_shutdown(&stream) == -EPERM;
        is_right = is_right && job_stream_write(&stream, "x", 1) == -EPERM;
        job_stream_close(&stream);
        _exit(is_right && !job_handle_is_closing(&stream.handle) ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    job_buf_free(&buf);

    ck_assert_ok(job_loop_call(loop, &call));   /* the parent's works as before */
    close(peer);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(call_count, 1);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

START_TEST(accessors_of_nothing_say_nothing)
{
    ck_assert_ptr_null(job_handle_loop(NULL));
    ck_assert(!job_handle_is_closing(NULL));
    ck_assert(!job_handle_has_ref(NULL));
    job_handle_ref(NULL);
    job_handle_unref(NULL);
    job_stream_pause(NULL);
    job_stream_resume(NULL);
    ck_assert(!job_stream_is_paused(NULL));
    ck_assert_uint_eq(job_stream_queued(NULL) + job_stream_received(NULL) + job_stream_sent(NULL), 0);
    ck_assert_uint_eq(job_loop_now(NULL), 0);
    job_loop_stop(NULL);
    job_loop_stats(NULL, NULL);
}
END_TEST

static bool is_flooding;

static void floods(struct job_call *call)
{
    if (is_flooding)
        ck_assert_ok(job_loop_call(loop, call));
}

static void ends_flood(struct job_timer *t)
{
    is_flooding = false;
    job_timer_close(t, NULL);
}

static void zero_again(struct job_timer *t)
{
    if (is_flooding)
        ck_assert_ok(job_timer_start(t, 0));
    else
        job_timer_close(t, NULL);
}

/* Calls that post themselves, deferred ones likewise, and a timer of zero that arms itself: data arrive and another timer fires. */
START_TEST(a_flood_of_calls_and_timers_starves_neither_streams_nor_other_timers)
{
    static struct job_call calls[2000];
    struct job_timer zero = {0}, end = {0};
    open_both();
    is_flooding = true;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        calls[i] = (struct job_call){.run = floods};
        ck_assert_ok(job_loop_call(loop, &calls[i]));
    }
    ck_assert_ok(job_timer_open(loop, &zero, zero_again));
    ck_assert_ok(job_timer_start(&zero, 0));
    ck_assert_ok(job_timer_open(loop, &end, ends_flood));
    ck_assert_ok(job_timer_start(&end, 20000000));
    fixture_write(peer, "x", 1);
    close(peer);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(data_count, 1);
    ck_assert_uint_eq(closed_count, 1);
}
END_TEST

START_TEST(a_hundred_thousand_timers_that_are_due_at_once_leave_turns_for_others)
{
    enum { MANY = 100000 };
    struct job_timer *timers = calloc(MANY, sizeof *timers);
    struct job_loop_stats stats;
    fired_count = 0;
    for (int i = 0; i < MANY; i++) {
        ck_assert(job_timer_open(loop, &timers[i], on_fired) == 0);
        ck_assert(job_timer_start(&timers[i], 0) == 0);
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    job_loop_stats(loop, &stats);
    ck_assert_uint_eq(fired_count, MANY);
    ck_assert_uint_eq(stats.timers, MANY);
    ck_assert_uint_ge(stats.turns, MANY / 1024);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    free(timers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handle");
    TCase *tcase = tcase_create("handle");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, calls_on_the_wrong_thread_are_refused_or_ignored_with_a_line_in_the_log);
    tcase_add_test(tcase, a_close_on_the_wrong_thread_leaves_no_callback_behind);
    tcase_add_test(tcase, what_is_open_or_closing_cannot_be_opened_anew_before_closed);
    tcase_add_test(tcase, every_call_with_a_loop_is_refused_in_a_forked_child);
    tcase_add_test(tcase, accessors_of_nothing_say_nothing);
    tcase_add_test(tcase, a_flood_of_calls_and_timers_starves_neither_streams_nor_other_timers);
    tcase_add_test(tcase, a_hundred_thousand_timers_that_are_due_at_once_leave_turns_for_others);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("a loop whose thread has ended");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, the_next_thread_at_the_address_of_one_that_has_ended_is_another_thread);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
