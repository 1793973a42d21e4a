/* main.c — jobsum: SHA-256 of files and whole trees, with the output of sha256sum.
 *
 *   jobsum [-bctwz] [--quiet] [--status] [--strict] [--ignore-missing] [--tag] [--memory BYTES] [PATH…]
 *
 * Files are read by the loop and hashed on the pool, many at a time; lines come in the order of the arguments. A directory stands for all
 * regular files beneath it.
 */
#include "jobsum.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const int stopping[] = {SIGINT, SIGTERM, SIGHUP};

void *allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) {
        fputs("jobsum: memory exhausted\n", stderr);
        exit(EXIT_FAILURE);
    }
    return memory;
}

char *copy_of(const char *text, size_t len)
{
    char *copy = allocate(len + 1);
    memcpy(copy, text, len);
    return copy;
}

static void check(const char *what, int err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "jobsum: %s: %s\n", what, job_strerror(err));
    exit(EXIT_FAILURE);
}

/* Its line is out: its memory is the next one's. */
static void recycle(struct jobsum *jobsum, struct sum *sum)
{
    EVP_MD_CTX *context = sum->context;
    job_buf_free(&sum->hashed);   /* NULL, unless it failed */
    free(sum->name);
    if (sum->kind == SUM_CHECK_END) {
        free(sum->check->name);
        free(sum->check);
    }
    memset(sum, 0, sizeof *sum);
    sum->context = context;
    sum->next = jobsum->spare;
    jobsum->spare = sum;
}

static bool print_some(struct jobsum *jobsum)
{
    bool is_any = false;
    while (jobsum->first && jobsum->first->is_done && !output_is_full(jobsum)) {
        struct sum *sum = jobsum->first;
        jobsum->first = sum->next;
        if (!jobsum->first)
            jobsum->last = NULL;
        jobsum->sums--;
        output_sum(jobsum, sum);
        recycle(jobsum, sum);
        is_any = true;
    }
    return is_any;
}

static bool begin_some(struct jobsum *jobsum)
{
    bool is_any = false;
    while (!jobsum->has_ended && jobsum->sums < SUMS_MAX) {
        enum next next = source_next(jobsum);
        jobsum->has_ended = next == NEXT_END;
        if (next != NEXT_SUM)
            break;
        if (jobsum->last && jobsum->last->kind == SUM_FILE)
            sum_begin(jobsum->last);
        is_any = true;
    }
    return is_any;
}

static void end(struct jobsum *jobsum)
{
    jobsum->is_over = true;
    progress_close(jobsum);
    job_signal_close(&jobsum->signal, NULL);
    job_file_close(&jobsum->output.file, NULL);
}

void jobsum_pump(struct jobsum *jobsum)
{
    if (jobsum->is_pumping || jobsum->signal_number || jobsum->is_over)
        return;   /* it is called again below, or all is over */
    jobsum->is_pumping = true;
    bool goes_on = true;
    while (goes_on) {
        goes_on = begin_some(jobsum);
        goes_on = print_some(jobsum) || goes_on;
    }
    jobsum->is_pumping = false;
    output_flush(jobsum);
    if (jobsum->has_ended && !jobsum->first && output_is_idle(jobsum))
        end(jobsum);
}

static void interrupted(struct job_signal *handle, int number)
{
    struct jobsum *jobsum = job_container_of(handle, struct jobsum, signal);
    jobsum->signal_number = number;
    job_loop_stop(jobsum->loop);
}

/* The lines that are being written are written; then we end as if nobody had caught the signal. */
_Noreturn static void end_by_signal(struct jobsum *jobsum)
{
    sigset_t set;
    progress_hide(jobsum);
    if (jobsum->output.is_writing)
        (void)job_loop_run(jobsum->loop);   /* until was_written() stops it */
    sigemptyset(&set);
    sigaddset(&set, jobsum->signal_number);
    signal(jobsum->signal_number, SIG_DFL);
    raise(jobsum->signal_number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + jobsum->signal_number);
}

/* As many as files may be open. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);   /* else with fewer */
    }
}

static void open_all(struct jobsum *jobsum)
{
    const struct options *options = jobsum->options;
    struct job_runtime_options runtime_options = {
        .name = "jobsum", .memory_limit_bytes = options->memory_bytes, .log = job_log_stderr, .log_arg = (void *)"jobsum"};
    struct job_loop_options loop_options = {.receive_slots = 4, .receive_slot_bytes = 4096};   /* there is nothing to receive */
    struct job_pool_options pool_options = {.name = "sha256"};
    check("signals", job_signals_block(stopping, sizeof stopping / sizeof stopping[0]));
    check("runtime", job_runtime_open(&jobsum->runtime, &runtime_options));
    check("loop", job_loop_open(jobsum->runtime, &jobsum->loop, &loop_options));
    check("pool", job_pool_open(jobsum->runtime, &jobsum->pool, &pool_options));
    check("signals", job_signal_open(jobsum->loop, &jobsum->signal, stopping, sizeof stopping / sizeof stopping[0],
                                     interrupted));
    output_open(jobsum);
    progress_open(jobsum);
    source_open(jobsum);
}

static void start(struct job_call *call)
{
    jobsum_pump(call->data);
}

static int run(const struct options *options)
{
    struct jobsum jobsum = {.options = options, .sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)};
    struct job_call call = {.run = start, .data = &jobsum};
    if (!jobsum.sha256)
        return EXIT_FAILURE;
    raise_descriptors();
    open_all(&jobsum);
    check("loop", job_loop_call(jobsum.loop, &call));
    check("loop", job_loop_run(jobsum.loop));
    if (jobsum.signal_number)
        end_by_signal(&jobsum);
    if (!jobsum.is_over)
        abort();   /* who waits for memory waits for somebody: a bug, and sums would be missing */
    source_close(&jobsum);
    for (struct sum *sum = jobsum.spare, *next; sum; sum = next) {
        next = sum->next;
        sum_forget(sum);
    }
    check("loop", job_loop_close(&jobsum.loop, 0));
    check("pool", job_pool_close(&jobsum.pool));
    output_close(&jobsum);
    bool is_well = standard_end(&jobsum);
    check("runtime", job_runtime_close(&jobsum.runtime));
    EVP_MD_free((EVP_MD *)jobsum.sha256);
    return jobsum.has_failed || !is_well ? EXIT_FAILURE : EXIT_SUCCESS;
}

enum { OPTION_QUIET = 256, OPTION_STATUS, OPTION_STRICT, OPTION_IGNORE, OPTION_TAG, OPTION_MEMORY, OPTION_HELP,
       OPTION_VERSION };

_Noreturn static void help(void)
{
    puts("Usage: jobsum [OPTION]... [PATH]...\n"
         "Print or check SHA-256 checksums of files, and of all files in directories.\n"
         "With no PATH, or when it is -, read standard input.\n\n"
         "  -b, --binary, -t, --text, --tag, -z, --zero   how lines look, as in sha256sum\n"
         "  -c, --check        read checksums from the PATHs and check them\n"
         "      --memory N     bytes that may be read and not yet hashed, with K, M or G (default 64M)\n\n"
         "With --check:\n"
         "      --ignore-missing, --quiet, --status, --strict, -w, --warn   as in sha256sum");
    standard_exit();
}

_Noreturn static void version(void)
{
    printf("jobsum (libjob) %s\n", job_version());
    standard_exit();
}

_Noreturn static void usage(void)
{
    fputs("Try 'jobsum --help' for more information.\n", stderr);
    exit(EXIT_FAILURE);
}

_Noreturn static void refuse(const char *why)
{
    fprintf(stderr, "jobsum: %s\n", why);
    usage();
}

static size_t memory_of(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long bytes = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
    end += shift > 0;
    if (errno || end == text || *end || bytes > (1ULL << 40) >> shift || bytes << shift < MEMORY_LEAST)
        refuse("--memory: at least 8M, at most 1024G");
    return (size_t)(bytes << shift);
}

static void must_check(const struct options *options, bool is_given, const char *option)
{
    char text[100];
    (void)snprintf(text, sizeof text, "the --%s option is meaningful only when verifying checksums", option);
    if (is_given && !options->checks)
        refuse(text);
}

static void check_options(const struct options *options, int mode)
{
    if (options->is_tag && mode == 't')
        refuse("--tag does not support --text mode");
    if (options->ends_with_zero && options->checks)
        refuse("the --zero option is not supported when verifying checksums");
    if (options->is_tag && options->checks)
        refuse("the --tag option is meaningless when verifying checksums");
    if (mode && options->checks)
        refuse("the --binary and --text options are meaningless when verifying checksums");
    must_check(options, options->ignores_missing, "ignore-missing");
    must_check(options, options->is_status_only, "status");
    must_check(options, options->warns, "warn");
    must_check(options, options->is_quiet, "quiet");
    must_check(options, options->is_strict, "strict");
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"binary", no_argument, NULL, 'b'},          {"tag", no_argument, NULL, OPTION_TAG},
        {"text", no_argument, NULL, 't'},            {"check", no_argument, NULL, 'c'},
        {"warn", no_argument, NULL, 'w'},            {"zero", no_argument, NULL, 'z'},
        {"quiet", no_argument, NULL, OPTION_QUIET},  {"status", no_argument, NULL, OPTION_STATUS},
        {"strict", no_argument, NULL, OPTION_STRICT}, {"ignore-missing", no_argument, NULL, OPTION_IGNORE},
        {"memory", required_argument, NULL, OPTION_MEMORY}, {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION}, {0},
    };
    static char *only_input[] = {(char *)"-", NULL};
    struct options options = {.memory_bytes = MEMORY_DEFAULT};
    int mode = 0;
    standard_hold(&options);
    (void)setlocale(LC_ALL, "");
    for (int c; (c = getopt_long(argc, argv, "bctwz", names, NULL)) != -1;) {
        switch (c) {
        case 'b':
        case 't': mode = c; break;
        case 'c': options.checks = true; break;
        case 'w': options.is_status_only = options.is_quiet = false; options.warns = true; break;
        case 'z': options.ends_with_zero = true; break;
        case OPTION_TAG: options.is_tag = true; mode = 'b'; break;
        case OPTION_QUIET: options.is_status_only = options.warns = false; options.is_quiet = true; break;
        case OPTION_STATUS: options.is_quiet = options.warns = false; options.is_status_only = true; break;
        case OPTION_STRICT: options.is_strict = true; break;
        case OPTION_IGNORE: options.ignores_missing = true; break;
        case OPTION_MEMORY: options.memory_bytes = memory_of(optarg); break;
        case OPTION_HELP: help();
        case OPTION_VERSION: version();
        default: usage();
        }
    }
    check_options(&options, options.is_tag && mode == 'b' ? 0 : mode);
    options.is_binary = mode == 'b';
    options.paths = optind < argc ? argv + optind : only_input;
    return run(&options);
}
