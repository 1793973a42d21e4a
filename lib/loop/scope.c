/* scope.c — a handle and nothing more: its tasks and requests are all that it waits for. */
#include "job/scope.h"

#include <errno.h>

#include "loop/handle.h"

static void scope_closing(struct job_handle *handle)
{
    (void)handle;   /* its tasks are cancelled for every kind */
}

static void scope_closed(struct job_handle *handle)
{
    struct job_scope *scope = job_container_of(handle, struct job_scope, handle);
    HANDLE_TELL_CLOSED(scope, scope->job_on_closed);
}

static const struct handle_kind scope_kind = {.name = "scope", .close = scope_closing, .closed = scope_closed};

int job_scope_open(struct job_loop *loop, struct job_scope *scope)
{
    if (!loop || !scope)
        return -EINVAL;
    int err = handle_open(loop, &scope->handle, sizeof *scope, &scope_kind);
    if (err == 0)
        handle_set_idle(&scope->handle, true);   /* what belongs to it keeps the loop alive by itself */
    return err;
}

void job_scope_close(struct job_scope *scope, void (*closed)(struct job_scope *scope))
{
    if (!scope || !handle_may_close(&scope->handle))
        return;
    scope->job_on_closed = closed;
    (void)handle_close(&scope->handle);
}
