/* test_process_end.c — child processes: how they end, alone and in groups, and that no other child is touched. */
#include "base/root.h"
#include "stats/stats.h"
#include "unit/io/processes.h"

static struct job_stream input;
static struct job_timer ticks;
static unsigned ticks_left;

START_TEST(C04_an_exit_code_is_told_once)
{
    run_shell("exit 7");
    ck_assert_int_eq(last.status, 0);
    ck_assert_int_eq(last.code, 7);
    ck_assert_int_eq(last.signal, 0);
    ck_assert_uint_gt(last.memory_max_bytes, 4096);
}
END_TEST
static uint64_t turns_before;

static uint64_t turns(void)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    return stats.turns;
}

/* It is dead meanwhile, and nothing is told. */
static void count_turns(struct job_timer *timer)
{
    ck_assert_uint_eq(exits + closes, 0);
    if (--ticks_left > 0)
        return;
    ck_assert_uint_lt(turns() - turns_before, 2000);
    stop_tracing();
    job_timer_close(timer, NULL);
}

static void is_killed_under_a_tracer(struct job_process *of, int status)
{
    ck_assert_ok(status);
    starts++;
    bool is_traced = trace(job_process_pid(of));
    if (closes_at_exit)
        ck_assert_ok(job_process_kill(of, SIGKILL));
    else
        job_process_close(of, closed);
    if (!is_traced) {
        fprintf(stderr, "not tested: this system forbids ptrace(2)\n");
        stop_tracing();
        return;
    }
    ticks_left = 10;
    turns_before = turns();
    ck_assert_ok(job_timer_open(loop, &ticks, count_turns));
    ck_assert_ok(job_timer_start_repeating(&ticks, 20000000, 20000000));
}

START_TEST(a_dead_child_that_somebody_traces_is_told_when_it_can_be_waited_for_and_costs_nothing_before)
{
    static char *const arguments[] = {"sleep", "100", NULL};
    for (int by_close = 0; by_close < 2; by_close++) {
        struct job_process_options options = {.program = "sleep", .arguments = arguments};
        memset(&process, 0, sizeof process);
        starts = exits = closes = 0;
        closes_at_exit = !by_close;
        ck_assert_ok(job_process_open(loop, &process, &options, is_killed_under_a_tracer, exited));
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_uint_eq(exits, !by_close);
        ck_assert_uint_eq(closes, 1);
        if (!by_close)
            ck_assert_int_eq(last.signal, SIGKILL);
    }
}
END_TEST

START_TEST(C04_a_signal_that_killed_it_is_told)
{
    run_shell("kill -TERM $$");
    ck_assert_int_eq(last.code, -1);
    ck_assert_int_eq(last.signal, SIGTERM);
}
END_TEST

static int kill_with;

static void started_and_killed(struct job_process *of, int status)
{
    started(of, status);
    ck_assert_ok(job_process_kill(of, 0));
    ck_assert_int_eq(job_process_kill(of, -1), -EINVAL);
    ck_assert_int_eq(job_process_kill(of, 65), -EINVAL);
    ck_assert_int_eq(job_process_kill_group(of, 0), -EINVAL);   /* it leads none */
    ck_assert_ok(job_process_kill(of, SIGSTOP));                /* one that is stopped has not ended */
    ck_assert_ok(job_process_kill(of, kill_with));
    if (kill_with != SIGKILL)
        ck_assert_ok(job_process_kill(of, SIGCONT));
}

START_TEST(C36_a_signal_reaches_it_also_when_it_is_stopped)
{
    static const int numbers[] = {SIGKILL, SIGTERM};
    const char *const arguments[] = {"sleep", "1000", NULL};
    struct job_process_options options = {.program = "sleep", .arguments = (char *const *)(uintptr_t)arguments};
    kill_with = numbers[_i];
    ck_assert_ok(job_process_open(loop, &process, &options, started_and_killed, exited));
    ck_assert_int_eq(job_process_kill(&process, SIGKILL), -ESRCH);   /* not started yet */
    ck_assert_int_eq(job_process_pid(&process), 0);
    run();
    ck_assert_uint_eq(exits, 1);
    ck_assert_int_eq(last.signal, kill_with);
}
END_TEST

static void kills_group(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
    ck_assert_ok(job_process_kill_group(&process, SIGTERM));
}

/* Both ways: that of newer kernels, and kill(2). */
START_TEST(a_group_is_killed_with_all_that_it_has_started)
{
    static const struct job_stream_events kill_events = {.data = kills_group, .end = on_end, .closed = on_closed};
    const char *const arguments[] = {"sh", "-c", "sleep 1000 & sleep 1000 & echo; wait", NULL};
    struct job_process_options options = shell(arguments);
    options.stdio[1].events = &kill_events;
    options.group = true;
    begin(&options);
    run();   /* ends: the stream has its end only when none of them has it any more */
    ck_assert_int_eq(last.signal, SIGTERM);
}
END_TEST

static int left_err;
static int left_pid;

/* By its number, where the group cannot be reached: both are known, in either order. */
static void kill_by_number(void)
{
    if (left_err == -ESRCH && left_pid > 0)
        ck_assert_int_eq(kill(left_pid, SIGKILL), 0);
}

static void reads_a_number(struct job_stream *stream, struct job_buf **in)
{
    on_data(stream, in);
    left_pid = atoi(text);
    kill_by_number();
}

static void exited_before_its_group(struct job_process *of, const struct job_process_exit *exit)
{
    exited(of, exit);
    ck_assert_int_eq(job_process_kill(of, 0), -ESRCH);
    left_err = job_process_kill_group(of, SIGKILL);
    kill_by_number();
}

/* Needs signals by pidfd to a group, of kernel 6.9. */
static void check_what_is_left(int expected)
{
    static const struct job_stream_events left_events = {.data = reads_a_number, .end = on_end, .closed = on_closed};
    const char *const arguments[] = {"sh", "-c", "sleep 1000 & echo $!", NULL};
    struct job_process_options options = shell(arguments);
    options.stdio[1].events = &left_events;
    options.group = true;
    closes_at_exit = false;
    left_err = left_pid = 0;
    streams_open = 1;
    ck_assert_ok(job_process_open(loop, &process, &options, started, exited_before_its_group));
    run();   /* ends: the sleeper has had the stream to the last */
    ck_assert_int_eq(left_err, expected);
    ck_assert_uint_eq(exits, 1);
    ck_assert_int_eq(last.code, 0);
    job_process_close(&process, closed);
    run();
    ck_assert_uint_eq(closes, 1);
}

static bool has_pidfd_groups(void)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    long result = syscall(SYS_pidfd_send_signal, fd, 0, NULL, 1U << 2);
    close(fd);
    return result == 0 || errno != EINVAL;
}

START_TEST(what_a_leader_of_a_group_has_left_behind_can_be_killed)
{
    const char *disabled = getenv("JOB_DISABLE");
    bool is_off = disabled && strstr(disabled, "pidfd_group");
    check_what_is_left(has_pidfd_groups() && !is_off ? 0 : -ESRCH);
}
END_TEST

START_TEST(jobctl_is_told_of_signals_to_groups_by_the_first_process)
{
    const struct root *root = (const struct root *)runtime;   /* its first member */
    const struct stats_header *header = root->stats->header;
    uint32_t bit = 1U << FEATURE_PIDFD_GROUP;
    ck_assert_uint_eq(load_relaxed(&header->features_available) & bit, 0);

    run_shell("exit 0");

    ck_assert_uint_eq(load_relaxed(&header->features_available) & bit, bit);
}
END_TEST

static void setup_without(void)
{
    setenv("JOB_DISABLE", "pidfd_group", 1);
    setup();
}

static void started_and_closed(struct job_process *of, int status)
{
    started(of, status);
    job_process_close(of, closed);
    job_process_close(of, NULL);
    ck_assert_uint_eq(closes, 0);
}

START_TEST(closing_kills_what_runs_with_its_group)
{
    const char *const arguments[] = {"sh", "-c", "trap '' TERM; sleep 1000 & wait", NULL};
    struct job_process_options options = shell(arguments);
    options.group = true;
    streams_open = 1;
    ck_assert_ok(job_process_open(loop, &process, &options, started_and_closed, never_exited));
    run();
    ck_assert_uint_eq(closes, 1);
}
END_TEST

static void write_more(struct job_stream *stream)
{
    static char block[65536];
    while (!job_stream_is_full(stream) && job_stream_write(stream, block, sizeof block) == 0) {
    }
}

START_TEST(one_that_closes_its_input_early_breaks_the_stream_and_not_us)
{
    static const struct job_stream_events writer = {
        .data = on_data, .end = on_end, .closed = on_closed, .writable = write_more};
    const char *const arguments[] = {"sh", "-c", "read x; exec <&-; exit 3", NULL};
    struct job_process_options options = shell(arguments);
    options.stdio[0] = (struct job_process_stdio){.how = JOB_STDIO_STREAM, .stream = &input, .events = &writer};
    begin(&options);
    ck_assert_ok(job_stream_write(&input, "\n", 1));
    write_more(&input);
    run();
    ck_assert_int_eq(last.code, 3);
}
END_TEST

START_TEST(one_that_closes_its_output_early_is_told_its_end_later)
{
    run_shell("echo last; exec >&- 2>&-; exit 4");
    ck_assert_str_eq(text, "last\n");
    ck_assert_int_eq(last.code, 4);
}
END_TEST

START_TEST(children_of_others_are_left_alone)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(9);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    run_shell("exit 2");
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 9);
    ck_assert_int_eq(last.code, 2);
}
END_TEST

START_TEST(an_exit_that_somebody_else_has_taken_is_told_as_unknown)
{
    signal(SIGCHLD, SIG_IGN);   /* the kernel waits for all */
    run_shell("exit 2");
    signal(SIGCHLD, SIG_DFL);
    ck_assert_int_eq(last.status, -ECHILD);
    ck_assert_int_eq(last.code, -1);
    ck_assert_int_eq(last.signal, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process end");
    TCase *ends = add_case(suite, "how it ends");
    tcase_add_test(ends, C04_an_exit_code_is_told_once);
    tcase_add_test(ends, C04_a_signal_that_killed_it_is_told);
    tcase_add_test(ends, a_dead_child_that_somebody_traces_is_told_when_it_can_be_waited_for_and_costs_nothing_before);
    tcase_add_loop_test(ends, C36_a_signal_reaches_it_also_when_it_is_stopped, 0, 2);
    tcase_add_test(ends, a_group_is_killed_with_all_that_it_has_started);
    tcase_add_test(ends, what_a_leader_of_a_group_has_left_behind_can_be_killed);
    tcase_add_test(ends, jobctl_is_told_of_signals_to_groups_by_the_first_process);
    tcase_add_test(ends, one_that_closes_its_input_early_breaks_the_stream_and_not_us);
    tcase_add_test(ends, one_that_closes_its_output_early_is_told_its_end_later);
    tcase_add_test(ends, children_of_others_are_left_alone);
    tcase_add_test(ends, an_exit_that_somebody_else_has_taken_is_told_as_unknown);

    TCase *closing = add_case(suite, "close");
    tcase_add_test(closing, closing_kills_what_runs_with_its_group);

    TCase *without = tcase_create("without pidfd_group");
    tcase_add_checked_fixture(without, setup_without, teardown);
    tcase_set_timeout(without, 30);
    tcase_add_test(without, a_group_is_killed_with_all_that_it_has_started);
    tcase_add_test(without, what_a_leader_of_a_group_has_left_behind_can_be_killed);
    tcase_add_test(without, closing_kills_what_runs_with_its_group);
    suite_add_tcase(suite, without);
    return fixture_run(suite);
}
