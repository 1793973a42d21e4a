/* inside.c — the worker's thread: from the start message to the last word.
 *
 *   T1 await the start message; the channel closed instead: open has failed, end   T2 post `online`   T3 run the loop: main, and all that
 *   follows   T4 leave the registry: nobody stops it or looks at it any more   T5 close the loop, and all that is on it, the port last told
 *   of   T6 post the exit mail, and touch nothing shared afterwards
 *
 * The port closes in T5, behind all messages of this thread; the parent has its exit when it has both that close and the mail of T6.
 * T5 has a deadline. A loop that cannot be closed by then is leaked, with its port and the record that the port is in: a pool thread may
 * still post to the one, the kernel still write into what is on it. The end of the channel is not: the parent must hear its close.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/self.h"
#include "base/sys.h"
#include "base/thread.h"
#include "loop/handle.h"
#include "memory/cache.h"
#include "message/box.h"
#include "worker/record.h"

static void on_message(struct job_port *port, struct job_message *message)
{
    struct job_inside *inside = container_of(port, struct job_inside, port);
    if (inside->events && inside->events->message)
        inside->events->message(inside, message);
    else
        (void)fetch_add_relaxed(&inside->record->root->dropped, 1);   /* a count: orders nothing */
}

static void on_writable(struct job_port *port)
{
    struct job_inside *inside = container_of(port, struct job_inside, port);
    if (inside->events && inside->events->writable)
        inside->events->writable(inside);
}

static const struct job_port_events port_events = {.message = on_message, .writable = on_writable};

static void begin(struct job_call *call)
{
    struct job_inside *inside = container_of(call, struct job_inside, begin);
    struct job_loop *loop = self()->loop;
    /* Stopped before it began. The request orders nothing here. */
    if (loop->is_closing || load_relaxed(&loop->stop) != LOOP_RUN)
        return;
    inside->start->current = &inside->start;   /* as in a port's `message`: not to be freed, but it can be kept */
    inside->start->is_referenced = true;
    /* Not begin(): it is what may block the loop. */
    loop_callback_begins(loop, (uint64_t)(uintptr_t)inside->record->main, "worker", inside);
    inside->record->main(inside, inside->start);
    loop_callback_ended(loop);
    if (inside->start)
        inside->start->current = NULL;
    job_message_free(&inside->start);
}

static void set_up(struct worker_record *record)
{
    sys_thread_name(record->name);
    thread_add_nice(record->root, "worker", record->name, record->nice);
}

static void post_control(struct worker_record *record, struct job_message *message)
{
    message->kind = MESSAGE_CONTROL;
    struct job_end *end = record->end ? record->end : record->inside.port.job_end;
    if (end && end->out.box)   /* shut while the loop closes: the parent is told the code alone */
        (void)inbox_push(&end->out.box->inbox, &message->node);   /* closed: the parent does not want to know */
}

static void fail(struct worker_record *record, int err, const char *text)
{
    if (record->err < 0)
        return;
    record->err = err;
    record->code = 1;
    record->has_code = true;
    snprintf(record->text, sizeof record->text, "%s", text ? text : "");
    post_control(record, record_failed(record));
}

/* True: the thread holds a cache of the loop's arena, until the loop is closed. A close that could not get one would not even begin, and
 * what others find by their lists, such as a signal, would stay there. */
static bool run(struct worker_record *record, struct job_loop *loop)
{
    struct job_inside *inside = &record->inside;
    post_control(record, record_online(record));
    stats_worker_enter(record->shown, STATS_WORKER_ONLINE);
    inside->begin.run = begin;
    int err = cache_attach(loop->arena);
    bool has_cache = err == 0;
    if (err == 0)
        err = job_port_open(loop, &inside->port, &record->end, &port_events);
    if (err == 0)
        err = job_port_stop(&inside->port);   /* until it listens */
    if (err == 0)
        err = job_loop_call(loop, &inside->begin);
    if (err == 0)
        err = job_loop_run(loop);
    if (err < 0)
        fail(record, err, "its loop cannot run");
    return has_cache;
}

/* T5. Without a cache it may fail at once, for want of memory: nothing is open there then. */
static void close_loop(struct worker_record *record, struct job_loop **loop)
{
    int err = job_loop_close(loop, record->stop_timeout_ns);
    record->is_left = err < 0;
    stats_worker_enter(record->shown, record->is_left ? STATS_WORKER_LEFT : STATS_WORKER_ENDS);
    if (!record->is_left)
        return;
    log_write(&record->root->log, JOB_LOG_ERROR, "worker %s has ended and left %u handles and operations behind: %s",
              record->name, record->left_count, job_strerror(err));
    assert(!handle_is_open(&record->inside.port.handle));   /* the parent hears its close */
}

void worker_leaves(void *arg, const struct job_hung *hung)
{
    struct worker_record *record = arg;
    if (hung->task)
        return;   /* its handle was told */
    if (record->left_count++ == 0)
        record->left = *hung;
}

void *worker_thread(void *arg)
{
    struct worker_record *record = arg;
    struct root *root = record->root;
    struct job_loop *loop = record->loop;   /* nobody changes it before T4 */
    struct job_arena *arena = loop->arena;
    set_up(record);
    self()->inside = &record->inside;
    bool is_started = job_end_receive(record->end, &record->inside.start, -1) == 0;
    bool has_cache = is_started && run(record, loop);
    if (registry_remove(record) && !record->has_code) {
        record->code = 1;
        record->has_code = true;   /* whatever is said while its loop closes */
    }
    close_loop(record, &loop);
    if (has_cache)
        cache_detach(arena);
    job_message_free(&record->inside.start);
    job_end_close(&record->end);
    *self() = (struct self){0};
    thread_ends(root);
    if (is_started)
        mailbox_post(record->parent, record->exit_mail);
    return NULL;
}

struct job_inside *job_inside_current(void)
{
    return self()->inside;
}

void *job_inside_data(const struct job_inside *inside)
{
    return inside ? inside->data : NULL;
}

void job_inside_set_data(struct job_inside *inside, void *data)
{
    if (inside)
        inside->data = data;
}

struct job_loop *job_inside_loop(struct job_inside *inside)
{
    return inside ? inside->port.handle.job_loop : NULL;
}

struct job_arena *job_inside_arena(struct job_inside *inside)
{
    if (!inside)
        return NULL;
    return inside->record->arena ? inside->record->arena : inside->record->root->arena;
}

uint64_t job_inside_id(const struct job_inside *inside)
{
    return inside ? inside->record->id : 0;
}

int job_inside_listen(struct job_inside *inside, const struct job_inside_events *events)
{
    if (!inside)
        return -EINVAL;
    if (inside->is_ending)
        return -ECANCELED;
    int err = events ? job_port_start(&inside->port) : job_port_stop(&inside->port);
    if (err == 0)
        inside->events = events;
    return err;
}

void job_inside_ref(struct job_inside *inside)
{
    if (inside)
        job_handle_ref(&inside->port.handle);
}

void job_inside_unref(struct job_inside *inside)
{
    if (inside)
        job_handle_unref(&inside->port.handle);
}

int job_inside_post(struct job_inside *inside, const struct job_post *post)
{
    if (!inside)
        return -EINVAL;
    return inside->is_ending ? -ECANCELED : job_port_post(&inside->port, post);
}

/* The turn goes on, but nothing of it reaches the parent behind the error. */
static void end(struct job_inside *inside)
{
    inside->is_ending = true;
    (void)job_port_stop(&inside->port);   /* closed already: then it hears nothing anyway */
    job_loop_stop(job_inside_loop(inside));
}

void job_inside_exit(struct job_inside *inside, int code)
{
    if (!inside || self()->inside != inside)
        return;
    struct worker_record *record = inside->record;
    if (!record->has_code)
        record->code = code;
    record->has_code = true;
    end(inside);
}

bool job_inside_is_stopping(const struct job_inside *inside)
{
    const struct job_loop *loop = inside ? inside->port.handle.job_loop : NULL;
    /* A request, with nothing behind it that would have to be seen: no order. */
    return loop && (inside->is_ending || loop->is_closing || load_relaxed(&loop->stop) != LOOP_RUN);
}

void job_inside_fail(struct job_inside *inside, int err, const char *text)
{
    if (!inside || self()->inside != inside)
        return;
    fail(inside->record, err < 0 ? err : -EIO, text);
    end(inside);
}
