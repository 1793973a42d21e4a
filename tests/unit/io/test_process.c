/* test_process.c — child processes: what they get, and how a program is found. */
#include "unit/io/processes.h"

static struct job_stream input;

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

START_TEST(C36_descriptors_come_in_the_order_that_was_said)
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
    tcase_add_loop_test(gets, C36_descriptors_come_in_the_order_that_was_said, 0, 6);
    tcase_add_test(gets, a_descriptor_of_ours_can_be_its_output);
    tcase_add_test(gets, no_other_descriptor_is_seen_by_a_program);
    tcase_add_test(gets, it_starts_with_no_signal_blocked_or_ignored);
    tcase_add_test(gets, path_is_searched_as_by_a_shell);
    tcase_add_test(gets, a_session_is_led_by_the_program);

    TCase *ends = add_case(suite, "how it ends");
    tcase_add_test(ends, why_there_is_no_program_is_told_before_anything_else);
    tcase_add_test(ends, arguments_that_are_too_long_are_told);
    tcase_add_test(ends, without_descriptors_it_is_refused_and_nothing_stays_open);
    tcase_add_test(ends, bad_arguments_change_nothing);

    return fixture_run(suite);
}
