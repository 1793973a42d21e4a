/* test_standard.c — standard input, output or error is closed, and nothing of ours gets its number: what a program writes to standard error
 * must not go to a client, nor what a client sends come out of standard input, nor a loop end when a daemon closes all three.
 */
#include <signal.h>

#include "support/fixture.h"

enum { STANDARD = 3, WAYS = 1 << STANDARD };

static unsigned closed;                   /* one bit each */
static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_stream client, server, in, out;
static struct job_file file;
static struct job_file_op op;
static struct job_process process;
static unsigned awaited;

static void assert_theirs(const char *behind)
{
    for (int i = 0; i < STANDARD; i++) {
        bool is_open = fcntl(i, F_GETFD) >= 0;
        ck_assert_msg(is_open == !(closed & 1U << i), "descriptor %d, behind %s", i, behind);
    }
}

/* One of what is awaited is there; it stays open. Behind the last no thread of ours is in the middle of something. */
static void is_there(const char *what, int status)
{
    ck_assert_msg(status >= 0, "%s: %s", what, job_strerror(status));
    if (--awaited > 0)
        return;
    assert_theirs("what was awaited");
    job_loop_stop(loop);
}

static void no_data(struct job_stream *stream, struct job_buf **data)
{
    (void)stream, (void)data;
}

static const struct job_stream_events quiet = {.data = no_data};

static void accepted(struct job_listener *listener, struct job_incoming *incoming)
{
    (void)listener;
    is_there("accept", job_stream_accept(&server, incoming, &quiet));
}

static void connected(struct job_stream *stream, int status)
{
    (void)stream;
    is_there("connect", status);
}

static void opened(struct job_file *f, int status)
{
    (void)f;
    is_there("a file", status);
}

static void loaded(struct job_file_op *o, int status, struct job_buf **buf)
{
    (void)o, (void)buf;
    is_there("a load", status);
}

static void started(struct job_process *p, int status)
{
    (void)p;
    is_there("a process", status);
}

static void exited(struct job_process *p, const struct job_process_exit *exit)
{
    (void)p, (void)exit;
}

static void caught(struct job_signal *s, int number)
{
    (void)s, (void)number;
}

static void changed(struct job_watch *w, struct job_watch_entry *entry, const struct job_watch_event *event)
{
    (void)w, (void)entry, (void)event;
}

static void begin_all(void)
{
    static const struct job_stream_events connects = {.data = no_data, .connected = connected};
    static const struct job_file_options reads = {.path = {.name = "/proc/self/exe"}, .flags = O_RDONLY};
    static const struct job_path path = {.name = "/proc/self/stat"};
    static struct job_listener listener;
    static struct job_signal handler;
    static struct job_watch watch;
    char address[64];
    struct job_process_options cat = {.program = "cat"};
    cat.stdio[0] = (struct job_process_stdio){.how = JOB_STDIO_STREAM, .stream = &in, .events = &quiet};
    cat.stdio[1] = (struct job_process_stdio){.how = JOB_STDIO_STREAM, .stream = &out, .events = &quiet};
    cat.stdio[2] = (struct job_process_stdio){.how = JOB_STDIO_NULL};
    ck_assert_ok(job_signal_open(loop, &handler, (int[]){SIGUSR1}, 1, caught));
    assert_theirs("signals");
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    assert_theirs("a watch");
    ck_assert_ok(job_listener_open(loop, &listener, &(struct job_listener_options){.turns_away = true}, accepted));
    assert_theirs("a listener");
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", job_listener_port(&listener));
    ck_assert_ok(job_stream_connect(loop, &client, address, NULL, &connects));
    ck_assert_ok(job_file_open(loop, &file, &reads, opened));
    ck_assert_ok(job_path_load(&listener.handle, &op, &path, 1 << 20, loaded));
    ck_assert_ok(job_process_open(loop, &process, &cat, started, exited));
    awaited = 5;
}

START_TEST(what_is_closed_of_them_stays_closed)
{
    struct job_region *region = NULL;
    closed = (unsigned)_i;
    for (int i = 0; i < STANDARD; i++) {
        if (closed & 1U << i)
            close(i);
    }

    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.name = "test"}));
    assert_theirs("the runtime");
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    assert_theirs("a loop");
    ck_assert_ok(job_region_open_with(runtime, &(struct job_region_options){.size = 4096, .is_shared = true}, &region));
    begin_all();
    ck_assert_ok(job_loop_run(loop));

    ck_assert_uint_eq(awaited, 0);
    job_region_release(&region);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_runtime_close(&runtime), 0);
    assert_theirs("all");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("standard");
    TCase *tcase = tcase_create("standard");
    tcase_set_timeout(tcase, 10);
    tcase_add_loop_test(tcase, what_is_closed_of_them_stays_closed, 0, WAYS);
    suite_add_tcase(suite, tcase);
    if (job_signals_block((int[]){SIGUSR1}, 1) < 0)
        return EXIT_FAILURE;
    return fixture_run(suite);
}
