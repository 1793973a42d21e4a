/* test_process_close.c — child processes at the close of their handle, loop and runtime. */
#include "unit/io/processes.h"

static struct job_timer ticks;
static unsigned ticks_left;

/* It is dead, and looked at now and then: the loop has turned since. */
static void lets_it_go(struct job_timer *timer)
{
    ck_assert_uint_eq(exits + closes, 0);
    if (--ticks_left > 0)
        return;
    job_process_close(&process, closed);
    job_timer_close(timer, NULL);
}

static void ends_under_a_tracer(struct job_process *of, int status)
{
    ck_assert_ok(status);
    starts++;
    if (trace(job_process_pid(of))) {
        ticks_left = 10;
        ck_assert_ok(job_timer_open(loop, &ticks, lets_it_go));
        ck_assert_ok(job_timer_start_repeating(&ticks, 20000000, 20000000));
    } else {
        fprintf(stderr, "not tested: this system forbids ptrace(2)\n");
    }
    ck_assert_ok(job_process_kill(of, SIGKILL));
}

START_TEST(a_dead_child_that_somebody_traces_is_let_go_at_once)
{
    static char *const arguments[] = {"sleep", "100", NULL};
    struct job_process_options options = {.program = "sleep", .arguments = arguments, .outlives = true};

    ck_assert_ok(job_process_open(loop, &process, &options, ends_under_a_tracer, exited));
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(closes, 1);
    stop_tracing();   /* it can be waited for now: when the runtime closes */
}
END_TEST

static void never_started(struct job_process *of, int status)
{
    (void)of, (void)status;
    ck_abort_msg("told after its close");
}

START_TEST(one_that_is_closed_before_it_has_started_leaves_nothing)
{
    const char *const arguments[] = {"sleep", "1000", NULL};
    struct job_process_options options = shell(arguments);
    options.program = "sleep";
    streams_open = 1;
    ck_assert_ok(job_process_open(loop, &process, &options, never_started, never_exited));
    job_process_close(&process, closed);
    run();
    ck_assert_uint_eq(closes, 1);
}
END_TEST

static int outliving;

static void started_and_let_go(struct job_process *of, int status)
{
    started(of, status);
    outliving = job_process_pid(of);
    job_process_close(of, closed);
}

static bool is_our_child(int pid)
{
    siginfo_t info;
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

static void outlive(void)
{
    const char *const arguments[] = {"sleep", "1000", NULL};
    struct job_process_options options = {
        .program = "sleep", .arguments = (char *const *)(uintptr_t)arguments, .outlives = true};
    ck_assert_ok(job_process_open(loop, &process, &options, started_and_let_go, never_exited));
    run();
    ck_assert_uint_eq(closes, 1);
    ck_assert(is_our_child(outliving));
    ck_assert_int_eq(kill(outliving, 0), 0);
}

/* Kills it, and waits until it is a zombie. */
static void end_outliving(void)
{
    siginfo_t info;
    ck_assert_int_eq(kill(outliving, SIGKILL), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)outliving, &info, WEXITED | WNOWAIT), 0);
}

START_TEST(one_that_outlives_its_handle_is_waited_for_at_the_next_start)
{
    outlive();
    end_outliving();
    starts = closes = 0;
    run_shell("exit 0");
    ck_assert(!is_our_child(outliving));
}
END_TEST

START_TEST(one_that_outlives_its_handle_is_waited_for_when_the_runtime_closes)
{
    outlive();
    end_outliving();   /* and see teardown() */
}
END_TEST

START_TEST(one_that_outlives_the_runtime_runs_on)
{
    outlive();
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
    ck_assert_int_eq(kill(outliving, SIGKILL), 0);
    ck_assert_int_eq(waitpid(outliving, NULL, 0), outliving);
    runtime = fixture_runtime();   /* for teardown() */
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}
END_TEST

static void started_and_stopped(struct job_process *of, int status)
{
    started(of, status);
    job_loop_stop(loop);
}

START_TEST(a_child_that_never_ends_does_not_hold_up_the_end_of_its_loop)
{
    const char *const arguments[] = {"sh", "-c", "trap '' TERM HUP INT; kill -STOP $$", NULL};
    struct job_process_options options = shell(arguments);
    streams_open = 1;
    ck_assert_ok(job_process_open(loop, &process, &options, started_and_stopped, never_exited));
    ck_assert_int_eq(job_loop_run(loop), 1);   /* and see teardown() */
}
END_TEST

START_TEST(a_handle_that_has_told_its_end_does_not_keep_the_loop)
{
    closes_at_exit = false;
    const char *const arguments[] = {"sh", "-c", "exit 0", NULL};
    struct job_process_options options = shell(arguments);
    begin(&options);
    run();
    ck_assert_uint_eq(exits, 1);
    job_process_close(&process, closed);
    run();
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(an_unref_of_a_closing_handle_is_not_heard_and_closed_is_told)
{
    static char *const arguments[] = {"sleep", "1000", NULL};
    struct job_process_options options = {.program = "sleep", .arguments = arguments};
    ck_assert_ok(job_process_open(loop, &process, &options, started_and_stopped, never_exited));
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert(job_handle_has_ref(&process.handle));

    job_process_close(&process, closed);   /* its child is killed, and waited for */
    ck_assert(!job_handle_has_ref(&process.handle));
    job_handle_unref(&process.handle);

    run();
    ck_assert_uint_eq(closes, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process close");
    TCase *ends = add_case(suite, "how it ends");
    tcase_add_test(ends, a_dead_child_that_somebody_traces_is_let_go_at_once);

    TCase *closing = add_case(suite, "close");
    tcase_add_test(closing, one_that_is_closed_before_it_has_started_leaves_nothing);
    tcase_add_test(closing, one_that_outlives_its_handle_is_waited_for_at_the_next_start);
    tcase_add_test(closing, one_that_outlives_its_handle_is_waited_for_when_the_runtime_closes);
    tcase_add_test(closing, one_that_outlives_the_runtime_runs_on);
    tcase_add_test(closing, a_child_that_never_ends_does_not_hold_up_the_end_of_its_loop);
    tcase_add_test(closing, a_handle_that_has_told_its_end_does_not_keep_the_loop);
    tcase_add_test(closing, an_unref_of_a_closing_handle_is_not_heard_and_closed_is_told);

    return fixture_run(suite);
}
