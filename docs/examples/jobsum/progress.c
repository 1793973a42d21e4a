/* progress.c — a line on a terminal: files, bytes, rate, and how long it will take as far as that is known. */
#include "jobsum.h"

#include <string.h>
#include <unistd.h>

static const uint64_t period_ns = 100 * JOB_MS;

static void bytes_text(char *text, size_t size, double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    for (; bytes >= 1024 && unit < 4; unit++)
        bytes /= 1024;
    (void)snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void show(struct job_timer *timer)
{
    struct progress *progress = job_container_of(timer, struct progress, timer);
    struct jobsum *jobsum = job_container_of(progress, struct jobsum, progress);
    char done[32], rate_text[32], left[32] = "";
    (void)job_timer_start(timer, period_ns);
    if (jobsum->output.is_writing && jobsum->output.is_terminal)
        return;   /* it would come between the lines that a thread is writing */
    double seconds = (double)(job_loop_now(jobsum->loop) - progress->begun_ns) / 1e9;
    double rate = seconds > 0 ? (double)progress->bytes / seconds : 0;
    bytes_text(done, sizeof done, (double)progress->bytes);
    bytes_text(rate_text, sizeof rate_text, rate);
    if (jobsum->has_ended && rate > 0 && progress->known_bytes > progress->bytes)   /* all files are open: their sizes are known */
        (void)snprintf(left, sizeof left, ", %.0f s left", (double)(progress->known_bytes - progress->bytes) / rate);
    fprintf(stderr, "\r\033[K%llu files, %s, %s/s%s", (unsigned long long)progress->files, done, rate_text, left);
    fflush(stderr);
    progress->is_shown = true;
}

void progress_hide(struct jobsum *jobsum)
{
    if (!jobsum->progress.is_shown)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    jobsum->progress.is_shown = false;
}

void progress_open(struct jobsum *jobsum)
{
    struct progress *progress = &jobsum->progress;
    if (!isatty(STDERR_FILENO) || jobsum->options->is_status_only)
        return;
    progress->begun_ns = job_loop_now(jobsum->loop);
    progress->is_open = job_timer_open(jobsum->loop, &progress->timer, show) == 0;
    if (progress->is_open)
        (void)job_timer_start(&progress->timer, period_ns);   /* what takes less shows nothing */
}

void progress_close(struct jobsum *jobsum)
{
    progress_hide(jobsum);
    if (jobsum->progress.is_open)
        job_timer_close(&jobsum->progress.timer, NULL);
}
