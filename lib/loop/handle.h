/* handle.h — the one life that every handle has, and what a kind of handle adds to it. */
#ifndef JOB_LOOP_HANDLE_H
#define JOB_LOOP_HANDLE_H

#include "job/handle.h"
#include "loop/loop.h"

enum handle_state { HANDLE_NONE, HANDLE_OPEN, HANDLE_CLOSING, HANDLE_CLOSED };

enum { HANDLE_STATE_MASK = 3, HANDLE_UNREFERENCED = 4, HANDLE_IDLE = 8 };

struct handle_kind {
    const char *name;
    /* Begins to close: cancels what the kind has in flight. Called once, by handle_close(). */
    void (*close)(struct job_handle *handle);
    /* Nothing is in flight any more. True: one thing more is, by loop_submit_last(); it is asked again when that has ended. NULL: never. */
    bool (*last)(struct job_handle *handle);
    /* Nothing is in flight any more, nor will be: frees what the kind holds, then calls the user's `closed`, last. */
    void (*closed)(struct job_handle *handle);
    /* Asks that what is in flight end early; the handle stays open. False: nothing is. NULL: such a handle has nothing but tasks. */
    bool (*cancel)(struct job_handle *handle);
};

/* What handle_open() will say, for opens that others would see before. 0; -ECANCELED: the loop is closing; -EPERM: another thread's;
 * -EBUSY: the handle is open on this loop, or closing. */
int handle_may_open(const struct job_loop *loop, const struct job_handle *handle);

/* Makes an open handle of the caller's memory, all of which but `data` it sets to zero first. `size` is that of the whole struct.
 * 0, or as above. */
int handle_open(struct job_loop *loop, struct job_handle *handle, size_t size, const struct handle_kind *kind);

/* From here on it does not keep job_loop_run() from returning, though it may be closing: nobody knows when its `closed` will come. */
void handle_give_up(struct job_handle *handle);

/* Undoes handle_open() when the rest of an open failed; no `closed` comes. */
void handle_abandon(struct job_handle *handle);

/* Closes: false when it was closing already. Cancels its tasks and waits, then kind->close. */
bool handle_close(struct job_handle *handle);

/* The last touch of a handle: its memory is the user's then. `closed` is what the kind's close was told to call; NULL: nothing, and
 * job_handle_on_closed() may have named something. */
#define HANDLE_TELL_CLOSED(object, closed)                                                                             \
    do {                                                                                                               \
        if (closed)                                                                                                    \
            LOOP_CALL((object)->handle.job_loop, closed, (object));                                                    \
        else                                                                                                           \
            handle_tell_closed(&(object)->handle);                                                                     \
    } while (0)

void handle_tell_closed(struct job_handle *handle);

/* An operation or a task begins or ends; `closed` comes after the last one. */
void handle_hold(struct job_handle *handle);
void handle_release(struct job_handle *handle);

/* What calls on a handle check first. 0; -EINVAL: never opened; -EPERM: another thread's; -ECANCELED: closing or closed. */
int handle_check(const struct job_handle *handle);

/* The log hears that `call` was ignored; NULL: its close. */
void handle_tell_elsewhere(const struct job_handle *handle, const char *call);

static inline enum handle_state handle_state(const struct job_handle *handle)
{
    return (enum handle_state)(handle->job_state & HANDLE_STATE_MASK);
}

/* May this thread use it? Says so in the log if not: for calls that return nothing. NULL: the close of its kind. */
static inline bool handle_is_here(const struct job_handle *handle, const char *call)
{
    if (handle_state(handle) == HANDLE_CLOSED)
        return true;   /* its loop may be gone; whoever calls looks at the state, or touches the user's memory alone */
    if (!handle->job_loop || loop_check_thread(handle->job_loop) == 0)
        return true;
    handle_tell_elsewhere(handle, call);
    return false;
}

static inline bool handle_is_open(const struct job_handle *handle)
{
    return handle_state(handle) == HANDLE_OPEN;
}

/* May the user's close begin? Else nothing of the handle is touched: on another thread that would be a race with its loop. */
static inline bool handle_may_close(const struct job_handle *handle)
{
    return handle_is_open(handle) && handle_is_here(handle, NULL);
}

static inline bool handle_is_referenced(const struct job_handle *handle)
{
    return (handle->job_state & HANDLE_UNREFERENCED) == 0;
}

/* An idle handle waits for nothing, so it does not keep the loop alive: a timer that is not armed. Handles open as not idle. */
static inline void handle_set_idle(struct job_handle *handle, bool is_idle)
{
    bool was_idle = (handle->job_state & HANDLE_IDLE) != 0;
    if (!handle_is_open(handle) || was_idle == is_idle)
        return;
    handle->job_state ^= HANDLE_IDLE;
    if (!handle_is_referenced(handle))
        return;
    if (is_idle)
        loop_let_go(handle->job_loop);
    else
        loop_keep_alive(handle->job_loop);
}

/* submit.c: cancels the tasks of a closing handle that are still queued, and its waits for room. */
void handle_cancel_tasks(struct job_handle *handle);

/* submit.c: of an open handle, whose waits go on. False: it has no task. */
bool handle_cancel_queued(struct job_handle *handle);

#endif
