/* output.c — lines in the order of the arguments, whole, and at the pace of whoever reads them.
 *
 * A line is complete before it is queued, and a write goes on until all of a buf is out: who interrupts the program finds no half a line.
 */
#include "jobsum.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void say(struct jobsum *jobsum, const char *format, ...)
{
    va_list arguments;
    progress_hide(jobsum);
    fputs("jobsum: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    putc('\n', stderr);
}

void output_open(struct jobsum *jobsum)
{
    int fd = dup(STDOUT_FILENO);
    jobsum->output.is_terminal = isatty(STDOUT_FILENO);
    int err = fd < 0 ? -errno : job_file_adopt(jobsum->loop, &jobsum->output.file, fd);
    if (err < 0) {
        fprintf(stderr, "jobsum: standard output: %s\n", strerror(-err));
        exit(EXIT_FAILURE);
    }
    jobsum->output.stream = open_memstream(&jobsum->output.line, &jobsum->output.line_len);
    if (!jobsum->output.stream)
        abort();
}

void output_close(struct jobsum *jobsum)
{
    (void)fclose(jobsum->output.stream);   /* it is memory */
    free(jobsum->output.line);
    job_buf_free(&jobsum->output.lines);
}

/* Nothing more is written; standard_end() says so. */
static void fail(struct jobsum *jobsum, int err)
{
    if (jobsum->output.error)
        return;
    jobsum->output.error = -err;
    if (err != -EPIPE || !jobsum->options->ends_by_sigpipe)
        return;
    jobsum->signal_number = SIGPIPE;   /* which the ring does not send */
    job_loop_stop(jobsum->loop);
}

static void was_written(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct output *output = job_container_of(op, struct output, op);
    struct jobsum *jobsum = job_container_of(output, struct jobsum, output);
    (void)buf;
    output->is_writing = false;
    if (jobsum->signal_number) {
        job_loop_stop(jobsum->loop);
        return;
    }
    if (status < 0)
        fail(jobsum, status);
    sums_gave_back(jobsum);
    output_flush(jobsum);
    jobsum_pump(jobsum);
}

void output_flush(struct jobsum *jobsum)
{
    struct output *output = &jobsum->output;
    if (output->error)
        job_buf_free(&output->lines);
    if (output->is_writing || !output->lines)
        return;
    bool waits_for_more = jobsum->in_flight > 0 && job_buf_len(output->lines) < OUTPUT_FLUSH && !output->is_terminal &&
                          !jobsum->starved;   /* lines are memory, too */
    if (waits_for_more)
        return;
    progress_hide(jobsum);
    int err = job_file_write(&output->file, &output->op, &output->lines, JOB_FILE_CURRENT, was_written);
    output->is_writing = err == 0;
    if (err < 0 && is_shortage(err))
        sums_feed_later(jobsum);   /* too many calls wait: the next turn tries again */
    else if (err < 0)
        fail(jobsum, err);
}

bool output_is_full(const struct jobsum *jobsum)
{
    return jobsum->output.lines && job_buf_len(jobsum->output.lines) > OUTPUT_MAX;
}

bool output_is_idle(const struct jobsum *jobsum)
{
    return !jobsum->output.is_writing && (!jobsum->output.lines || jobsum->output.error);
}

/* All or nothing, so that a line is whole. */
static void queue(struct jobsum *jobsum, const char *line, size_t len)
{
    struct output *output = &jobsum->output;
    int err = 0;
    if (output->error)
        return;
    if (!output->lines)
        err = job_buf_alloc(job_runtime_arena(jobsum->runtime), 4096, NULL, &output->lines);
    if (err == 0)
        err = job_buf_write(output->lines, line, len);
    if (err < 0)
        fail(jobsum, err);
}

static void put_digest(const struct sum *sum, FILE *out)
{
    static const char digits[] = "0123456789abcdef";
    char hex[2 * DIGEST_BYTES];
    for (unsigned i = 0; i < DIGEST_BYTES; i++) {
        hex[2 * i] = digits[sum->digest[i] >> 4];
        hex[2 * i + 1] = digits[sum->digest[i] & 15];
    }
    fwrite(hex, 1, sizeof hex, out);
}

static void digest_line(const struct options *options, const struct sum *sum, FILE *out)
{
    bool escapes = !options->ends_with_zero && name_needs_escape(sum->name);
    if (escapes)
        putc('\\', out);
    if (options->is_tag)
        fputs("SHA256 (", out);
    else
        put_digest(sum, out);
    if (!options->is_tag)
        fputs(options->is_binary ? " *" : "  ", out);
    if (escapes)
        name_escape(sum->name, out);
    else
        fputs(sum->name, out);
    if (options->is_tag) {
        fputs(") = ", out);
        put_digest(sum, out);
    }
    putc(options->ends_with_zero ? '\0' : '\n', out);
}

static void check_line(const struct sum *sum, const char *verdict, FILE *out)
{
    bool escapes = strchr(sum->name, '\n') != NULL;   /* here alone, as sha256sum does */
    if (escapes)
        putc('\\', out);
    if (escapes)
        name_escape(sum->name, out);
    else
        fputs(sum->name, out);
    fprintf(out, ": %s\n", verdict);
}

static void say_why(struct jobsum *jobsum, const struct sum *sum)
{
    char *quoted = name_quoted(sum->name);
    say(jobsum, "%s: %s", quoted, strerror(sum->error));
    free(quoted);
}

static void output_checked(struct jobsum *jobsum, const struct sum *sum, FILE *out)
{
    const struct options *options = jobsum->options;
    struct check *check = sum->check;
    if (sum->error == ENOENT && options->ignores_missing)
        return;
    if (sum->error) {
        say_why(jobsum, sum);
        check->unread++;
        if (!options->is_status_only)
            check_line(sum, "FAILED open or read", out);
        return;
    }
    bool matches = memcmp(sum->digest, sum->expected, DIGEST_BYTES) == 0;
    check->has_match = check->has_match || matches;
    check->mismatched += !matches;
    if (!options->is_status_only && !(matches && options->is_quiet))
        check_line(sum, matches ? "OK" : "FAILED", out);
}

static void warn_count(struct jobsum *jobsum, uint64_t count, const char *one, const char *many)
{
    if (count > 0)
        say(jobsum, "WARNING: %llu %s", (unsigned long long)count, count == 1 ? one : many);
}

static void output_verdict(struct jobsum *jobsum, struct check *check)
{
    const struct options *options = jobsum->options;
    if (check->is_broken)
        return;
    char *quoted = name_quoted(check->name);
    if (check->proper == 0) {
        say(jobsum, "%s: no properly formatted checksum lines found", quoted);
    } else if (!options->is_status_only) {
        warn_count(jobsum, check->improper, "line is improperly formatted", "lines are improperly formatted");
        warn_count(jobsum, check->unread, "listed file could not be read", "listed files could not be read");
        warn_count(jobsum, check->mismatched, "computed checksum did NOT match", "computed checksums did NOT match");
        if (options->ignores_missing && !check->has_match)
            say(jobsum, "%s: no file was verified", quoted);
    }
    if (!check->has_match || check->mismatched || check->unread || (options->is_strict && check->improper))
        jobsum->has_failed = true;
    free(quoted);
}

void output_sum(struct jobsum *jobsum, struct sum *sum)
{
    struct output *output = &jobsum->output;
    FILE *out = output->stream;
    rewind(out);
    if (sum->kind == SUM_MESSAGE) {
        say(jobsum, "%s", sum->name);
        jobsum->has_failed = jobsum->has_failed || sum->fails;
    } else if (sum->kind == SUM_CHECK_END) {
        output_verdict(jobsum, sum->check);
    } else if (sum->check) {
        output_checked(jobsum, sum, out);
    } else if (sum->error) {
        say_why(jobsum, sum);
        jobsum->has_failed = true;
    } else {
        digest_line(jobsum->options, sum, out);
    }
    long len = ftell(out);
    if (len > 0 && fflush(out) == 0)
        queue(jobsum, output->line, (size_t)len);
}
