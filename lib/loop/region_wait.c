/* region_wait.c — waits for a cell of a region on a loop: a handle in the region's queue, whose notification is a mail.
 *
 * While it waits, its mail is nowhere; whoever notifies takes it out of the queue and posts the mail. A time-out or a close that comes
 * later than that finds it gone, and leaves the word to the mail.
 */
#include <errno.h>

#include "loop/deadline.h"
#include "loop/handle.h"
#include "memory/region.h"

enum { WAITER_WAITING = 1, WAITER_LINGERS = 2 };

_Static_assert(sizeof(struct wait_node) <= sizeof ((struct job_region_waiter *)0)->job_node, "a node fits");
_Static_assert(sizeof(struct deadline) <= sizeof ((struct job_region_waiter *)0)->job_deadline, "a deadline fits");

static struct wait_node *node_of(struct job_region_waiter *waiter)
{
    return (struct wait_node *)waiter->job_node;
}

static struct deadline *deadline_of(struct job_region_waiter *waiter)
{
    return (struct deadline *)waiter->job_deadline;
}

/* Any thread. */
static void post_mail(struct wait_node *node)
{
    struct job_region_waiter *waiter =
        (struct job_region_waiter *)((char *)node - offsetof(struct job_region_waiter, job_node));
    mailbox_post(&waiter->handle.job_loop->mailbox, &waiter->job_mail);
}

static void end_wait(struct job_region_waiter *waiter)
{
    waiter->job_flags &= ~(uint32_t)WAITER_WAITING;
    deadline_clear(waiter->handle.job_loop, deadline_of(waiter));
    handle_set_idle(&waiter->handle, true);
    job_region_release(&waiter->job_region);
}

static void tell(struct job_region_waiter *waiter, int status)
{
    end_wait(waiter);
    LOOP_CALL(waiter->handle.job_loop, waiter->job_woken, (waiter, status));
}

static void notified(struct job_mail *mail)
{
    struct job_region_waiter *waiter = container_of(mail, struct job_region_waiter, job_mail);
    if ((waiter->job_flags & WAITER_LINGERS) == 0) {
        tell(waiter, 0);
        return;
    }
    end_wait(waiter);
    handle_release(&waiter->handle);
}

static void time_is_over(struct deadline *deadline)
{
    struct job_region_waiter *waiter =
        (struct job_region_waiter *)((char *)deadline - offsetof(struct job_region_waiter, job_deadline));
    if (waitlist_leave(region_waitlist(waiter->job_region), node_of(waiter)))
        tell(waiter, -ETIMEDOUT);
}

static void waiter_close(struct job_handle *handle)
{
    struct job_region_waiter *waiter = container_of(handle, struct job_region_waiter, handle);
    if ((waiter->job_flags & WAITER_WAITING) == 0)
        return;
    if (waitlist_leave(region_waitlist(waiter->job_region), node_of(waiter))) {
        end_wait(waiter);
        return;
    }
    waiter->job_flags |= WAITER_LINGERS;   /* until its mail has come */
    handle_hold(handle);
}

static void waiter_closed(struct job_handle *handle)
{
    struct job_region_waiter *waiter = container_of(handle, struct job_region_waiter, handle);
    HANDLE_TELL_CLOSED(waiter, waiter->job_on_closed);
}

static const struct handle_kind waiter_kind = {.name = "region waiter", .close = waiter_close, .closed = waiter_closed};

int job_region_waiter_open(struct job_loop *loop, struct job_region_waiter *waiter,
                           void (*woken)(struct job_region_waiter *waiter, int status))
{
    if (!loop || !waiter || !woken)
        return -EINVAL;
    int err = handle_open(loop, &waiter->handle, sizeof *waiter, &waiter_kind);
    if (err < 0)
        return err;
    waiter->job_woken = woken;
    waiter->job_mail.job_deliver = notified;
    node_of(waiter)->notified = post_mail;
    deadline_of(waiter)->passed = time_is_over;
    handle_set_idle(&waiter->handle, true);
    return 0;
}

static int check(const struct job_region_waiter *waiter, struct job_region *region)
{
    int err = waiter ? handle_check(&waiter->handle) : -EINVAL;
    if (err < 0)
        return err;
    if (waiter->job_flags & WAITER_WAITING)
        return -EBUSY;
    return region_waitlist(region) ? 0 : -EOPNOTSUPP;
}

static int waiter_wait(struct job_region_waiter *waiter, struct job_region *region, size_t offset, size_t width,
                       uint64_t expected, int64_t timeout_ns)
{
    void *cell = job_region_cell(region, offset, width);
    int err = cell ? check(waiter, region) : -EINVAL;
    if (err < 0)
        return err;
    struct job_loop *loop = waiter->handle.job_loop;
    err = waitlist_enter(region_waitlist(region), node_of(waiter), cell, width, expected);
    if (err < 0)
        return err;
    if (timeout_ns == 0 && waitlist_leave(region_waitlist(region), node_of(waiter)))
        return -ETIMEDOUT;
    waiter->job_region = job_region_retain(region);
    waiter->job_flags |= WAITER_WAITING;
    handle_set_idle(&waiter->handle, false);
    if (timeout_ns > 0)
        deadline_set(loop, deadline_of(waiter), time_after(loop->root->now_ns(), (uint64_t)timeout_ns));
    return 0;
}

int job_region_waiter_wait32(struct job_region_waiter *waiter, struct job_region *region, size_t offset,
                             uint32_t expected, int64_t timeout_ns)
{
    return waiter_wait(waiter, region, offset, sizeof expected, expected, timeout_ns);
}

int job_region_waiter_wait64(struct job_region_waiter *waiter, struct job_region *region, size_t offset,
                             uint64_t expected, int64_t timeout_ns)
{
    return waiter_wait(waiter, region, offset, sizeof expected, expected, timeout_ns);
}

void job_region_waiter_close(struct job_region_waiter *waiter, void (*closed)(struct job_region_waiter *waiter))
{
    if (!waiter || !handle_may_close(&waiter->handle))
        return;
    waiter->job_on_closed = closed;
    (void)handle_close(&waiter->handle);
}
