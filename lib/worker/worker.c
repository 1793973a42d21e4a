/* worker.c — the parent's side: opens all that a worker needs, starts its thread, and tells what comes from it.
 *
 *      open ──the port's close was taken, and the exit mail has come──▶ exit ──▶ closing ──▶ closed
 *        └──job_worker_close(), or the loop closes: stop; the port is closed──▶ closing ──both, as above──▶ exit ──▶ closed
 *
 * The thread is joined between both and exit. It has said its last word then, but what its user has in thread-local storage may end
 * slowly: so the join does not wait, it is tried again, and has the same bound as a stop.
 *
 * In the place of closed stands left when the thread could not close its loop whole. Its record, with the port that is on that loop, is
 * leaked then, and so is the arena: what has not ended may be in it.
 *
 * Everything that can fail comes before the start message is posted, and the thread waits for that message: a thread whose open fails finds
 * its channel closed and ends. So an error leaves no thread, and the start message's items where they were.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/backtrace.h"
#include "base/bits.h"
#include "base/sys.h"
#include "base/thread.h"
#include "loop/deadline.h"
#include "loop/handle.h"
#include "worker/record.h"
#include "worker/spare_arena.h"

enum { WORKER_PORT_CLOSED = 1, WORKER_EXITED = 2, WORKER_OVER = 4, WORKER_STUCK = 8, WORKER_JOINS = 16 };

enum {
    WORKER_ENTRIES = 64,          /* of the ring: 256 cost 36 KiB */
    WORKER_RECEIVE_SLOTS = 4,     /* it grows when it is used */
    JOIN_RETRY_MIN_NS = 50000,    /* what a thread takes to end behind its last word */
    JOIN_RETRY_MAX_NS = 10000000,
    JOIN_RETRY_STUCK_NS = 1000000000,   /* it may never end: a loop that has nothing to do may sleep */
    JOIN_STUCK_NS = 100000000,    /* at least: a thread that wants for a CPU is not stuck */
    WORKER_MEMORY_MIN = 1 << 20,
    PAGE_BYTES = 4096,
};

_Static_assert(sizeof(struct deadline) <= sizeof ((struct job_worker *)0)->job_deadline, "a deadline fits");

static struct worker_record *record_of(const struct job_worker *worker)
{
    return worker->job_record;
}

static struct deadline *deadline_of(struct job_worker *worker)
{
    return (struct deadline *)worker->job_deadline;
}

static struct job_loop *loop_of(const struct job_worker *worker)
{
    return worker->handle.job_loop;
}

static void record_free(struct worker_record *record)
{
    struct root *root = record->root;
    stats_worker_release(record->shown);
    if (record->into.box)
        sender_fini(&record->into);
    if (record->in)
        box_release(record->in);
    if (record->arena)
        spare_arena_put(&record->arena);
    alloc_free(root, record);
}

/* How long a thread may take to end behind its last word. */
static uint64_t join_patience(const struct worker_record *record)
{
    return max_size(record->stop_timeout_ns, JOIN_STUCK_NS);
}

static void log_stuck(const struct worker_record *record, uint64_t function)
{
    char name[96] = "";
    if (function)
        backtrace_name(function, name, sizeof name);
    bool is_joined = record->joins_since_ns > 0;
    uint64_t patience = is_joined ? join_patience(record) : record->stop_timeout_ns;
    const char *what = function ? "it runs " : is_joined ? "its thread is being ended" : "its loop is being closed";
    log_write(&record->root->log, JOB_LOG_ERROR, "worker %s is stuck: %sit has not ended in %llu ms; %s%s", record->name,
              is_joined ? "" : "asked to stop, ", (unsigned long long)(patience / 1000000U), what, name);
}

/* Nobody waits for it without a bound: the parent's loop may return, and its close has a deadline. */
static void tell_stuck(struct job_worker *worker)
{
    struct worker_record *record = record_of(worker);
    uint64_t function = registry_running(record);
    worker->job_flags |= WORKER_STUCK;
    handle_give_up(&worker->handle);
    stats_worker_enter(record->shown, STATS_WORKER_STUCK);
    log_stuck(record, function);
    if (worker->job_events->stuck)
        LOOP_CALL(loop_of(worker), worker->job_events->stuck, (worker, (const void *)(uintptr_t)function));
}

/* As long as its end is near it keeps the loop going, also one that was stuck before: else nothing might, and it would not be joined. */
static void keep_loop(struct job_worker *worker, bool is_near)
{
    bool was_near = (worker->job_flags & WORKER_JOINS) != 0;
    worker->job_flags ^= was_near == is_near ? 0 : WORKER_JOINS;
    if (is_near && !was_near)
        loop_keep_alive(loop_of(worker));
    else if (!is_near && was_near)
        loop_let_go(loop_of(worker));
}

/* The thread has posted its last word, and has not returned yet. */
static void join_later(struct job_worker *worker)
{
    struct worker_record *record = record_of(worker);
    uint64_t now = record->root->now_ns();
    if (record->joins_since_ns == 0)
        record->joins_since_ns = now;
    uint64_t waited = now - record->joins_since_ns;
    bool is_near = waited < join_patience(record);
    uint64_t pause_max = is_near ? JOIN_RETRY_MAX_NS : JOIN_RETRY_STUCK_NS;
    uint64_t pause = min_size(max_size(waited, JOIN_RETRY_MIN_NS), pause_max);
    deadline_set(loop_of(worker), deadline_of(worker), now + pause);
    keep_loop(worker, is_near);
    if (!is_near && !(worker->job_flags & WORKER_STUCK))   /* that is told once */
        tell_stuck(worker);
}

static bool has_said_its_last(const struct job_worker *worker)
{
    return (worker->job_flags & (WORKER_PORT_CLOSED | WORKER_EXITED)) == (WORKER_PORT_CLOSED | WORKER_EXITED);
}

static void see_whether_it_is_over(struct job_worker *worker)
{
    struct worker_record *record = record_of(worker);
    if (!has_said_its_last(worker))
        return;
    if (pthread_tryjoin_np(record->thread, NULL) == EBUSY) {
        join_later(worker);
        return;
    }
    int code = record->code;
    keep_loop(worker, false);
    worker->job_flags |= WORKER_OVER;
    deadline_clear(loop_of(worker), deadline_of(worker));
    if (!record->is_left) {
        worker->job_record = NULL;   /* the sign that nothing is left */
        record_free(record);
    }
    if (worker->job_events->exit)
        LOOP_CALL(loop_of(worker), worker->job_events->exit, (worker, code));
    (void)handle_close(&worker->handle);
    handle_release(&worker->handle);   /* what job_worker_open() has held */
}

static void exit_mail(struct job_mail *mail)
{
    struct job_worker *worker = container_of(mail, struct job_worker, job_mail);
    worker->job_flags |= WORKER_EXITED;
    see_whether_it_is_over(worker);
}

static struct job_worker *worker_of_port(struct job_port *port)
{
    return container_of(port, struct job_worker, job_port);
}

static void port_closed(struct job_port *port)
{
    struct job_worker *worker = worker_of_port(port);
    worker->job_flags |= WORKER_PORT_CLOSED;
    see_whether_it_is_over(worker);
}

static void on_message(struct job_port *port, struct job_message *message)
{
    struct job_worker *worker = worker_of_port(port);
    if (worker->job_events->message)
        worker->job_events->message(worker, message);
    else
        (void)fetch_add_relaxed(&record_of(worker)->root->dropped, 1);   /* a count: orders nothing */
}

static void on_writable(struct job_port *port)
{
    struct job_worker *worker = worker_of_port(port);
    if (worker->job_events->writable)
        worker->job_events->writable(worker);
}

/* The worker whose loop that is, on its thread; NULL: it is no worker's. */
static struct job_inside *inside_of(const struct job_loop *loop)
{
    struct job_inside *inside = job_inside_current();
    return inside && inside->record->loop == loop ? inside : NULL;
}

/* Nobody listens to the failure of this worker: its parent fails as well. One that is a worker itself says of what. */
static void fail_parent(struct job_loop *loop, const struct worker_record *record)
{
    char text[ERROR_TEXT_MAX];
    struct job_inside *inside = inside_of(loop);
    if (!inside) {
        loop_fail(loop, record->err);
        return;
    }
    (void)snprintf(text, sizeof text, "worker %s has failed: %.*s", record->name, ERROR_TEXT_MAX - 64, record->text);
    job_inside_fail(inside, record->err, text);
}

/* `online`, or `failed`. */
static void on_control(struct job_port *port, struct job_message *message)
{
    struct job_worker *worker = worker_of_port(port);
    struct worker_record *record = record_of(worker);
    if (message == record_online(record)) {
        if (worker->job_events->online)
            LOOP_CALL(loop_of(worker), worker->job_events->online, (worker));
        return;
    }
    assert(message == record_failed(record));
    if (worker->job_events->error) {
        LOOP_CALL(loop_of(worker), worker->job_events->error, (worker, record->err, record->text));
        return;
    }
    log_write(&record->root->log, JOB_LOG_ERROR, "worker %s has failed, and nobody listens: %s: %s", record->name,
              job_strerror(record->err), record->text);
    fail_parent(loop_of(worker), record);
}

static const struct job_port_events port_events = {
    .message = on_message,
    .writable = on_writable,
    .closed = port_closed,
};

/* The time to end is over; or to join again. */
static void is_late(struct deadline *deadline)
{
    struct job_worker *worker = (struct job_worker *)((char *)deadline - offsetof(struct job_worker, job_deadline));
    if (has_said_its_last(worker))
        see_whether_it_is_over(worker);
    else
        tell_stuck(worker);
}

/* From now on there is a bound, also when its loop has ended already and only the close of that hangs. */
static void await_end(struct job_worker *worker)
{
    const struct worker_record *record = record_of(worker);
    struct deadline *deadline = deadline_of(worker);
    if (deadline->at_ns > 0 || worker->job_flags & WORKER_STUCK)   /* that is told once */
        return;
    deadline_set(loop_of(worker), deadline, time_after(record->root->now_ns(), record->stop_timeout_ns));
}

/* Who asks for its end is told of it, also when the loop had no need to wait for the worker before. A stuck one holds up nobody. */
static void ask_to_end(struct job_worker *worker)
{
    await_end(worker);
    if (!(worker->job_flags & WORKER_STUCK))
        job_handle_ref(&worker->handle);
}

static void stopped_by_another(struct job_mail *mail)
{
    const struct worker_record *record = container_of(mail, struct worker_record, stop_mail);
    ask_to_end(container_of(record->exit_mail, struct job_worker, job_mail));
}

static bool stop(struct job_worker *worker)
{
    struct worker_record *record = record_of(worker);
    if (!record || (worker->job_flags & WORKER_OVER))
        return false;
    ask_to_end(worker);
    return registry_stop(record);
}

static void worker_close(struct job_handle *handle)
{
    struct job_worker *worker = container_of(handle, struct job_worker, handle);
    if (worker->job_flags & WORKER_OVER)
        return;
    (void)stop(worker);
    job_port_close_now(&worker->job_port);
    if (worker->job_flags & WORKER_STUCK)
        handle_give_up(handle);   /* as before: closing has made it count again */
}

static void tell_left(struct job_worker *worker, struct worker_record *record)
{
    struct job_loop *loop = loop_of(worker);
    loop_leaves(loop, &(struct job_hung){.what = "worker",
                                         .handle = &worker->handle,
                                         .operations = record->left_count,
                                         .fd = -1,
                                         .since_ns = record->left.since_ns});
    if (worker->job_events->left)
        LOOP_CALL(loop, worker->job_events->left, (worker, &record->left, record->left_count));
}

static void worker_closed(struct job_handle *handle)
{
    struct job_worker *worker = container_of(handle, struct job_worker, handle);
    struct worker_record *record = record_of(worker);
    if (record)
        tell_left(worker, record);
    else
        HANDLE_TELL_CLOSED(worker, worker->job_events->closed);
}

static const struct handle_kind worker_kind = {.name = "worker", .close = worker_close, .closed = worker_closed};

static bool options_are_valid(const struct job_worker_options *options)
{
    const size_t most = SIZE_MAX - PAGE_BYTES;   /* rounded up it must not become 0, the default */
    size_t stack = options->stack_bytes, memory = options->memory_limit_bytes;
    return (stack == 0 || (stack >= (size_t)PTHREAD_STACK_MIN && stack <= most)) &&
           (memory == 0 || (memory >= WORKER_MEMORY_MIN && memory <= most)) && options->nice >= -20 &&
           options->nice <= 19 && (!options->affinity || options->affinity_words > 0);
}

static int start_thread(struct worker_record *record, const struct job_worker_options *options)
{
    struct thread_options thread_options = {
        .stack_bytes = round_up(options->stack_bytes, PAGE_BYTES),
        .affinity = options->affinity,
        .affinity_words = options->affinity_words,
    };
    return thread_start(record->root, &record->thread, &thread_options, worker_thread, record);
}

static int open_loop(struct worker_record *record, const struct job_worker_options *options)
{
    size_t limit = options->memory_limit_bytes;
    int err = limit ? spare_arena_take(record->root, limit, &record->arena) : 0;
    if (err < 0)
        return err;
    struct job_loop_options loop = {
        .arena = record->arena,
        .name = record->name,
        .entries = WORKER_ENTRIES,
        .receive_slots = WORKER_RECEIVE_SLOTS,
        .hung = worker_leaves,
        .hung_arg = record,
    };
    return job_loop_open((struct job_runtime *)record->root, &record->loop, &loop);
}

/* Twice that is below the default of the parent's job_loop_close(): so who closes by default hears what is left. A parent that is a worker
 * closes within its own: so there it is a share of that, of which twice is below as well. */
static uint64_t stop_timeout_for(const struct job_loop *loop, const struct job_worker_options *options)
{
    const struct job_inside *parent = inside_of(loop);
    if (options->stop_timeout_ns)
        return options->stop_timeout_ns;
    return parent ? max_size(parent->record->stop_timeout_ns / STOP_TIMEOUT_SHARE, 1) : STOP_TIMEOUT_DEFAULT_NS;
}

static struct worker_record *record_new(struct job_loop *loop, struct job_worker *worker, job_worker_main_fn *main,
                                        const struct job_worker_options *options)
{
    struct worker_record *record = alloc_zeroed(loop->root, sizeof *record);
    if (!record)
        return NULL;
    record->root = loop->root;
    record->id = registry_new_id(loop->root);
    strncpy(record->name, options->name ? options->name : "worker", sizeof record->name - 1);
    record->main = main;
    record->parent = &loop->mailbox;
    record->exit_mail = &worker->job_mail;
    record->stop_mail.job_deliver = stopped_by_another;
    record->nice = options->nice;
    record->stop_timeout_ns = stop_timeout_for(loop, options);
    record->inside.record = record;
    list_init(&record->node);
    return record;
}

/* The thread waits for its start message; it ends at once when the channel is closed instead. */
static int start(struct worker_record *record, struct job_end *ours, const struct job_worker_options *options,
                 bool *has_thread)
{
    int err = start_thread(record, options);
    *has_thread = err == 0;
    if (err < 0)
        return err;
    return registry_add(record, ours, &options->start);
}

static int prepare(struct worker_record *record, struct job_end **ours, const struct job_worker_options *options)
{
    struct job_channel_options channel = options->channel;
    channel.name = record->name;
    int err = job_channel_open((struct job_runtime *)record->root, ours, &record->end, &channel);
    if (err < 0)
        return err;
    record->in = record->end->in;
    box_retain(record->in);
    sender_init(&record->into, record->in);
    return open_loop(record, options);
}

/* What start() or prepare() has left behind. */
static void abandon(struct worker_record *record, struct job_end **ours, bool has_thread)
{
    if (record->into.box)
        sender_fini(&record->into);   /* else the thread's end would not find it closed */
    record->into.box = NULL;
    job_end_close(ours);
    if (has_thread) {
        (void)pthread_join(record->thread, NULL);
    } else {
        loop_discard(&record->loop);   /* we may be in a callback of another */
        job_end_close(&record->end);
    }
    record_free(record);
}

int job_worker_open(struct job_loop *loop, struct job_worker *worker, job_worker_main_fn *main,
                    const struct job_worker_options *options, const struct job_worker_events *events)
{
    static const struct job_worker_options defaults = {0};
    static const struct job_worker_events no_events = {0};
    options = options ? options : &defaults;
    if (!loop || !worker || !main || !options_are_valid(options))
        return -EINVAL;
    int err = handle_open(loop, &worker->handle, sizeof *worker, &worker_kind);
    if (err < 0)
        return err;
    struct job_end *ours = NULL;
    struct worker_record *record = record_new(loop, worker, main, options);
    if (!record) {
        err = -ENOMEM;
        goto abandon_handle;
    }
    worker->job_mail.job_deliver = exit_mail;
    err = prepare(record, &ours, options);
    bool has_thread = false;
    if (err == 0)
        err = start(record, ours, options, &has_thread);
    if (err < 0) {
        abandon(record, &ours, has_thread);
        goto abandon_handle;
    }
    worker->job_events = events ? events : &no_events;
    worker->job_record = record;
    worker->job_id = record->id;
    deadline_of(worker)->passed = is_late;
    err = job_port_open(loop, &worker->job_port, &ours, &port_events);
    assert(err == 0);   /* all that it checks was checked by handle_open() */
    worker->job_port.job_control = on_control;
    job_handle_unref(&worker->job_port.handle);   /* the worker's own handle counts */
    handle_hold(&worker->handle);                 /* until it is over */
    return 0;
abandon_handle:
    handle_abandon(&worker->handle);
    return err;
}

uint64_t job_worker_id(const struct job_worker *worker)
{
    return worker ? worker->job_id : 0;
}

int job_worker_post(struct job_worker *worker, const struct job_post *post)
{
    if (!worker || handle_state(&worker->handle) == HANDLE_NONE)
        return -EINVAL;
    int err = job_port_post(&worker->job_port, post);
    return err == -EPIPE || err == -ECANCELED ? -ESRCH : err;
}

int job_worker_stop(struct job_worker *worker)
{
    if (!worker || handle_state(&worker->handle) == HANDLE_NONE)
        return -EINVAL;
    if (handle_state(&worker->handle) == HANDLE_CLOSED)
        return -ESRCH;   /* its parent's loop may be gone */
    if (loop_check_thread(loop_of(worker)) < 0)
        return -EPERM;
    return stop(worker) ? 0 : -ESRCH;
}

void job_worker_close(struct job_worker *worker)
{
    if (worker)
        (void)handle_close(&worker->handle);
}
