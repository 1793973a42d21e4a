/* test_processes.c — thousands of short children, started, fed, killed and closed at random: each has one end, and none is left.
 *
 * Every start that succeeds has one `exited`, unless its handle was closed before; nothing comes after `closed`; streams and descriptors
 * are counted; at the end there is no child, not even a zombie. PROCESSES= says how many, SEED= repeats.
 */
#include <signal.h>
#include <sys/wait.h>

#include "support/fixture.h"

enum { SLOTS = 16, PROCESSES_DEFAULT = 2000 };

struct child {
    struct job_process process;
    struct job_stream input, output;
    unsigned handles;                 /* that are not closed */
    bool is_open, has_started, has_ended, is_closing;
    bool wants_missing, wants_code, may_end;
    int code;
    uint64_t sent, got;
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer stepper;
static struct child children[SLOTS];
static struct random dice;
static unsigned left, opened, started_count, failed, ended, closed_count, closed_early, let_go_count;
static uint64_t seed_now;

#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s SEED=%llu", #condition, (unsigned long long)seed_now);                                    \
    } while (0)

static void handle_closed(struct child *child)
{
    must(child->handles > 0);
    child->handles--;
    if (child->handles == 0)
        memset(child, 0, sizeof *child);   /* the slot is free, and all of its memory ours */
}

static void input_closed(struct job_stream *stream)
{
    handle_closed(job_container_of(stream, struct child, input));
}

static void output_closed(struct job_stream *stream)
{
    handle_closed(job_container_of(stream, struct child, output));
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct child *child = job_container_of(stream, struct child, output);
    child->got += job_buf_len(*in);
    must(child->got <= child->sent);
}

static void no_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
    ck_abort_msg("it has written to its input");
}

static void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static const struct job_stream_events input_events = {.data = no_data, .end = on_end, .closed = input_closed};
static const struct job_stream_events output_events = {.data = on_data, .end = on_end, .closed = output_closed};

static void process_closed(struct job_process *process)
{
    struct child *child = job_container_of(process, struct child, process);
    must(child->is_open && child->is_closing);
    child->is_open = false;
    closed_count++;
    handle_closed(child);
}

static void close_child(struct child *child)
{
    child->is_closing = true;
    job_process_close(&child->process, process_closed);
}

static void started(struct job_process *process, int status)
{
    struct child *child = job_container_of(process, struct child, process);
    must(child->is_open && !child->is_closing && !child->has_started);
    must((status < 0) == child->wants_missing);
    must(status == 0 || status == -ENOENT);
    child->has_started = status == 0;
    started_count += status == 0;
    failed += status < 0;
    if (status < 0 || random_below(&dice, 12) == 0)
        close_child(child);
}

static void exited(struct job_process *process, const struct job_process_exit *exit)
{
    struct child *child = job_container_of(process, struct child, process);
    must(child->is_open && !child->is_closing && child->has_started && !child->has_ended);
    must(exit->status == 0);
    must(exit->signal == SIGKILL || exit->signal == SIGTERM || exit->signal == SIGPIPE || exit->signal == 0);
    must(child->may_end || exit->signal != 0);
    must(exit->signal != 0 || !child->wants_code || exit->code == child->code);
    child->has_ended = true;
    ended++;
    close_child(child);
}

static void send_some(struct child *child)
{
    static char block[5000];
    size_t len = random_below(&dice, sizeof block);
    if (job_stream_write(&child->input, block, len) == 0)
        child->sent += len;
    if (random_below(&dice, 3) == 0)
        (void)job_stream_shutdown(&child->input);
}

static void open_child(struct child *child)
{
    static const char *const missing[] = {"nothing", NULL}, *const cat[] = {"cat", NULL}, *const sleeps[] = {"sleep", "1000", NULL};
    char script[32];
    const char *const ends[] = {"sh", "-c", script, NULL};
    uint64_t kind = random_below(&dice, 8);
    struct job_process_options options = {.group = random_below(&dice, 2), .session = random_below(&dice, 4) == 0};
    memset(child, 0, sizeof *child);
    child->handles = 1;
    child->may_end = kind != 0;
    child->code = (int)random_below(&dice, 256);
    (void)snprintf(script, sizeof script, "exit %d", child->code);
    const char *const *arguments = kind == 0 ? sleeps : kind == 1 ? missing : kind < 4 ? cat : ends;
    child->wants_missing = kind == 1;
    child->wants_code = kind >= 4;
    options.program = arguments[0];
    options.arguments = (char *const *)(uintptr_t)arguments;
    if (kind < 4) {
        options.stdio[0] = (struct job_process_stdio){JOB_STDIO_STREAM, 0, &child->input, &input_events};
        options.stdio[1] = (struct job_process_stdio){JOB_STDIO_STREAM, 0, &child->output, &output_events};
        child->handles = 3;
    }
    options.outlives = child->wants_code && random_below(&dice, 4) == 0;   /* those that end by themselves */
    /* Names and arguments must stay until `started`: these are constants, but for the script. */
    static char scripts[SLOTS][32];
    static const char *lists[SLOTS][4];
    if (child->wants_code) {
        size_t slot = (size_t)(child - children);
        memcpy(scripts[slot], script, sizeof script);
        memcpy(lists[slot], ends, sizeof ends);
        lists[slot][2] = scripts[slot];
        options.arguments = (char *const *)(uintptr_t)lists[slot];
    }
    must(job_process_open(loop, &child->process, &options, started, exited) == 0);
    child->is_open = true;
    opened++;
    let_go_count += options.outlives;
    if (kind < 4)
        send_some(child);
}

/* At most each second one: on a busy machine starts take long, and most would be closed before they have an end. */
static bool may_close_early(void)
{
    bool may = 2 * closed_early < opened;
    closed_early += may;
    return may;
}

static void touch(struct child *child)
{
    switch (random_below(&dice, 6)) {
    case 0:
        if (child->is_open && !child->is_closing)
            (void)job_process_kill(&child->process, random_below(&dice, 2) ? SIGKILL : SIGTERM);
        break;
    case 1:
        if (child->is_open && !child->is_closing)
            (void)job_process_kill_group(&child->process, SIGKILL);
        break;
    case 2:
        if (child->is_open && !child->is_closing && random_below(&dice, 4) == 0 && may_close_early())
            close_child(child);
        break;
    case 3: job_stream_close(&child->output); break;
    default: send_some(child);
    }
}

static void step(struct job_timer *timer)
{
    struct child *child = &children[random_below(&dice, SLOTS)];
    if (child->handles > 0)
        touch(child);
    else if (left > 0 && left--)
        open_child(child);
    bool is_busy = left > 0;
    for (unsigned i = 0; i < SLOTS; i++)
        is_busy = is_busy || children[i].handles > 0;
    if (is_busy)
        must(job_timer_start(timer, 20000 + random_below(&dice, 100000)) == 0);
    else
        job_timer_close(timer, NULL);
}

static void only_started(struct job_process *process, int status)
{
    must(status == 0);
    (void)process;
}

static void only_exited(struct job_process *process, const struct job_process_exit *exit)
{
    must(exit->code == 0);
    job_process_close(process, NULL);
}

/* One more process, whose start waits for those that have ended before. */
static bool reap_by_a_start(void)
{
    static struct job_process one;
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_process_open(loop, &one, &(struct job_process_options){.program = "true"}, only_started, only_exited));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    return true;
}

START_TEST(each_child_has_one_end_and_none_is_left)
{
    int descriptors = fixture_descriptors();
    struct job_counts counts;
    dice = fixture_random("each_child_has_one_end_and_none_is_left");
    seed_now = dice.state;
    left = fixture_rounds("PROCESSES", PROCESSES_DEFAULT);
    unsigned all = left;
    signal(SIGPIPE, SIG_IGN);   /* as services do; the children do not inherit it */
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &stepper, step));
    ck_assert_ok(job_timer_start(&stepper, 0));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(opened, all);
    ck_assert_uint_eq(closed_count, all);
    ck_assert_uint_gt(ended, all / 4);
    ck_assert_uint_gt(failed, 0);
    ck_assert_uint_gt(let_go_count, 0);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.fds, 0);
    siginfo_t info;   /* those that were let go end by themselves; that the runtime then waits for them is what is tested */
    while (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) == 0 && reap_by_a_start()) {
    }
    fixture_close(runtime);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ck_abort_msg("a zombie");
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("processes");
    TCase *tcase = tcase_create("processes");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_child_has_one_end_and_none_is_left);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
