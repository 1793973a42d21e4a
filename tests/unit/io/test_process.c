/* test_process.c — child processes: what they get, how they end, what happens to them at close, and that no other child is touched. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "support/fixture.h"

enum { TEXT_MAX = 4096, PAYLOAD = 1 << 20 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_process process;
static struct job_stream input, output;
static struct job_process_exit last;
static int status_seen;
static unsigned starts, exits, closes, streams_open;
static char text[TEXT_MAX];
static size_t text_len;
static uint64_t received;
static int descriptors_before;
static bool closes_at_exit;

static void setup(void)
{
    descriptors_before = fixture_descriptors();
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    memset(&process, 0, sizeof process);
    memset(text, 0, sizeof text);
    text_len = 0;
    received = 0;
    status_seen = 1;
    starts = exits = closes = streams_open = 0;
    closes_at_exit = true;
}

/* Nobody is left: not a child, not a descriptor. */
static void teardown(void)
{
    struct job_counts counts;
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.fds, 0);
    fixture_close(runtime);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_int_eq(errno, ECHILD);
    ck_assert_int_eq(fixture_descriptors(), descriptors_before);
}

static void closed(struct job_process *of)
{
    ck_assert_ptr_eq(of, &process);
    closes++;
    memset(of, 0xEE, sizeof *of);   /* the memory is ours */
}

static void started(struct job_process *of, int status)
{
    ck_assert_ptr_eq(of, &process);
    ck_assert_uint_eq(exits + closes, 0);
    ck_assert(status < 0 ? job_process_pid(of) == 0 : job_process_pid(of) > 0);
    status_seen = status;
    starts++;
    if (status < 0)
        job_process_close(of, closed);
}

static void exited(struct job_process *of, const struct job_process_exit *exit)
{
    ck_assert_uint_eq(starts, 1);
    ck_assert_uint_eq(closes, 0);
    ck_assert_int_eq(job_process_pid(of), 0);
    ck_assert_int_eq(job_process_kill(of, SIGKILL), -ESRCH);
    last = *exit;
    exits++;
    if (closes_at_exit)
        job_process_close(of, closed);
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    size_t len = job_buf_len(*in);
    (void)stream;
    ck_assert_uint_eq(starts, 1);   /* never before */
    received += len;
    if (text_len + len < TEXT_MAX) {
        ck_assert_ok(job_buf_read(*in, 0, text + text_len, len));
        text_len += len;
    }
}

static void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    streams_open--;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

/* Of `sh -c script`; what it prints is collected. */
static struct job_process_options shell(const char *const *arguments)
{
    struct job_process_options options = {
        .program = "/bin/sh",
        .arguments = (char *const *)(uintptr_t)arguments,
        .stdio[1] = {.how = JOB_STDIO_STREAM, .stream = &output, .events = &events},
    };
    return options;
}

static void begin(const struct job_process_options *options)
{
    for (int i = 0; i < 3; i++)
        streams_open += options->stdio[i].how == JOB_STDIO_STREAM;
    ck_assert_ok(job_process_open(loop, &process, options, started, exited));
    ck_assert_uint_eq(starts, 0);
}

static void run(void)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(streams_open, 0);
}

/* Runs it to its end. */
static void run_shell(const char *script)
{
    const char *const arguments[4] = {"sh", "-c", script, NULL};
    struct job_process_options options = shell(arguments);
    begin(&options);
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(starts, 1);
    ck_assert_uint_eq(exits, 1);
    ck_assert_uint_eq(closes, 1);
}

START_TEST(an_exit_code_is_told_once)
{
    run_shell("exit 7");
    ck_assert_int_eq(last.status, 0);
    ck_assert_int_eq(last.code, 7);
    ck_assert_int_eq(last.signal, 0);
    ck_assert_uint_gt(last.memory_max_bytes, 4096);
}
END_TEST

static pid_t tracer;
static struct job_timer ticks;
static unsigned ticks_left;
static uint64_t turns_before;

/* A process that traces `pid` and never waits for it. False: this system forbids that. */
static bool trace(pid_t pid)
{
    int told[2], err = 0;
    ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
    tracer = fork();
    if (tracer == 0) {
        err = ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0 ? errno : 0;
        (void)!write(told[1], &err, sizeof err);
        for (;;)
            pause();
    }
    ck_assert_int_gt(tracer, 0);
    ck_assert_int_eq(read(told[0], &err, sizeof err), sizeof err);
    close(told[0]);
    close(told[1]);
    ck_assert_msg(err == 0 || err == EPERM, "ptrace: %s", strerror(err));
    return err == 0;
}

static void stop_tracing(void)
{
    kill(tracer, SIGKILL);
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
}

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

START_TEST(a_signal_that_killed_it_is_told)
{
    run_shell("kill -TERM $$");
    ck_assert_int_eq(last.code, -1);
    ck_assert_int_eq(last.signal, SIGTERM);
}
END_TEST

START_TEST(it_gets_arguments_environment_and_directory)
{
    static const char script[] = "printf '%s|%s|%s|%s' \"$0\" \"$1\" \"$V\" \"$(pwd -P)\"; echo \"$HOME\"";
    const char *const arguments[] = {"sh", "-c", script, "a b", "", NULL};
    const char *const environment[] = {"V=1 2", NULL};
    struct job_process_options options = shell(arguments);
    options.environment = (char *const *)(uintptr_t)environment;
    options.directory = "/usr";
    begin(&options);
    run();
    ck_assert_str_eq(text, "a b||1 2|/usr\n");
}
END_TEST

START_TEST(without_arguments_it_gets_its_name_and_our_environment)
{
    setenv("LIBJOB_TEST", "from the parent", 1);
    struct job_process_options options = shell(NULL);
    options.program = "env";   /* found by PATH */
    begin(&options);
    run();
    ck_assert_ptr_nonnull(strstr(text, "LIBJOB_TEST=from the parent\n"));
}
END_TEST

START_TEST(its_streams_tell_nothing_before_it_has_started)
{
    const char *const arguments[] = {"sh", "-c", "echo abc", NULL};
    struct job_process_options options = shell(arguments);
    begin(&options);
    ck_assert_ok(job_stream_expect(&output, 4));   /* on_data looks whether it has started */
    run();
    ck_assert_str_eq(text, "abc\n");
}
END_TEST

START_TEST(bytes_go_through_it_and_come_back)
{
    const char *const arguments[] = {"cat", NULL};
    struct job_process_options options = shell(arguments);
    options.program = "cat";
    options.stdio[0] = (struct job_process_stdio){.how = JOB_STDIO_STREAM, .stream = &input, .events = &events};
    begin(&options);
    static char block[4096];
    for (int i = 0; i < PAYLOAD / (int)sizeof block; i++)   /* before it has started */
        ck_assert_ok(job_stream_write(&input, block, sizeof block));
    ck_assert_ok(job_stream_shutdown(&input));
    run();
    ck_assert_uint_eq(received, PAYLOAD);
    ck_assert_int_eq(last.code, 0);
}
END_TEST

START_TEST(null_is_empty_and_swallows)
{
    const char *const arguments[] = {"sh", "-c", "read x; echo $?; echo lost >&2", NULL};
    struct job_process_options options = shell(arguments);
    options.stdio[0].how = options.stdio[2].how = JOB_STDIO_NULL;
    begin(&options);
    run();
    ck_assert_str_eq(text, "1\n");
}
END_TEST

START_TEST(standard_error_may_go_where_output_goes)
{
    const char *const arguments[] = {"sh", "-c", "echo one; echo two >&2; echo three", NULL};
    struct job_process_options options = shell(arguments);
    options.stdio[2].how = JOB_STDIO_OUTPUT;
    begin(&options);
    run();
    ck_assert_str_eq(text, "one\ntwo\nthree\n");
}
END_TEST

/* Three files at the numbers 3, 4, 5 become 3, 4, 5 in each order. In a process of our own, whose low numbers are free. */
static void quiet_started(struct job_process *of, int status)
{
    (void)of, (void)status;
}

static void quiet_exited(struct job_process *of, const struct job_process_exit *exit)
{
    (void)exit;
    job_process_close(of, NULL);
}

static void quiet_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    size_t len = job_buf_len(*in);
    if (text_len + len < TEXT_MAX && job_buf_read(*in, 0, text + text_len, len) == 0)
        text_len += len;
}

static int gives_in_order(const int order[3])   /* nothing of check's in here: it writes to a descriptor that is closed */
{
    static const struct job_stream_events quiet = {.data = quiet_data, .end = on_end};
    const char *const arguments[] = {"sh", "-c", "cat <&3; cat <&4; cat <&5", NULL};
    char expected[4] = "";
    struct job_runtime *own = NULL;
    if (close_range(3, ~0U, 0) < 0)
        return 2;
    for (int i = 0; i < 3; i++) {
        char letter = (char)('3' + i);
        if (memfd_create("letter", MFD_CLOEXEC) != 3 + i || write(3 + i, &letter, 1) != 1 || lseek(3 + i, 0, SEEK_SET) != 0)
            return 3;
        expected[i] = (char)('0' + order[i]);
    }
    if (job_runtime_open(&own, NULL) < 0 || job_loop_open(own, &loop, NULL) < 0)
        return 4;
    struct job_process_options options = shell(arguments);
    options.descriptors = order;
    options.descriptor_count = 3;
    options.stdio[1].events = &quiet;
    if (job_process_open(loop, &process, &options, quiet_started, quiet_exited) < 0 || job_loop_run(loop) != 0)
        return 5;
    return strcmp(text, expected) == 0 ? 0 : 6;
}

START_TEST(descriptors_come_in_the_order_that_was_said)
{
    static const int orders[6][3] = {{3, 4, 5}, {3, 5, 4}, {4, 3, 5}, {4, 5, 3}, {5, 3, 4}, {5, 4, 3}};
    int status = -1;
    pid_t child = fork();
    if (child == 0)
        _exit(gives_in_order(orders[_i]));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

START_TEST(a_descriptor_of_ours_can_be_its_output)
{
    int fds[2];
    char bytes[8] = "";
    const char *const arguments[] = {"sh", "-c", "echo hello", NULL};
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    struct job_process_options options = shell(arguments);
    options.stdio[1] = (struct job_process_stdio){.how = JOB_STDIO_FD, .fd = fds[1]};
    begin(&options);
    run();
    ck_assert_int_eq((int)read(fds[0], bytes, sizeof bytes), 6);
    ck_assert_str_eq(bytes, "hello\n");
    ck_assert_int_ge(fcntl(fds[1], F_GETFD), 0);   /* still ours */
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(no_other_descriptor_is_seen_by_a_program)
{
    int leaky = dup(2), socket_fds[2];   /* opened by somebody who does not think of programs */
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, socket_fds), 0);
    run_shell("echo /proc/self/fd/*");
    ck_assert_str_eq(text, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n");   /* 3: the directory that it reads */
    close(leaky);
    close(socket_fds[0]);
    close(socket_fds[1]);
}
END_TEST

START_TEST(it_starts_with_no_signal_blocked_or_ignored)
{
    const char *const arguments[] = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL};
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &before);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    struct job_process_options options = shell(arguments);
    options.program = "grep";
    begin(&options);
    run();
    ck_assert_str_eq(text, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
}
END_TEST

static void fails_with(const struct job_process_options *options, int err)
{
    starts = exits = closes = 0;
    begin(options);
    run();
    ck_assert_msg(status_seen == err, "%s: %s", options->program, job_strerror(status_seen));
    ck_assert_uint_eq(starts, 1);
    ck_assert_uint_eq(exits, 0);
    ck_assert_uint_eq(closes, 1);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);   /* not even a zombie */
}

static void write_file(const char *name, const char *content, mode_t mode)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, content, strlen(content)), (int)strlen(content));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

START_TEST(why_there_is_no_program_is_told_before_anything_else)
{
    char name[64];
    struct job_process_options options = shell(NULL);
    (void)snprintf(name, sizeof name, "/tmp/test_process.%d", (int)getpid());

    options.program = "/no/such/program";
    fails_with(&options, -ENOENT);
    options.program = "no-such-program-in-path";
    fails_with(&options, -ENOENT);
    options.program = "/usr";
    fails_with(&options, -EACCES);
    options.program = "/dev/null/x";
    fails_with(&options, -ENOTDIR);
    write_file(name, "no program", 0600);
    options.program = name;
    fails_with(&options, -EACCES);
    write_file(name, "no program", 0700);
    fails_with(&options, -ENOEXEC);
    write_file(name, "#!/no/such/interpreter\n", 0700);
    fails_with(&options, -ENOENT);
    options.program = "/bin/sh";
    options.directory = "/no/such/directory";
    fails_with(&options, -ENOENT);
    options.directory = name;
    fails_with(&options, -ENOTDIR);
    (void)unlink(name);
}
END_TEST

START_TEST(arguments_that_are_too_long_are_told)
{
    static char *arguments[70];
    static char longest[130000];
    memset(longest, 'x', sizeof longest - 1);
    struct rlimit limit;
    ck_assert_int_eq(getrlimit(RLIMIT_STACK, &limit), 0);
    for (int i = 0; i < 69; i++)
        arguments[i] = longest;
    struct job_process_options options = shell(NULL);
    options.arguments = arguments;
    if (limit.rlim_cur <= 8 << 20)   /* a quarter of it is what they may take */
        fails_with(&options, -E2BIG);
}
END_TEST

START_TEST(path_is_searched_as_by_a_shell)
{
    static char path[8192];
    char first[64], second[64], before[4096];
    (void)snprintf(before, sizeof before, "%s", getenv("PATH"));
    (void)snprintf(first, sizeof first, "/tmp/test_process_a.%d", (int)getpid());
    (void)snprintf(second, sizeof second, "/tmp/test_process_b.%d", (int)getpid());
    ck_assert_int_eq(mkdir(first, 0700) | mkdir(second, 0700), 0);
    ck_assert_int_eq(chdir(first), 0);
    write_file("tool", "#!/bin/sh\necho first\n", 0600);   /* may not be run: the next one is */
    ck_assert_int_eq(chdir(second), 0);
    write_file("tool", "#!/bin/sh\necho second\n", 0700);
    ck_assert_int_eq(chdir("/"), 0);
    struct job_process_options options = shell(NULL);
    options.program = "tool";

    (void)snprintf(path, sizeof path, "/no/such:%s:%s", first, second);
    setenv("PATH", path, 1);
    begin(&options);
    run();
    ck_assert_str_eq(text, "second\n");

    (void)snprintf(path, sizeof path, "/no/such:%s", first);
    setenv("PATH", path, 1);
    fails_with(&options, -EACCES);

    memset(path, 'a', 5000);   /* a place with a name that is too long */
    (void)snprintf(path + 5000, sizeof path - 5000, ":%s", second);
    setenv("PATH", path, 1);
    starts = exits = closes = 0;
    begin(&options);
    run();
    ck_assert_str_eq(text, "second\nsecond\n");

    setenv("PATH", "", 1);   /* an empty place: where we are */
    ck_assert_int_eq(chdir(second), 0);
    starts = exits = closes = 0;
    begin(&options);
    run();
    ck_assert_str_eq(text, "second\nsecond\nsecond\n");

    setenv("PATH", before, 1);
    ck_assert_int_eq(unlink("tool") | chdir(first) | unlink("tool") | chdir("/"), 0);
    ck_assert_int_eq(rmdir(first) | rmdir(second), 0);
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

START_TEST(a_signal_reaches_it_also_when_it_is_stopped)
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

static void setup_without(void)
{
    setenv("JOB_DISABLE", "pidfd_group", 1);
    setup();
}

START_TEST(a_session_is_led_by_the_program)
{
    int pid = 0, parent, group = 0, session = 0;
    const char *const arguments[] = {"cat", "/proc/self/stat", NULL};
    struct job_process_options options = shell(arguments);
    options.program = "cat";
    options.session = true;
    begin(&options);
    run();
    ck_assert_int_eq(sscanf(text, "%d (cat) %*c %d %d %d", &pid, &parent, &group, &session), 4);
    ck_assert_int_eq(parent, getpid());
    ck_assert_int_eq(group, pid);
    ck_assert_int_eq(session, pid);
}
END_TEST

static void started_and_closed(struct job_process *of, int status)
{
    started(of, status);
    job_process_close(of, closed);
    job_process_close(of, NULL);
    ck_assert_uint_eq(closes, 0);
}

static void never_exited(struct job_process *of, const struct job_process_exit *exit)
{
    (void)of, (void)exit;
    ck_abort_msg("told after its close");
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

/* As many descriptors as it needs, less one, less two …: refused at once, or told, and nothing stays open. */
START_TEST(without_descriptors_it_is_refused_and_nothing_stays_open)
{
    struct rlimit before, limit;
    const char *const arguments[] = {"sh", "-c", "exit 0", NULL};
    unsigned refused = 0, told = 0;
    run_shell("exit 0");   /* the thread is there */
    int open_now = fixture_descriptors();
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    bool has_run = false;
    for (unsigned more = 0; more < 40 && !has_run; more++) {
        struct job_process_options options = shell(arguments);
        options.stdio[0] = (struct job_process_stdio){.how = JOB_STDIO_STREAM, .stream = &input, .events = &events};
        options.stdio[2].how = JOB_STDIO_NULL;
        starts = exits = closes = 0;
        streams_open = 2;
        limit = (struct rlimit){.rlim_cur = (rlim_t)open_now + more, .rlim_max = before.rlim_max};
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int err = job_process_open(loop, &process, &options, started, exited);
        if (err < 0)
            streams_open = 0;
        run();
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
        ck_assert(err == 0 || err == -EMFILE);
        ck_assert(err < 0 || status_seen == 0 || status_seen == -EMFILE);
        refused += err < 0;
        told += err == 0 && status_seen < 0;
        has_run = err == 0 && status_seen == 0;
        ck_assert_int_eq(fixture_descriptors(), open_now);
        ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    }
    ck_assert(has_run);
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_gt(told, 0);
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

static int open_with(const struct job_process_options *options)
{
    return job_process_open(loop, &process, options, started, exited);
}

START_TEST(bad_arguments_change_nothing)
{
    char *const no_arguments[] = {NULL};
    static const struct job_stream_events no_data = {.end = on_end};
    struct job_process_options options = {.program = "true"};
    int descriptors = fixture_descriptors();
    ck_assert_int_eq(job_process_open(NULL, &process, &options, started, exited), -EINVAL);
    ck_assert_int_eq(job_process_open(loop, NULL, &options, started, exited), -EINVAL);
    ck_assert_int_eq(job_process_open(loop, &process, NULL, started, exited), -EINVAL);
    ck_assert_int_eq(job_process_open(loop, &process, &options, NULL, exited), -EINVAL);
    options.program = "";
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options.program = NULL;
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options = (struct job_process_options){.program = "true", .arguments = no_arguments};
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options = (struct job_process_options){.program = "true", .descriptor_count = 1};
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options = (struct job_process_options){.program = "true", .descriptors = &descriptors, .descriptor_count = 65};
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options = (struct job_process_options){.program = "true", .stdio[1].how = JOB_STDIO_OUTPUT};
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options = (struct job_process_options){.program = "true", .stdio[1].how = (enum job_stdio)9};
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options = (struct job_process_options){.program = "true", .stdio[1] = {.how = JOB_STDIO_STREAM, .stream = &output}};
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options.stdio[1].events = &no_data;
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options.stdio[1].events = &events;
    options.stdio[2] = options.stdio[1];   /* one stream twice */
    ck_assert_int_eq(open_with(&options), -EINVAL);
    options.stdio[2] = (struct job_process_stdio){.how = JOB_STDIO_FD, .fd = 999};
    ck_assert_int_eq(open_with(&options), -EBADF);
    options.stdio[2] = (struct job_process_stdio){.how = JOB_STDIO_FD, .fd = -1};
    ck_assert_int_eq(open_with(&options), -EBADF);
    ck_assert_int_eq(job_process_kill(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_process_kill(&process, 1), -EINVAL);
    ck_assert_int_eq(job_process_kill_group(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_process_pid(NULL), 0);
    job_process_close(NULL, NULL);
    job_process_close(&process, closed);   /* never opened */
    run();
    ck_assert_uint_eq(starts + exits + closes, 0);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

static TCase *add_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    suite_add_tcase(suite, tcase);
    return tcase;
}

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *gets = add_case(suite, "what it gets");
    tcase_add_test(gets, it_gets_arguments_environment_and_directory);
    tcase_add_test(gets, without_arguments_it_gets_its_name_and_our_environment);
    tcase_add_test(gets, its_streams_tell_nothing_before_it_has_started);
    tcase_add_test(gets, bytes_go_through_it_and_come_back);
    tcase_add_test(gets, null_is_empty_and_swallows);
    tcase_add_test(gets, standard_error_may_go_where_output_goes);
    tcase_add_loop_test(gets, descriptors_come_in_the_order_that_was_said, 0, 6);
    tcase_add_test(gets, a_descriptor_of_ours_can_be_its_output);
    tcase_add_test(gets, no_other_descriptor_is_seen_by_a_program);
    tcase_add_test(gets, it_starts_with_no_signal_blocked_or_ignored);
    tcase_add_test(gets, path_is_searched_as_by_a_shell);
    tcase_add_test(gets, a_session_is_led_by_the_program);

    TCase *ends = add_case(suite, "how it ends");
    tcase_add_test(ends, an_exit_code_is_told_once);
    tcase_add_test(ends, a_signal_that_killed_it_is_told);
    tcase_add_test(ends, a_dead_child_that_somebody_traces_is_told_when_it_can_be_waited_for_and_costs_nothing_before);
    tcase_add_test(ends, a_dead_child_that_somebody_traces_is_let_go_at_once);
    tcase_add_test(ends, why_there_is_no_program_is_told_before_anything_else);
    tcase_add_test(ends, arguments_that_are_too_long_are_told);
    tcase_add_loop_test(ends, a_signal_reaches_it_also_when_it_is_stopped, 0, 2);
    tcase_add_test(ends, a_group_is_killed_with_all_that_it_has_started);
    tcase_add_test(ends, what_a_leader_of_a_group_has_left_behind_can_be_killed);
    tcase_add_test(ends, one_that_closes_its_input_early_breaks_the_stream_and_not_us);
    tcase_add_test(ends, one_that_closes_its_output_early_is_told_its_end_later);
    tcase_add_test(ends, without_descriptors_it_is_refused_and_nothing_stays_open);
    tcase_add_test(ends, children_of_others_are_left_alone);
    tcase_add_test(ends, an_exit_that_somebody_else_has_taken_is_told_as_unknown);
    tcase_add_test(ends, bad_arguments_change_nothing);

    TCase *closing = add_case(suite, "close");
    tcase_add_test(closing, closing_kills_what_runs_with_its_group);
    tcase_add_test(closing, one_that_is_closed_before_it_has_started_leaves_nothing);
    tcase_add_test(closing, one_that_outlives_its_handle_is_waited_for_at_the_next_start);
    tcase_add_test(closing, one_that_outlives_its_handle_is_waited_for_when_the_runtime_closes);
    tcase_add_test(closing, one_that_outlives_the_runtime_runs_on);
    tcase_add_test(closing, a_child_that_never_ends_does_not_hold_up_the_end_of_its_loop);
    tcase_add_test(closing, a_handle_that_has_told_its_end_does_not_keep_the_loop);

    TCase *without = tcase_create("without pidfd_group");
    tcase_add_checked_fixture(without, setup_without, teardown);
    tcase_set_timeout(without, 30);
    tcase_add_test(without, a_group_is_killed_with_all_that_it_has_started);
    tcase_add_test(without, what_a_leader_of_a_group_has_left_behind_can_be_killed);
    tcase_add_test(without, closing_kills_what_runs_with_its_group);
    suite_add_tcase(suite, without);
    return fixture_run(suite);
}
