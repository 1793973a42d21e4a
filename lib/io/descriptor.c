/* descriptor.c — closes what a handle has, and does not let the loop sleep in close(2).
 *
 * Whoever closes the last descriptor of a file without a name frees its blocks (1 GiB: 161 ms on ext4, 556 ms on tmpfs), FUSE and NFS send
 * what was written to their server, a terminal may first write out what it holds, and inotify waits until nobody looks at its marks (8 ms).
 * So close(2) is one more call for a thread, and `closed` comes after it. A full lane leaves it to the loop, and, but for the
 * files of servers, so do threads that are all busy where no more may be started: it must not wait for a call that sleeps until somebody
 * closes this very descriptor, as the read of a terminal's other end does.
 */
#include "io/descriptor.h"

#include "base/sys.h"
#include "io/listener.h"
#include "job/task.h"
#include "loop/submit.h"

/* Whoever wants to know of late write errors asks by job_file_sync(). */
static void close_now(struct job_task *task)
{
    (void)sys_close((int)(intptr_t)task->data);
}

static void forget(struct job_loop *loop)
{
    (void)fetch_sub_relaxed(&loop->root->fds, 1);   /* ledger: orders nothing */
    listeners_retry(loop);
}

void descriptor_close(struct job_loop *loop, int fd)
{
    if (fd >= 0)
        (void)sys_close(fd);
    forget(loop);
}

static void close_ended(struct job_task *task, int status)
{
    assert(status == 0);   /* it has run: nobody can cancel it, and nobody stops the pool */
    forget(task->job_handle->job_loop);
    (void)job_task_fini(task);   /* idle: it cannot fail */
}

bool descriptor_close_last(struct job_handle *handle, struct job_task *task, int *fd, enum closer closer)
{
    struct job_pool *calls = handle->job_loop->root->calls;
    if (*fd < 0)
        return false;
    (void)job_task_init(task, calls, close_now, close_ended);   /* the arguments are there */
    task->data = (void *)(intptr_t)*fd;
    *fd = -1;   /* the number is another file's next */
    if (closer != CLOSER_LOOP && loop_submit_last(calls, task, handle, closer == CLOSER_THREAD) == 0)
        return true;
    close_now(task);
    forget(handle->job_loop);
    (void)job_task_fini(task);   /* idle: it cannot fail */
    return false;
}
