/* hash.c — one file: what is in memory is read and hashed by the pool, the rest is read ahead by the loop; small files many to a task.
 *
 *      open ──▶ task: read a piece, hash it, and the next … ──▶ the end ───────────────────▶ closed: done
 *                 └── not in memory ──▶ reader ──▶ a buf ──▶ task ──▶ … ──▶ its end ────────▲
 *                                          ▲___________________|   read ahead meanwhile
 *
 * Bytes that a pool thread copies out of the kernel are in its core's cache when it hashes them; those that the loop reads are in
 * another's.
 *
 * Short of memory or descriptors, a sum waits until somebody has given some back: another sum, a directory that was listed, the output.
 * What was given back while it was being refused counts as well, or the last one would be told an error beside free memory. It fails when
 * nobody has anything, not even directories that were listed ahead of their turn, and nothing has come back since it was tried.
 */
#include "jobsum.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void go_on(struct sum *sum);
static void open_file(struct sum *sum);

static void start_input(struct sum *sum)
{
    sum->jobsum->in_flight++;   /* not before: who waits for standard input holds nothing that others may wait for */
    open_file(sum);
}

/* Who comes second finds standard input at its end, so the order counts. */
static void leave_input(struct sum *sum)
{
    struct sum *next = sum->next_input;
    if (sum->jobsum->input != sum)
        return;
    sum->next_input = NULL;
    sum->jobsum->input = next;
    if (next)
        start_input(next);
}

static bool enter_input(struct sum *sum)
{
    struct sum **last = &sum->jobsum->input;
    if (strcmp(sum->name, "-") != 0 || *last == sum)
        return true;
    bool is_first = !*last;
    while (*last)
        last = &(*last)->next_input;
    *last = sum;
    return is_first;
}

static void closed(struct job_file *file)
{
    struct sum *sum = job_container_of(file, struct sum, file);
    struct jobsum *jobsum = sum->jobsum;
    sum->is_done = true;
    jobsum->in_flight--;
    jobsum->progress.files++;
    leave_input(sum);
    sums_gave_back(jobsum);
    jobsum_pump(jobsum);
}

static void finish(struct sum *sum, int error)
{
    if (error && !sum->error)
        sum->error = error;
    job_file_close(&sum->file, closed);   /* after what is still read or hashed */
}

static unsigned starving(const struct jobsum *jobsum)
{
    unsigned count = 0;
    for (const struct sum *sum = jobsum->starved; sum; sum = sum->next_starved)
        count++;
    return count;
}

bool is_shortage(int err)
{
    return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EAGAIN;
}

bool sums_may_wait(const struct jobsum *jobsum, unsigned own)
{
    return jobsum->in_flight > own + starving(jobsum) || jobsum->listing > 0 || jobsum->output.is_writing;
}

/* False: nobody has anything, and nothing has come back since it was tried. */
static bool starve(struct sum *sum)
{
    struct jobsum *jobsum = sum->jobsum;
    struct sum **last = &jobsum->starved;
    bool may_wait = sums_may_wait(jobsum, 1);
    bool is_late = sum->tried_at != jobsum->given_back || (!may_wait && source_give_back(jobsum));
    if (!is_late && !may_wait)
        return false;
    while (*last)
        last = &(*last)->next_starved;
    *last = sum;
    if (is_late)
        sums_feed_later(jobsum);
    return true;
}

static void feed(struct job_call *call)
{
    struct jobsum *jobsum = call->data;
    struct sum *sum = jobsum->starved;
    jobsum->starved = NULL;
    while (sum) {
        struct sum *next = sum->next_starved;
        sum->next_starved = NULL;
        go_on(sum);   /* it may starve again */
        sum = next;
    }
    source_feed(jobsum);
    jobsum_pump(jobsum);
}

void sums_feed_later(struct jobsum *jobsum)
{
    jobsum->feed.run = feed;
    jobsum->feed.data = jobsum;
    (void)job_loop_defer(jobsum->loop, &jobsum->feed);   /* it may wait already */
}

void sums_gave_back(struct jobsum *jobsum)
{
    jobsum->given_back++;
    sums_feed_later(jobsum);
}

/* What has been read for it. */
static int digest_given(struct sum *sum)
{
    int ok = 1;
    for (const struct job_buf *at = sum->hashed; at && ok; at = job_buf_next(at))
        ok = EVP_DigestUpdate(sum->context, job_buf_data(at), job_buf_segment_len(at));
    return ok ? 0 : -ENOMEM;   /* what else OpenSSL may lack */
}

/* What the kernel has in memory, as far as that goes, or for long enough. */
static int digest_cached(struct sum *sum, struct job_task *task)
{
    struct job_buf_options options = {.page_aligned = true};
    struct job_buf *buf = NULL;
    int n = job_buf_alloc(job_runtime_arena(sum->jobsum->runtime), HOT_BYTES, &options, &buf);
    for (size_t done = 0; n >= 0 && done < HOT_TASK_BYTES && !sum->is_last && !job_task_is_cancelled(task);) {
        (void)job_buf_truncate(buf, 0);
        n = job_file_read_now(&sum->file, buf, HOT_BYTES, sum->offset);
        sum->is_last = n == 0;
        if (n > 0 && !EVP_DigestUpdate(sum->context, job_buf_data(buf), (size_t)n))
            n = -ENOMEM;
        if (n > 0) {
            done += (size_t)n;
            sum->offset += (uint64_t)n;
        }
    }
    job_buf_free(&buf);
    return n < 0 ? n : 0;
}

static int digest_end(struct sum *sum)
{
    return EVP_DigestFinal_ex(sum->context, sum->digest, NULL) ? 0 : -ENOMEM;
}

static void digest(struct job_task *task)   /* a pool thread; one at a time of each sum */
{
    struct sum *sum = job_container_of(task, struct sum, task);
    int err = sum->hashed ? digest_given(sum) : digest_cached(sum, task);
    if (err == 0 && sum->is_last)
        err = digest_end(sum);
    if (err < 0 && sum->hashed)
        sum->error = -err;
    else if (err < 0)
        job_task_set_status(task, err);   /* of one that reads by itself: perhaps it goes on otherwise */
}

/* Each size of slot that is in use may keep a chunk from being cut anew for another: in a small arena there are three sizes and no more. */
static size_t largest_buf(const struct jobsum *jobsum)
{
    return jobsum->options->memory_bytes < MEMORY_PLENTY ? LOAD_BYTES : NOW_BYTES;
}

/* A whole file, if the kernel has all of it in memory. */
static int digest_small(struct sum *sum)
{
    struct job_path path = {.name = sum->name};
    struct job_buf *buf = NULL;
    int err = job_path_load_now(job_runtime_arena(sum->jobsum->runtime), &path, largest_buf(sum->jobsum), &buf);
    if (err == 0 && !EVP_DigestUpdate(sum->context, job_buf_data(buf), job_buf_len(buf)))
        err = -ENOMEM;
    if (err == 0)
        err = digest_end(sum);
    sum->offset = job_buf_len(buf);
    job_buf_free(&buf);
    return err;
}

static void digest_batch(struct job_task *task)   /* a pool thread */
{
    for (struct sum *sum = job_container_of(task, struct sum, task); sum; sum = sum->next_batched) {
        int err = sum->hashed ? digest_given(sum) : digest_small(sum);
        if (err == 0 && sum->hashed)
            err = digest_end(sum);
        sum->batch_error = err;
    }
}

static void was_hashed(struct sum *sum)
{
    sum->offset += job_buf_len(sum->hashed);
    job_buf_free(&sum->hashed);
    sum->jobsum->progress.bytes += sum->offset - sum->counted;
    sum->counted = sum->offset;
}

static void start_reader(struct sum *sum);

static void digested(struct job_task *task, int status)
{
    struct sum *sum = job_container_of(task, struct sum, task);
    struct jobsum *jobsum = sum->jobsum;
    bool was_given = sum->hashed != NULL;
    was_hashed(sum);
    if (job_handle_is_closing(&sum->file.handle))
        return;
    if (status == -EAGAIN)
        start_reader(sum);
    else if (status == -ENOMEM && !was_given && starve(sum))
        return;
    else if (status < 0 || sum->error || sum->is_last)
        finish(sum, -status);
    else if (was_given)
        job_reader_resume(&sum->reader);
    else
        go_on(sum);
    sums_gave_back(jobsum);
}

static void submit(struct job_task *task)
{
    struct sum *sum = job_container_of(task, struct sum, task);
    sum->tried_at = sum->jobsum->given_back;
    int err = job_submit(sum->jobsum->pool, task, &sum->file.handle);
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit);
    if (err < 0)
        finish(sum, -err);
}

static void had_data(struct job_reader *reader, struct job_buf **in)
{
    struct sum *sum = job_container_of(reader, struct sum, reader);
    job_reader_pause(reader);   /* one buf at a time with the task; the next ones wait here */
    sum->hashed = job_buf_take(in);
    submit(&sum->task);
}

static void had_all(struct job_reader *reader, int status)
{
    struct sum *sum = job_container_of(reader, struct sum, reader);
    if (job_handle_is_closing(&sum->file.handle))
        return;
    if (status == 0 && !EVP_DigestFinal_ex(sum->context, sum->digest, NULL))
        status = -ENOMEM;
    finish(sum, -status);
}

static void start_reader(struct sum *sum)
{
    static const struct job_reader_events events = {had_data, had_all};
    struct job_reader_options options = {.offset = sum->is_stream ? JOB_FILE_CURRENT : sum->offset,
                                         .chunk_bytes = largest_buf(sum->jobsum)};
    int err = job_reader_start(&sum->reader, &sum->file, &options, &events);
    if (err < 0)
        finish(sum, -err);
}

static void go_on(struct sum *sum)
{
    if (sum->is_done || job_handle_is_closing(&sum->file.handle))
        return;
    if (!job_handle_loop(&sum->file.handle))
        open_file(sum);
    else
        submit(&sum->task);
}

static void begin_reading(struct sum *sum)
{
    struct statx status;
    int err = job_file_stat(&sum->file, &status);
    if (err == 0 && S_ISDIR(status.stx_mode))
        err = -EISDIR;
    if (err < 0) {
        finish(sum, -err);
        return;
    }
    sum->is_stream = sum->is_stream || !(S_ISREG(status.stx_mode) || S_ISBLK(status.stx_mode));
    sum->jobsum->progress.known_bytes += S_ISREG(status.stx_mode) ? status.stx_size : 0;
    if (sum->is_stream)
        start_reader(sum);
    else
        go_on(sum);
}

static void end_unread(struct sum *sum, int err)
{
    sum->error = -err;
    sum->is_done = true;
    sum->jobsum->in_flight--;
    leave_input(sum);
    sums_gave_back(sum->jobsum);   /* others may have waited for it; it also prints it */
}

static void was_refused(struct job_file *file)
{
    struct sum *sum = job_container_of(file, struct sum, file);
    sum->file = (struct job_file){0};   /* to be opened anew */
    if (!starve(sum))
        end_unread(sum, sum->refusal);
}

static void opened(struct job_file *file, int status)
{
    struct sum *sum = job_container_of(file, struct sum, file);
    sum->refusal = status;
    if (is_shortage(status))
        job_file_close(file, was_refused);
    else if (status < 0)
        finish(sum, -status);
    else
        begin_reading(sum);
}

static int open_standard_input(struct sum *sum)
{
    int err = standard_input(sum->jobsum, &sum->file);
    if (err < 0)
        return err;
    sum->is_stream = true;
    begin_reading(sum);
    return 0;
}

static void open_file(struct sum *sum)
{
    struct job_file_options options = {.path = {.name = sum->name}, .flags = O_RDONLY | O_NOCTTY};
    sum->tried_at = sum->jobsum->given_back;
    (void)job_task_init(&sum->task, sum->jobsum->pool, digest, digested);   /* it may have been a batch's */
    int err = strcmp(sum->name, "-") == 0 ? open_standard_input(sum)
                                          : job_file_open(sum->jobsum->loop, &sum->file, &options, opened);
    if (err < 0 && !(is_shortage(err) && starve(sum)))
        end_unread(sum, err);
}

/* Its digest is there, or why not. */
static void end_loaded(struct sum *sum)
{
    sum->is_done = true;
    sum->jobsum->in_flight--;
    sum->jobsum->progress.files++;
}

static void load(struct sum *sum);

static void batch_digested(struct job_task *task, int status)
{
    struct sum *first = job_container_of(task, struct sum, task);
    struct jobsum *jobsum = first->jobsum;
    for (struct sum *sum = first, *next; sum; sum = next) {
        next = sum->next_batched;
        sum->next_batched = NULL;
        bool was_given = sum->hashed != NULL;
        int err = status < 0 ? status : sum->batch_error;
        if (err == 0)
            jobsum->progress.known_bytes += sum->offset + job_buf_len(sum->hashed);
        was_hashed(sum);
        if (err < 0 && !was_given) {
            load(sum);   /* as if it were cold, and so that it is told what is wrong */
            continue;
        }
        sum->error = -err;
        end_loaded(sum);
    }
    sums_gave_back(jobsum);
    jobsum_pump(jobsum);
}

static void submit_batch(struct job_task *task)
{
    struct sum *first = job_container_of(task, struct sum, task);
    struct jobsum *jobsum = first->jobsum;
    int err = job_submit(jobsum->pool, task, &jobsum->signal.handle);
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit_batch);
    if (err < 0)
        batch_digested(task, err);
}

static void flush_batch(struct job_call *call)
{
    struct jobsum *jobsum = call->data;
    struct sum *first = jobsum->batch;
    jobsum->batch = NULL;
    jobsum->batched = 0;
    if (!first)
        return;
    (void)job_task_init(&first->task, jobsum->pool, digest_batch, batch_digested);
    submit_batch(&first->task);
}

static void add_to_batch(struct sum *sum)
{
    struct jobsum *jobsum = sum->jobsum;
    sum->next_batched = jobsum->batch;
    jobsum->batch = sum;
    jobsum->flush.run = flush_batch;
    jobsum->flush.data = jobsum;
    if (++jobsum->batched == BATCH)
        flush_batch(&jobsum->flush);
    else
        (void)job_loop_defer(jobsum->loop, &jobsum->flush);   /* it may wait already */
}

static void loaded(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct sum *sum = job_container_of(op, struct sum, op);
    struct jobsum *jobsum = sum->jobsum;
    if (status == 0) {
        sum->hashed = job_buf_take(buf);
        add_to_batch(sum);
    } else if (status == -EFBIG) {
        open_file(sum);
    } else if (!(is_shortage(status) && starve(sum))) {
        sum->error = -status;
        end_loaded(sum);
        sums_gave_back(jobsum);
        jobsum_pump(jobsum);
    }
}

/* By a thread that may sleep. */
static void load(struct sum *sum)
{
    struct job_path path = {.name = sum->name};
    sum->offset = 0;
    sum->tried_at = sum->jobsum->given_back;
    if (sum->batch_error == -EFBIG ||
        job_path_load(&sum->jobsum->signal.handle, &sum->op, &path, LOAD_BYTES, loaded) < 0)
        open_file(sum);
}

void sum_begin(struct sum *sum)
{
    struct jobsum *jobsum = sum->jobsum;
    if (!sum->context)
        sum->context = EVP_MD_CTX_new();
    if (!sum->context || !EVP_DigestInit_ex(sum->context, jobsum->sha256, NULL))
        abort();   /* OpenSSL has no memory for a context */
    if (!enter_input(sum))
        return;
    jobsum->in_flight++;
    if (sum->is_regular)
        add_to_batch(sum);
    else
        open_file(sum);
}

void sum_forget(struct sum *sum)
{
    EVP_MD_CTX_free(sum->context);
    free(sum);
}
