/* watch.c — inotify as a handle: events by entry, in the order of the kernel.
 *
 *      entry:  idle ──add──▶ ADDING (a thread looks the path up) ──added(0)──▶ WATCHED ──IN_IGNORED, remove──▶ idle
 *                               └──added(err)──▶ idle         remove: REMOVING ──added(-ECANCELED)──▶ idle
 *
 * A watch has one inotify descriptor, which does not block: the ring polls it, and the loop reads what there is, one batch a turn. An event
 * says a number, and a small table knows whose that is. The kernel may tell of an entry before the loop knows its number, since a thread
 * has added it: then the batch waits at that event until the entries in flight are known.
 *
 * Of an entry that was removed the kernel tells some more, at least IN_IGNORED, and that must not wait for others: one on a file system
 * that hangs would hold up all events. Numbers are given upwards, and none anew before all have been. So what was known when the first of
 * those in flight began, or was removed since, is nobody's: dropped. Without entries in flight all that is nobody's is.
 */
#include "job/watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "io/descriptor.h"
#include "io/file.h"

enum { ENTRY_IDLE, ENTRY_ADDING, ENTRY_REMOVING, ENTRY_WATCHED };
enum { WATCH_WAITS = 1 };   /* the batch waits for entries in flight */

static const uint32_t flags_allowed = IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_ONESHOT;

struct watch_reader {
    struct list entries[WATCH_BUCKETS];   /* by their numbers */
    int32_t newest;                       /* number that is known */
    int32_t newest_before;                /* when the first of those in flight began */
    int32_t forgotten[WATCH_FORGOTTEN];   /* removed since, or before; the oldest is replaced */
    unsigned forgotten_count;
    struct job_task closing;              /* of the descriptor, by a thread */
    size_t at, len;                       /* of what was read, what is not yet told */
    _Alignas(struct inotify_event) char bytes[WATCH_BATCH_BYTES];
};

_Static_assert(WATCH_BATCH_BYTES >= sizeof(struct inotify_event) + 256, "one event with the longest name fits");
_Static_assert(sizeof(((struct job_watch *)0)->job_op) >= sizeof(struct op), "op fits");

static struct op *poll_op(struct job_watch *watch)
{
    return (struct op *)watch->job_op;
}

static struct watch_reader *reader_of(const struct job_watch *watch)
{
    return watch->job_reader;
}

static struct job_loop *loop_of(const struct job_watch *watch)
{
    return watch->handle.job_loop;
}

static struct list *node_of(struct job_watch_entry *entry)
{
    return (struct list *)entry->job_node;
}

static struct job_watch_entry *entry_at(struct list *node)
{
    return (struct job_watch_entry *)((char *)node - offsetof(struct job_watch_entry, job_node));
}

static struct list *bucket_of(const struct job_watch *watch, int32_t id)
{
    return &reader_of(watch)->entries[(uint32_t)id % WATCH_BUCKETS];
}

static struct job_watch_entry *find(const struct job_watch *watch, int32_t id)
{
    struct list *bucket = bucket_of(watch, id);
    list_each(node, bucket) {
        if (entry_at(node)->job_id == id)
            return entry_at(node);
    }
    return NULL;
}

/* Is `number` at or before `other`? They begin anew at 1 when all have been given. */
static bool is_no_later(int32_t number, int32_t other)
{
    return (uint32_t)other - (uint32_t)number < 1U << 30;
}

/* It was removed, though the kernel still tells of it. */
static void note_forgotten(const struct job_watch *watch, int32_t id)
{
    struct watch_reader *reader = reader_of(watch);
    reader->forgotten[reader->forgotten_count++ % WATCH_FORGOTTEN] = id;
}

/* An event without an entry may be of one in flight, unless it is certain that it is not. */
static bool may_be_in_flight(const struct job_watch *watch, int32_t id)
{
    const struct watch_reader *reader = reader_of(watch);
    if (watch->job_adding == 0 || is_no_later(id, reader->newest_before))
        return false;
    for (unsigned i = 0; i < WATCH_FORGOTTEN; i++) {
        if (reader->forgotten[i] == id)
            return false;
    }
    return true;
}

static void forget(struct job_watch_entry *entry)
{
    list_remove(node_of(entry));
    entry->job_state = ENTRY_IDLE;
}

static void tell(struct job_watch *watch, const struct inotify_event *raw, struct job_watch_entry *entry)
{
    struct job_watch_event event = {.mask = raw->mask, .cookie = raw->cookie, .name = raw->len > 0 ? raw->name : NULL};
    if (!entry && !(raw->mask & IN_Q_OVERFLOW))
        return;   /* it was removed after this had happened */
    if (raw->mask & IN_IGNORED)
        forget(entry);
    LOOP_CALL(loop_of(watch), watch->job_changed, (watch, entry, &event));
}

/* False: the next event is of an entry that the loop does not know yet. */
static bool tell_batch(struct job_watch *watch)
{
    struct watch_reader *reader = reader_of(watch);
    while (handle_is_open(&watch->handle) && reader->at < reader->len) {
        const struct inotify_event *raw = (const struct inotify_event *)(const void *)(reader->bytes + reader->at);
        struct job_watch_entry *entry = raw->wd < 0 ? NULL : find(watch, raw->wd);
        if (!entry && raw->wd >= 0 && may_be_in_flight(watch, raw->wd)) {
            JOB_MARK(watch_batch_waits);
            return false;
        }
        reader->at += sizeof *raw + raw->len;
        tell(watch, raw, entry);
    }
    return true;
}

static void poll_start(struct job_watch *watch);

static void go_on(struct job_watch *watch)
{
    watch->job_flags &= ~(uint32_t)WATCH_WAITS;
    if (!tell_batch(watch))
        watch->job_flags |= WATCH_WAITS;
    else if (handle_is_open(&watch->handle))
        poll_start(watch);
}

static void read_batch(struct job_watch *watch)
{
    struct watch_reader *reader = reader_of(watch);
    ssize_t n = read(watch->job_fd, reader->bytes, sizeof reader->bytes);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        log_write(&loop_of(watch)->root->log, JOB_LOG_ERROR, "a watch tells nothing more: %s", job_strerror(errno));
        return;
    }
    reader->at = 0;
    reader->len = n > 0 ? (size_t)n : 0;
    go_on(watch);
}

static void poll_completed(struct op *op, const struct completion *completion)
{
    struct job_watch *watch = job_container_of(op, struct job_watch, job_op);
    if (handle_is_open(&watch->handle) && completion->res >= 0)
        read_batch(watch);
    else if (handle_is_open(&watch->handle))
        poll_start(watch);
    handle_release(&watch->handle);
}

static void deliver_later(struct job_mail *mail)
{
    struct job_watch *watch = container_of(mail, struct job_watch, job_later);
    if (handle_is_open(&watch->handle))
        poll_start(watch);
    handle_release(&watch->handle);
}

static void poll_start(struct job_watch *watch)
{
    struct job_loop *loop = loop_of(watch);
    struct op *op = poll_op(watch);
    op->completed = poll_completed;
    op->kind = OP_POLL;
    op->fd = watch->job_fd;
    op->poll.events = POLLIN;
    handle_hold(&watch->handle);
    if (loop->engine->type->start(loop->engine, op) == 0)
        return;
    watch->job_later.job_deliver = deliver_later;   /* no room for one more operation: when another one has ended */
    loop_stall_mail(loop, &watch->job_later);
}

static void watch_closing(struct job_handle *handle)
{
    struct job_watch *watch = job_container_of(handle, struct job_watch, handle);
    if (op_is_in_flight(poll_op(watch)))
        handle->job_loop->engine->type->cancel(handle->job_loop->engine, poll_op(watch));
    else
        loop_unstall(handle->job_loop);
}

static bool watch_last(struct job_handle *handle)
{
    struct job_watch *watch = job_container_of(handle, struct job_watch, handle);
    return descriptor_close_last(handle, &reader_of(watch)->closing, &watch->job_fd, CLOSER_FREE_THREAD);
}

static void watch_closed(struct job_handle *handle)
{
    struct job_watch *watch = job_container_of(handle, struct job_watch, handle);
    struct list *node;
    for (unsigned i = 0; i < WATCH_BUCKETS; i++) {
        while ((node = list_pop_front(&reader_of(watch)->entries[i])))
            entry_at(node)->job_state = ENTRY_IDLE;
    }
    assert(watch->job_fd < 0);
    alloc_free(handle->job_loop->root, watch->job_reader);
    HANDLE_TELL_CLOSED(watch, watch->job_on_closed);
}

static const struct handle_kind watch_kind = {
    .name = "watch", .close = watch_closing, .last = watch_last, .closed = watch_closed};

int job_watch_open(struct job_loop *loop, struct job_watch *watch,
                   void (*changed)(struct job_watch *watch, struct job_watch_entry *entry,
                                   const struct job_watch_event *event))
{
    if (!loop || !watch || !changed)
        return -EINVAL;
    int err = handle_may_open(loop, &watch->handle);
    if (err < 0)
        return err;
    struct watch_reader *reader = alloc_zeroed(loop->root, sizeof *reader);
    if (!reader)
        return -ENOMEM;
    for (unsigned i = 0; i < WATCH_BUCKETS; i++)
        list_init(&reader->entries[i]);
    int fd = sys_lifted(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (fd < 0) {
        err = fd;
        goto free_reader;
    }
    err = handle_open(loop, &watch->handle, sizeof *watch, &watch_kind);
    if (err < 0)
        goto close_fd;
    watch->job_fd = fd;
    watch->job_reader = reader;
    watch->job_changed = changed;
    (void)fetch_add_relaxed(&loop->root->fds, 1);   /* ledger: orders nothing */
    poll_start(watch);
    return 0;
close_fd:
    (void)sys_close(fd);
free_reader:
    alloc_free(loop->root, reader);
    return err;
}

/* The thread is through, or never began. */
static void add_ended(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct job_watch_entry *entry = job_container_of(op, struct job_watch_entry, job_call);
    struct job_watch *watch = entry->job_watch;
    (void)buf;
    watch->job_adding--;
    bool is_wanted = entry->job_state == ENTRY_ADDING && handle_is_open(&watch->handle);
    if (status == 0 && !is_no_later(op->job_fd, reader_of(watch)->newest))
        reader_of(watch)->newest = op->job_fd;
    if (status == 0 && !is_wanted) {
        (void)inotify_rm_watch(watch->job_fd, op->job_fd);   /* what it has told meanwhile is dropped */
        note_forgotten(watch, op->job_fd);
    }
    if (!is_wanted)
        status = -ECANCELED;
    entry->job_id = op->job_fd;
    entry->job_state = status == 0 ? ENTRY_WATCHED : ENTRY_IDLE;
    if (status == 0)
        list_push_back(bucket_of(watch, entry->job_id), node_of(entry));
    entry->job_added(entry, status);   /* called as `done` of a request is */
    if (handle_is_open(&watch->handle) && (watch->job_flags & WATCH_WAITS))
        go_on(watch);
}

int job_watch_add(struct job_watch *watch, struct job_watch_entry *entry, const struct job_path *path, uint32_t events,
                  void (*added)(struct job_watch_entry *entry, int status))
{
    bool has_event = (events & IN_ALL_EVENTS) != 0 && (events & ~(IN_ALL_EVENTS | flags_allowed)) == 0;
    if (!watch || !entry || !path || path->resolve || !added || !has_event)
        return -EINVAL;
    if (entry->job_state != ENTRY_IDLE)
        return -EBUSY;
    struct job_file_op *op = &entry->job_call;
    int err = file_op_begin(op, &watch->handle, FILE_CALL_WATCH, add_ended);
    if (err < 0)
        return err;
    err = file_op_paths(op, path, NULL);
    if (err < 0) {
        file_op_undo(op);
        return err;
    }
    op->job_len = (uint64_t)watch->job_fd;
    op->job_flags = events;
    err = file_op_call(op);
    if (err < 0)
        return err;
    entry->job_watch = watch;
    entry->job_added = added;
    entry->job_state = ENTRY_ADDING;
    list_init(node_of(entry));
    if (watch->job_adding++ == 0)
        reader_of(watch)->newest_before = reader_of(watch)->newest;
    return 0;
}

int job_watch_remove(struct job_watch_entry *entry)
{
    if (!entry)
        return -EINVAL;
    if (entry->job_state == ENTRY_IDLE)
        return -ENOENT;
    struct job_watch *watch = entry->job_watch;
    if (loop_check_thread(loop_of(watch)) < 0)
        return -EPERM;
    if (entry->job_state == ENTRY_WATCHED) {
        (void)inotify_rm_watch(watch->job_fd, entry->job_id);   /* EINVAL: the kernel has removed it, which is not told yet */
        note_forgotten(watch, entry->job_id);
        forget(entry);
        return 0;
    }
    entry->job_state = ENTRY_REMOVING;
    (void)job_file_cancel(&entry->job_call);
    return 0;
}

void job_watch_close(struct job_watch *watch, void (*closed)(struct job_watch *watch))
{
    if (!watch || !handle_may_close(&watch->handle))
        return;
    watch->job_on_closed = closed;
    (void)handle_close(&watch->handle);
}
