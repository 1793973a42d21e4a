/* reader.c — a file in order: reads at the next offsets are in flight, and those that have ended are told, the oldest first.
 *
 *      idle ──start──▶ reading ──a short read, an error, a stop──▶ ending ──nothing in flight, all told──▶ idle, `end`
 *
 * The reads are a ring of `depth` places: started at one end, told at the other. All callbacks come from reader_run(), which runs after a
 * read has ended and from a mail at the end of the turn; whatever the user calls only notes what he wants. So the reader is never touched
 * behind a callback that may have freed it: that is `end` alone, and nothing comes after it.
 *
 * Where the file ends, nobody says but a read that is short. Reads ahead go no further than the size that the file had when we looked
 * last; beyond it there is one read at a time, which finds the end or that the file has grown. What lies behind a short read is not told
 * even if a read ahead has found some: the file had ended there when it was looked at, and a gap must not be closed.
 */
#include "job/reader.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/bits.h"
#include "io/file.h"
#include "io/flow.h"
#include "io/memory_wait.h"
#include "memory/arena.h"
#include "memory/owner.h"
#include "memory/slot.h"

enum {
    LEAVES_RESERVE = 4,            /* an arena that has so many chunks beside its reserve is large enough to leave that */
    PROBE_BYTES = 4096,            /* behind the size that the file says it has; also of files of /proc, which say none */
    DIRECT_BYTES = 4096,           /* no device has larger blocks */
};

enum { READER_IDLE, READER_READING, READER_ENDING };

/* job_reader.job_flags */
enum {
    READER_PAUSED = 1,
    READER_STOPPED = 2,     /* nothing more is told */
    READER_STREAM = 4,      /* there are no offsets, or they are the descriptor's own */
    READER_DIRECT = 8,
    READER_MAIL = 16,       /* `job_later` is queued */
    READER_WAITS_ROOM = 32, /* for a thread: the task of the refused read waits */
};

/* job_reader_read.job_state */
enum { READ_FREE, READ_IN_FLIGHT, READ_DONE };

static struct file_flow *flow_of(struct job_reader *reader)
{
    return (struct file_flow *)reader->job_flow;
}

static struct memory_wait *wait_of(struct job_reader *reader)
{
    return (struct memory_wait *)reader->job_wait;
}

static struct job_loop *loop_of(const struct job_reader *reader)
{
    return reader->job_file->handle.job_loop;
}

static bool has(const struct job_reader *reader, uint32_t flag)
{
    return (reader->job_flags & flag) != 0;
}

static bool reader_run(struct job_reader *reader);

static void run_later(struct job_mail *mail)
{
    struct job_reader *reader = container_of(mail, struct job_reader, job_later);
    reader->job_flags &= ~(uint32_t)READER_MAIL;
    (void)reader_run(reader);
}

static void later(struct job_reader *reader)
{
    if (has(reader, READER_MAIL))
        return;
    reader->job_flags |= READER_MAIL;
    reader->job_later.job_deliver = run_later;
    loop_defer_mail(loop_of(reader), &reader->job_later);
}

static struct job_reader_read *oldest(struct job_reader *reader)
{
    return &reader->job_reads[reader->job_first];
}

static struct job_reader_read *next_free(struct job_reader *reader)
{
    return &reader->job_reads[(reader->job_first + reader->job_count) % reader->job_depth];
}

/* No more reads are started; those in flight need not go on. */
static void begin_end(struct job_reader *reader, int status)
{
    if (reader->job_state == READER_ENDING)
        return;
    reader->job_state = READER_ENDING;
    reader->job_status = status;
    memory_wait_forget(wait_of(reader));
    for (unsigned i = 0; i < reader->job_depth; i++) {
        if (reader->job_reads[i].job_state == READ_IN_FLIGHT)
            (void)job_file_cancel(&reader->job_reads[i].job_op);   /* its end comes from a turn */
    }
}

static void file_closes(struct file_flow *flow)
{
    struct job_reader *reader = (struct job_reader *)((char *)flow - offsetof(struct job_reader, job_flow));
    reader->job_flags = (reader->job_flags | READER_STOPPED) & ~(uint32_t)READER_WAITS_ROOM;   /* close has ended that wait */
    begin_end(reader, -ECANCELED);
    reader->job_status = -ECANCELED;
    loop_unstall(loop_of(reader));   /* perhaps its mail */
    later(reader);
}

static void was_read(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct job_reader_read *read = job_container_of(op, struct job_reader_read, job_op);
    struct job_reader *reader = op->data;
    read->job_state = READ_DONE;
    read->job_status = status;
    read->job_buf = job_buf_take(buf);
    owner_pass(read->job_buf, BUF_CODE, BUF_QUEUE);
    reader->job_in_flight--;
    (void)reader_run(reader);
}

static void memory_came(struct memory_wait *wait)
{
    later((struct job_reader *)((char *)wait - offsetof(struct job_reader, job_wait)));
}

static void room_came(struct job_task *task)
{
    struct job_file_op *op = job_container_of(task, struct job_file_op, job_task);
    struct job_reader *reader = op->data;
    reader->job_flags &= ~(uint32_t)READER_WAITS_ROOM;
    (void)reader_run(reader);
}

/* How many bytes the next read asks for; 0: none may be started now. */
static size_t next_len(struct job_reader *reader)
{
    if (has(reader, READER_STREAM))
        return (size_t)min_size(reader->job_chunk, reader->job_end - reader->job_offset);
    if (reader->job_offset >= reader->job_size) {
        struct statx status;
        if (reader->job_count > 0)
            return 0;
        if (job_file_stat(reader->job_file, &status) == 0 && S_ISREG(status.stx_mode))
            reader->job_size = status.stx_size;   /* else the read says what is wrong */
    }
    uint64_t len = PROBE_BYTES;
    if (reader->job_offset < reader->job_size)
        len = reader->job_size - reader->job_offset + 1;   /* one more shows that it is the end */
    len = min_size(len, reader->job_chunk);
    if (has(reader, READER_DIRECT))
        len = round_up(len, DIRECT_BYTES);
    return (size_t)min_size(len, reader->job_end - reader->job_offset);
}

/* 0: what refused the read passes, and we are called then. */
static int wait_for_room(struct job_reader *reader, struct job_reader_read *read)
{
    if (reader->job_in_flight > 0)
        return 0;   /* its end tries again */
    int waits = flow_wait_for_room(&read->job_op, room_came);
    if (waits < 0)
        return waits;
    if (waits == FLOW_WAITS_ROOM) {
        reader->job_flags |= READER_WAITS_ROOM;
    } else if (!has(reader, READER_MAIL)) {
        reader->job_flags |= READER_MAIL;
        reader->job_later.job_deliver = run_later;
        loop_stall_mail(loop_of(reader), &reader->job_later);
    }
    return 0;
}

/* As receive rings do, readers leave the arena's reserve to those who work on what has been read; but not where the arena is so small that
 * they would never get anything. -ENOMEM: *refused_bytes were not spare, or it is UINT64_MAX. */
static int alloc_chunk(struct job_arena *arena, size_t len, const struct job_buf_options *options, struct job_buf **buf,
                       uint64_t *refused_bytes)
{
    uint64_t reserve = load_relaxed(&arena->reserve);   /* a bound: orders nothing */
    bool is_large = arena->limit > reserve && arena->limit - reserve >= LEAVES_RESERVE * len;
    size_t needed = max_size(len, slot_class_bytes(0));
    bool is_refused = is_large && arena_spare(arena) < needed;
    *refused_bytes = is_refused ? needed : UINT64_MAX;
    return is_refused ? -ENOMEM : job_buf_alloc(arena, len, options, buf);
}

/* False: not now. What asked for memory is called when there is some; meanwhile a free read may be told and then try again. */
static bool allocate(struct job_reader *reader, size_t len, struct job_buf **buf, int *err)
{
    struct job_buf_options options = {.page_aligned = has(reader, READER_DIRECT)};
    struct job_arena *arena = loop_of(reader)->arena;
    uint64_t refused_bytes;
    *err = alloc_chunk(arena, len, &options, buf, &refused_bytes);
    if (*err != -ENOMEM)
        return true;
    if (reader->job_count > 0)
        return false;
    memory_wait(loop_of(reader), wait_of(reader), refused_bytes);
    *err = alloc_chunk(arena, len, &options, buf, &refused_bytes);   /* once more: it may have come before we waited */
    return *err != -ENOMEM;
}

/* False: no more can be started now. */
static bool start_read(struct job_reader *reader)
{
    struct job_reader_read *read = next_free(reader);
    struct job_buf *buf = NULL;
    size_t len = next_len(reader);
    int err;
    if (len == 0 || !allocate(reader, len, &buf, &err))
        return false;
    uint64_t offset = has(reader, READER_STREAM) ? JOB_FILE_CURRENT : reader->job_offset;
    if (err == 0)
        err = job_file_read(reader->job_file, &read->job_op, &buf, len, offset, was_read);
    job_buf_free(&buf);   /* NULL, unless it was not taken */
    if (err == -EAGAIN) {
        err = wait_for_room(reader, read);
        if (err == 0)
            return false;
    }
    reader->job_count++;
    reader->job_offset += len;
    read->job_wanted = len;
    read->job_state = err == 0 ? READ_IN_FLIGHT : READ_DONE;   /* a failure is told in its turn */
    read->job_status = err;
    reader->job_in_flight = (uint8_t)(reader->job_in_flight + (err == 0));
    if (err < 0)
        later(reader);   /* perhaps nothing is in flight whose end would tell it */
    return err == 0;
}

static void start_some(struct job_reader *reader)
{
    unsigned depth = has(reader, READER_STREAM) ? 1 : reader->job_depth;
    if (has(reader, READER_WAITS_ROOM))
        return;
    while (reader->job_state == READER_READING && reader->job_count < depth && reader->job_offset < reader->job_end &&
           start_read(reader)) {
    }
}

/* The oldest read has ended: its bytes, and whether the file ends with them. */
static void tell_read(struct job_reader *reader)
{
    struct job_reader_read *read = oldest(reader);
    struct job_buf *buf = job_buf_take(&read->job_buf);
    size_t len = job_buf_len(buf);
    owner_pass(buf, BUF_QUEUE, BUF_CODE);
    read->job_state = READ_FREE;
    reader->job_first = (uint8_t)((reader->job_first + 1U) % reader->job_depth);
    reader->job_count--;
    if (has(reader, READER_STREAM))
        reader->job_offset -= read->job_wanted - len;   /* it was not to be known how many would come */
    bool is_short = has(reader, READER_STREAM) ? len == 0 : len < read->job_wanted;
    if (read->job_status < 0)
        begin_end(reader, read->job_status);
    else if (is_short || (reader->job_count == 0 && reader->job_offset >= reader->job_end))
        begin_end(reader, 0);
    reader->job_told += len;
    if (len > 0)
        LOOP_CALL(loop_of(reader), reader->job_events->data, (reader, &buf));
    job_buf_free(&buf);
}

/* Those that nobody will be told of any more. */
static void drop_reads(struct job_reader *reader)
{
    for (unsigned i = 0; i < reader->job_depth; i++) {
        struct job_reader_read *read = &reader->job_reads[i];
        if (read->job_state != READ_DONE)
            continue;
        owner_pass(read->job_buf, BUF_QUEUE, BUF_CODE);
        job_buf_free(&read->job_buf);
        read->job_state = READ_FREE;
    }
}

/* The last touch. */
static void tell_end(struct job_reader *reader)
{
    struct job_file *file = reader->job_file;
    struct job_loop *loop = loop_of(reader);
    for (unsigned i = 0; i < reader->job_depth; i++)
        (void)job_task_fini(&reader->job_reads[i].job_op.job_task);   /* a wait for room; else there is nothing to end */
    flow_end(flow_of(reader));
    reader->job_state = READER_IDLE;
    LOOP_CALL(loop, reader->job_events->end, (reader, reader->job_status));
    loop_let_go(loop);
    handle_release(&file->handle);
}

/* False: the reader may be gone. */
static bool reader_run(struct job_reader *reader)
{
    while (reader->job_state == READER_READING && !has(reader, READER_PAUSED) && reader->job_count > 0 &&
           oldest(reader)->job_state == READ_DONE) {
        tell_read(reader);
        start_some(reader);
    }
    start_some(reader);
    if (reader->job_state != READER_ENDING)
        return true;
    drop_reads(reader);
    bool is_to_wait = reader->job_in_flight > 0 || has(reader, READER_MAIL) ||
                      (has(reader, READER_PAUSED) && !has(reader, READER_STOPPED));
    if (is_to_wait)
        return true;
    tell_end(reader);
    return false;
}

/* What a buf for so many bytes takes from its arena. */
static size_t taken_by(size_t chunk)
{
    unsigned class = slot_class_for(chunk);
    return class == SLOT_RUN ? round_up(chunk, CHUNK_BYTES) : slot_class_bytes(class);
}

/* The wanted one; or the default, or what the largest slot holds that the arena may ever have: 0: none. */
static size_t chunk_of(struct job_arena *arena, bool is_direct, const struct job_reader_options *options)
{
    size_t most = arena_most(arena);
    size_t chunk = is_direct ? READER_CHUNK_DIRECT_DEFAULT : READER_CHUNK_DEFAULT;
    if (options->chunk_bytes) {
        chunk = is_direct ? round_up(options->chunk_bytes, DIRECT_BYTES) : options->chunk_bytes;
        return taken_by(chunk) <= most ? chunk : 0;
    }
    while (taken_by(chunk) > most && chunk > 0)
        chunk = slot_class_for(chunk) > 0 ? slot_class_bytes(slot_class_for(chunk) - 1) : 0;
    return chunk;
}

static int check(const struct job_reader *reader, const struct job_file *file, const struct job_reader_options *options,
                 const struct job_reader_events *events)
{
    bool is_current = options->offset == JOB_FILE_CURRENT;
    if (!reader || !events || !events->data || !events->end || options->depth > JOB_READER_DEPTH_MAX)
        return -EINVAL;
    if (!is_current && (options->offset >= INT64_MAX || options->len > INT64_MAX - options->offset))
        return -EINVAL;
    int err = flow_check(file);
    if (err < 0)
        return err;
    if (options->chunk_bytes > TOTAL_BYTES_MAX)
        return -EINVAL;
    return reader->job_state == READER_IDLE ? 0 : -EBUSY;
}

static uint32_t flags_of(const struct job_file *file, const struct job_reader_options *options)
{
    bool is_stream = !(file->job_flags & FILE_SEEKABLE) || options->offset == JOB_FILE_CURRENT;
    return (is_stream ? READER_STREAM : 0U) | (file->job_flags & FILE_DIRECT ? READER_DIRECT : 0U);
}

/* Of a block device the size is not known: reads ahead find its end. */
static uint64_t size_of(const struct job_file *file)
{
    struct statx status;
    bool is_file = job_file_stat(file, &status) == 0 && S_ISREG(status.stx_mode);
    return is_file ? status.stx_size : INT64_MAX;
}

int job_reader_start(struct job_reader *reader, struct job_file *file, const struct job_reader_options *options,
                     const struct job_reader_events *events)
{
    static const struct job_reader_options defaults = {0};
    options = options ? options : &defaults;
    int err = check(reader, file, options, events);
    if (err < 0)
        return err;
    uint32_t flags = flags_of(file, options);
    size_t chunk = chunk_of(file->handle.job_loop->arena, (flags & READER_DIRECT) != 0, options);
    if (chunk == 0)
        return -EINVAL;
    void *data = reader->data;
    *reader = (struct job_reader){
        .data = data, .job_file = file, .job_events = events, .job_flags = flags, .job_chunk = chunk,
    };
    reader->job_depth = (uint8_t)(options->depth ? options->depth : READER_DEPTH_DEFAULT);
    reader->job_offset = options->offset == JOB_FILE_CURRENT ? 0 : options->offset;
    reader->job_end = options->len ? reader->job_offset + options->len : INT64_MAX;
    reader->job_size = has(reader, READER_STREAM) ? 0 : size_of(file);
    for (unsigned i = 0; i < JOB_READER_DEPTH_MAX; i++)
        reader->job_reads[i].job_op.data = reader;
    list_init(&wait_of(reader)->node);
    wait_of(reader)->came = memory_came;
    reader->job_state = READER_READING;
    flow_begin(flow_of(reader), file, file_closes);
    loop_keep_alive(loop_of(reader));   /* also while it is paused: whoever paused it will resume */
    later(reader);
    return 0;
}

/* Is it reading, and this the thread that may say so? */
static bool is_ours(const struct job_reader *reader, const char *call)
{
    return reader && reader->job_state != READER_IDLE && handle_is_here(&reader->job_file->handle, call);
}

void job_reader_pause(struct job_reader *reader)
{
    if (is_ours(reader, "job_reader_pause"))
        reader->job_flags |= READER_PAUSED;
}

void job_reader_resume(struct job_reader *reader)
{
    if (!is_ours(reader, "job_reader_resume") || !has(reader, READER_PAUSED))
        return;
    reader->job_flags &= ~(uint32_t)READER_PAUSED;
    loop_unstall(loop_of(reader));   /* its mail may wait there for room, and what was read needs none */
    later(reader);
}

bool job_reader_is_paused(const struct job_reader *reader)
{
    return reader && reader->job_state != READER_IDLE && has(reader, READER_PAUSED);
}

void job_reader_stop(struct job_reader *reader)
{
    if (is_ours(reader, "job_reader_stop"))
        file_closes(flow_of(reader));
}

uint64_t job_reader_told(const struct job_reader *reader)
{
    return reader ? reader->job_told : 0;
}
