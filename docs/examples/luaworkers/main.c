/* main.c — luaworkers: runs a Lua script in a worker, which may start more.
 *
 *   luaworkers [--memory MIB] [--steps MILLIONS] [--stop-timeout MS] SCRIPT [ARGUMENT…]
 *
 * --memory bounds the script and all workers that it starts (256 MiB; see budget.c); --steps what one callback may take of instructions
 * (1000 million). SIGINT and SIGTERM stop the script. Ends with the script's exit code; 1: it failed, 2: wrong usage, 3: something
 * did not end and was left. Then no exit handler runs, and nothing is flushed: a thread that is left may hold standard output, and
 * never let go of it.
 */
#include "luaworkers.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_LEFT = 3, EXIT_WRONG_USAGE = 2 };

static const int stopping[] = {SIGINT, SIGTERM};

static struct job_worker worker;
static int exit_code = EXIT_FAILURE;
static bool has_left;

static void check(const char *what, int err)
{
    if (err >= 0)
        return;
    (void)fprintf(stderr, "luaworkers: %s: %s\n", what, job_strerror(err));
    exit(EXIT_FAILURE);
}

static void caught(struct job_signal *signal, int number)
{
    (void)signal, (void)number;
    (void)job_worker_stop(&worker);   /* it may have ended just now */
}

/* What it prints reaches the terminal or the pipe by itself. */
static void on_message(struct job_worker *from, struct job_message *message)
{
    size_t len;
    const char *bytes = job_message_bytes(message, &len);
    (void)from;
    (void)fprintf(stderr, "luaworkers: a message that nobody expects: %.*s\n", (int)(len < 200 ? len : 200), bytes);
}

static void on_error(struct job_worker *from, int err, const char *text)
{
    (void)from, (void)err;
    (void)fprintf(stderr, "luaworkers: %s\n", text);
}

static void on_exit_code(struct job_worker *from, int code)
{
    (void)from;
    exit_code = code;
}

static void on_left(struct job_worker *from, const struct job_hung *first, unsigned count)
{
    (void)from, (void)first, (void)count;   /* they are in the log */
    has_left = true;
}

static const struct job_worker_events events = {
    .message = on_message, .error = on_error, .exit = on_exit_code, .left = on_left};

static uint64_t number(const char *text, uint64_t most)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value == 0 || value > most) {
        (void)fprintf(stderr, "luaworkers: %s: not a number from 1 to %llu\n", text, (unsigned long long)most);
        exit(EXIT_WRONG_USAGE);
    }
    return value;
}

static void parse(int argc, char **argv, struct isolate_options *options)
{
    static const struct option names[] = {
        {"memory", required_argument, NULL, 'm'}, {"steps", required_argument, NULL, 's'},
        {"stop-timeout", required_argument, NULL, 't'}, {0}};
    int option;
    while ((option = getopt_long(argc, argv, "+m:s:t:", names, NULL)) != -1) {
        if (option == 'm')
            options->memory_bytes = number(optarg, 1 << 20) << 20;
        else if (option == 's')
            options->steps = number(optarg, 1000000000) * 1000000;
        else if (option == 't')
            options->stop_timeout_ns = number(optarg, 3600000) * JOB_MS;
        else
            exit(EXIT_WRONG_USAGE);   /* getopt has said what */
    }
    if (optind == argc) {
        (void)fputs("usage: luaworkers [--memory MIB] [--steps MILLIONS] [--stop-timeout MS] SCRIPT [ARGUMENT…]\n", stderr);
        exit(EXIT_WRONG_USAGE);
    }
    options->argument_count = (uint32_t)(argc - optind);
}

/* The strings of argv stand one behind the other, each with its 0: so the kernel has put them there. */
static size_t arguments_len(char **first, uint32_t count)
{
    return (size_t)(first[count - 1] + strlen(first[count - 1]) + 1 - first[0]);
}

int main(int argc, char **argv)
{
    struct job_runtime *runtime = NULL;
    struct job_loop *loop = NULL;
    struct job_signal signals;
    struct isolate_options options = {
        .name = "main", .memory_bytes = 256 << 20, .steps = 1000000000, .stop_timeout_ns = 2 * JOB_SECOND};
    parse(argc, argv, &options);
    check("signals", job_signals_block(stopping, 2));
    check("runtime", job_runtime_open(&runtime, &(struct job_runtime_options){.log = job_log_stderr, .log_arg = "luaworkers"}));
    check("loop", job_loop_open(runtime, &loop, &(struct job_loop_options){.name = "main"}));
    check("signals", job_signal_open(loop, &signals, stopping, 2, caught));
    options.runtime = runtime;
    size_t len = arguments_len(argv + optind, options.argument_count);
    check("worker", isolate_open(loop, &worker, &options, argv[optind], len, &events));
    check("run", job_loop_run(loop));
    /* Longer than the worker's own close takes at most, and that of a worker of its own before it. */
    int err = job_loop_close(&loop, 4 * options.stop_timeout_ns);
    if (err == 0)
        err = job_runtime_close(&runtime);
    if (err < 0 || has_left)
        _exit(EXIT_LEFT);
    return exit_code;
}
