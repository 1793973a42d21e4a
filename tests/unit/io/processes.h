/* processes.h — a program of /bin/sh, what it says, and how it ends: shared by the tests of processes. */
#ifndef TESTS_UNIT_IO_PROCESSES_H
#define TESTS_UNIT_IO_PROCESSES_H

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
static struct job_stream output;
static struct job_process_exit last;
static int status_seen;
static unsigned starts, exits, closes, streams_open;
static char text[TEXT_MAX];
static size_t text_len;
static uint64_t received;
static int descriptors_before;
static bool closes_at_exit;

static inline void setup(void)
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
static inline void teardown(void)
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

static inline void closed(struct job_process *of)
{
    ck_assert_ptr_eq(of, &process);
    closes++;
    memset(of, 0xEE, sizeof *of);   /* the memory is ours */
}

static inline void started(struct job_process *of, int status)
{
    ck_assert_ptr_eq(of, &process);
    ck_assert_uint_eq(exits + closes, 0);
    ck_assert(status < 0 ? job_process_pid(of) == 0 : job_process_pid(of) > 0);
    status_seen = status;
    starts++;
    if (status < 0)
        job_process_close(of, closed);
}

static inline void exited(struct job_process *of, const struct job_process_exit *exit)
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

static inline void on_data(struct job_stream *stream, struct job_buf **in)
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

static inline void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static inline void on_closed(struct job_stream *stream)
{
    (void)stream;
    streams_open--;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

/* Of `sh -c script`; what it prints is collected. */
static inline struct job_process_options shell(const char *const *arguments)
{
    struct job_process_options options = {
        .program = "/bin/sh",
        .arguments = (char *const *)(uintptr_t)arguments,
        .stdio[1] = {.how = JOB_STDIO_STREAM, .stream = &output, .events = &events},
    };
    return options;
}

static inline void begin(const struct job_process_options *options)
{
    for (int i = 0; i < 3; i++)
        streams_open += options->stdio[i].how == JOB_STDIO_STREAM;
    ck_assert_ok(job_process_open(loop, &process, options, started, exited));
    ck_assert_uint_eq(starts, 0);
}

static inline void run(void)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(streams_open, 0);
}

/* Runs it to its end. */
static inline void run_shell(const char *script)
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

static pid_t tracer;

/* A process that traces `pid` and never waits for it. False: this system forbids that. */
static inline bool trace(pid_t pid)
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

static inline void stop_tracing(void)
{
    kill(tracer, SIGKILL);
    ck_assert_int_eq(waitpid(tracer, NULL, 0), tracer);
}

static inline void never_exited(struct job_process *of, const struct job_process_exit *exit)
{
    (void)of, (void)exit;
    ck_abort_msg("told after its close");
}

static inline TCase *add_case(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 30);
    suite_add_tcase(suite, tcase);
    return tcase;
}

#endif
