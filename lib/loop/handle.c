/* handle.c — open, closing, closed: the same for every kind.
 *
 *      open ──handle_close──▶ closing ──last op and task ended──▶ (end of the turn) closed
 *                                └──▶ of some kinds one task more, which may sleep: close(2)
 *
 * `job_pending` counts operations and tasks in flight, on the loop's own thread, so it needs no atomic. `closed` is always
 * delivered by the loop's deferred queue: never inside the close call, exactly once, and nothing touches the memory after it.
 */
#include "loop/handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/annotate.h"

static void set_state(struct job_handle *handle, enum handle_state state)
{
    enum handle_state from = handle_state(handle);
    assert((from == HANDLE_NONE && state == HANDLE_OPEN) || (from == HANDLE_OPEN && state == HANDLE_CLOSING) ||
           (from == HANDLE_CLOSING && state == HANDLE_CLOSED));
    handle->job_state = (handle->job_state & ~(uint32_t)HANDLE_STATE_MASK) | (uint32_t)state;
}

static struct list *node_of(struct job_handle *handle)
{
    return (struct list *)handle->job_node;
}

/* Does this handle keep job_loop_run() from returning? A closing one always does: its `closed` must be told. */
static bool counts_as_alive(const struct job_handle *handle)
{
    return (handle->job_state & (HANDLE_UNREFERENCED | HANDLE_IDLE)) == 0;
}

/* Changes flags and what follows for the loop. */
static void set_flags(struct job_handle *handle, uint32_t set, uint32_t clear)
{
    bool was_alive = counts_as_alive(handle);
    handle->job_state = (handle->job_state & ~clear) | set;
    bool is_alive = counts_as_alive(handle);
    if (is_alive && !was_alive)
        loop_keep_alive(handle->job_loop);
    if (was_alive && !is_alive)
        loop_let_go(handle->job_loop);
}

/* Memory that never was a handle may hold anything: it is believed only when the list has it. The list is searched only when the memory
 * looks like one of this loop's, which is to say never where all is right. */
static bool is_in_use(const struct job_loop *loop, const struct job_handle *handle)
{
    enum handle_state state = handle_state(handle);
    if (handle->job_loop != loop || (state != HANDLE_OPEN && state != HANDLE_CLOSING))
        return false;
    const struct list *ours = (const struct list *)handle->job_node;
    list_each(node, &loop->handles) {
        if (node == ours)
            return true;
    }
    return false;
}

int handle_may_open(const struct job_loop *loop, const struct job_handle *handle)
{
    int err = loop_check_thread(loop);
    if (err < 0)
        return err;
    if (is_in_use(loop, handle))
        return -EBUSY;
    return loop->is_closing ? -ECANCELED : 0;
}

int handle_open(struct job_loop *loop, struct job_handle *handle, size_t size, const struct handle_kind *kind)
{
    int err = handle_may_open(loop, handle);
    if (err < 0)
        return err;
    assert(size >= sizeof *handle);
    void *data = handle->data;
    memset(handle, 0, size);
    handle->data = data;
    handle->job_loop = loop;
    handle->job_kind = kind;
    list_init(node_of(handle));
    list_init((struct list *)handle->job_tasks);
    set_state(handle, HANDLE_OPEN);
    list_push_back(&loop->handles, node_of(handle));
    loop->handle_count++;
    loop_keep_alive(loop);
    (void)fetch_add_relaxed(&loop->root->handles, 1);   /* ledger, read at close: orders nothing */
    return 0;
}

static void forget(struct job_handle *handle)
{
    struct job_loop *loop = handle->job_loop;
    if (counts_as_alive(handle))
        loop_let_go(loop);
    list_remove(node_of(handle));
    loop->handle_count--;
    (void)fetch_sub_relaxed(&loop->root->handles, 1);   /* ledger: orders nothing */
}

void handle_give_up(struct job_handle *handle)
{
    assert(handle_is_open(handle) || handle_state(handle) == HANDLE_CLOSING);
    set_flags(handle, HANDLE_UNREFERENCED, 0);
}

void handle_abandon(struct job_handle *handle)
{
    assert(handle_is_open(handle) && handle->job_pending == 0);
    forget(handle);
    handle->job_state = HANDLE_NONE;
}

/* True: the handle's kind has begun one thing more, whose end brings it back to deliver_closed(). */
static bool begin_last(struct job_handle *handle)
{
    const struct handle_kind *kind = handle->job_kind;
    handle->job_pending++;   /* a submit that is refused releases the handle, and that must not bring it back */
    bool is_begun = kind->last && kind->last(handle);
    handle->job_pending--;
    assert(is_begun == (handle->job_pending > 0));
    return is_begun;
}

static void deliver_closed(struct job_mail *mail)
{
    struct job_handle *handle = container_of(mail, struct job_handle, job_mail);
    annotate_use(handle, sizeof *handle);
    assert(handle->job_pending == 0);
    if (begin_last(handle))
        return;
    assert(list_is_empty((struct list *)handle->job_tasks));
    forget(handle);
    set_state(handle, HANDLE_CLOSED);
    ((const struct handle_kind *)handle->job_kind)->closed(handle);   /* the memory is the user's again inside */
}

void handle_hold(struct job_handle *handle)
{
    handle->job_pending++;
}

void handle_release(struct job_handle *handle)
{
    assert(handle->job_pending > 0);
    handle->job_pending--;
    if (handle->job_pending > 0 || handle_state(handle) != HANDLE_CLOSING)
        return;
    JOB_MARK(handle_last_pending_ended);
    handle->job_mail.job_deliver = deliver_closed;
    loop_defer_mail(handle->job_loop, &handle->job_mail);
}

int handle_check(const struct job_handle *handle)
{
    if (handle_state(handle) == HANDLE_NONE)
        return -EINVAL;
    if (handle_state(handle) == HANDLE_CLOSED)
        return -ECANCELED;   /* its loop may be gone */
    if (loop_check_thread(handle->job_loop) < 0)
        return -EPERM;
    return handle_is_open(handle) ? 0 : -ECANCELED;
}

void handle_tell_elsewhere(const struct job_handle *handle, const char *call)
{
    const struct job_loop *loop = handle->job_loop;
    char close[64];
    if (!call) {
        (void)snprintf(close, sizeof close, "job_%s_close", ((const struct handle_kind *)handle->job_kind)->name);
        for (char *space = strchr(close, ' '); space; space = strchr(space, ' '))
            *space = '_';
        call = close;
    }
    log_write(&loop->root->log, JOB_LOG_ERROR, "%s(): not on the thread of loop %s: ignored", call, loop->name);
}

bool handle_close(struct job_handle *handle)
{
    if (!handle_may_close(handle))
        return false;
    handle_hold(handle);   /* what ends while we cancel must not deliver `closed` before we are through */
    set_flags(handle, 0, HANDLE_UNREFERENCED | HANDLE_IDLE);
    set_state(handle, HANDLE_CLOSING);
    handle_cancel_tasks(handle);
    ((const struct handle_kind *)handle->job_kind)->close(handle);
    handle_release(handle);
    return true;
}

int job_handle_cancel(struct job_handle *handle)
{
    int err = handle ? handle_check(handle) : -EINVAL;
    if (err < 0)
        return err;
    const struct handle_kind *kind = handle->job_kind;
    bool has_found = kind->cancel && kind->cancel(handle);
    has_found |= handle_cancel_queued(handle);
    return has_found ? 0 : -ENOENT;
}

struct job_loop *job_handle_loop(const struct job_handle *handle)
{
    return handle && handle_state(handle) != HANDLE_NONE ? handle->job_loop : NULL;
}

bool job_handle_is_closing(const struct job_handle *handle)
{
    return handle && (handle_state(handle) == HANDLE_CLOSING || handle_state(handle) == HANDLE_CLOSED);
}

void job_handle_on_closed(struct job_handle *handle, void (*closed)(struct job_handle *handle))
{
    if (handle && handle_is_open(handle) && handle_is_here(handle, "job_handle_on_closed"))
        handle->job_closed = closed;
}

void handle_tell_closed(struct job_handle *handle)
{
    if (handle->job_closed)
        LOOP_CALL(handle->job_loop, handle->job_closed, (handle));
}

void job_handle_ref(struct job_handle *handle)
{
    if (handle && handle_is_open(handle) && handle_is_here(handle, "job_handle_ref"))
        set_flags(handle, 0, HANDLE_UNREFERENCED);
}

void job_handle_unref(struct job_handle *handle)
{
    if (handle && handle_is_open(handle) && handle_is_here(handle, "job_handle_unref"))
        set_flags(handle, HANDLE_UNREFERENCED, 0);
}

bool job_handle_has_ref(const struct job_handle *handle)
{
    return handle && handle_is_open(handle) && handle_is_referenced(handle);
}

size_t job_loop_handles(struct job_loop *loop, void (*each)(void *arg, const struct job_handle_info *info), void *arg)
{
    size_t alive = 0;
    if (!loop || loop_check_thread(loop) < 0)
        return 0;
    list_each(node, &loop->handles) {
        struct job_handle *handle = (struct job_handle *)((char *)node - offsetof(struct job_handle, job_node));
        struct job_handle_info info = {
            .handle = handle,
            .kind = ((const struct handle_kind *)handle->job_kind)->name,
            .keeps_alive = counts_as_alive(handle),
            .is_closing = !handle_is_open(handle),
            .tasks = list_count((const struct list *)handle->job_tasks),
        };
        info.operations = handle->job_pending - info.tasks;
        alive += info.keeps_alive;
        if (each)
            each(arg, &info);
    }
    return alive;
}
