/* signal.c — signals as callbacks, by signalfd: no handler is installed behind anybody's back.
 *
 * A signalfd sees only signals that are blocked in every thread, so they must be blocked before the first thread starts:
 * job_signals_block() at the beginning of main().
 *
 * The kernel gives a signal to one of the descriptors that wait for it. So the handle that reads it tells the others of the runtime: they
 * are in a list, under a lock that is held for a walk along them, and for a mail to the loop of each that has the number. A handle has one
 * mail and a set of the numbers that it stands for. Who puts the first one in posts the mail; its delivery empties the set. A handle that
 * closes leaves the list first, and is held as long as its mail is out. What a closing handle has read is told to the others all the same.
 */
#include "job/signal.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "base/annotate.h"
#include "base/sys.h"
#include "io/descriptor.h"
#include "loop/handle.h"

_Static_assert(sizeof(struct signalfd_siginfo) <= sizeof((struct job_signal *)0)->job_info, "the record fits");
_Static_assert(sizeof(struct list) <= sizeof((struct job_signal *)0)->job_node, "a node fits");
_Static_assert(_NSIG - 1 <= 64, "a number is a bit of a word");

static int make_set(sigset_t *set, const int *numbers, size_t count)
{
    if (!numbers || count == 0)
        return -EINVAL;
    sigemptyset(set);
    for (size_t i = 0; i < count; i++) {
        if (numbers[i] == SIGKILL || numbers[i] == SIGSTOP || sigaddset(set, numbers[i]) < 0)
            return -EINVAL;
    }
    return 0;
}

static bool is_only_thread(void)
{
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return true;   /* no /proc: not knowable */
    unsigned threads = 0;
    struct dirent *entry;
    while ((entry = readdir(tasks)))
        threads += entry->d_name[0] != '.';
    (void)closedir(tasks);
    return threads <= 1 + annotate_threads();
}

int job_signals_block(const int *numbers, size_t count)
{
    sigset_t set;
    int err = make_set(&set, numbers, count);
    if (err < 0)
        return err;
    if (!is_only_thread())
        return -EBUSY;
    return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static uint64_t bit_of(int number)
{
    return 1ULL << (number - 1);
}

static struct list *node_of(struct job_signal *handle)
{
    return (struct list *)handle->job_node;
}

static void lock(struct root *root)
{
    (void)pthread_mutex_lock(&root->signals_lock);
}

static void unlock(struct root *root)
{
    (void)pthread_mutex_unlock(&root->signals_lock);
}

static struct op *read_op(struct job_signal *handle)
{
    return (struct op *)handle->job_op;
}

static void read_completed(struct op *op, const struct completion *completion);

/* Holds the handle while the read is in flight. */
static int read_start(struct job_signal *handle)
{
    struct job_loop *loop = handle->handle.job_loop;
    struct op *op = read_op(handle);
    op->completed = read_completed;
    op->kind = OP_READ;
    op->fd = handle->job_fd;
    op->read.bytes = handle->job_info;
    op->read.len = sizeof(struct signalfd_siginfo);
    int err = loop->engine->type->start(loop->engine, op);
    if (err == 0)
        handle_hold(&handle->handle);
    return err;
}

static void fails(struct job_signal *handle, int err)
{
    log_write(&handle->handle.job_loop->root->log, JOB_LOG_ERROR, "signals are no longer received: %s", job_strerror(err));
}

static void read_again(struct job_signal *handle);

static void deliver_later(struct job_mail *mail)
{
    struct job_signal *handle = job_container_of(mail, struct job_signal, job_later);
    if (handle_is_open(&handle->handle))
        read_again(handle);
    handle_release(&handle->handle);
}

/* The entry that the last read had in the table of operations may be somebody else's by now, who was started in a callback. */
static void read_again(struct job_signal *handle)
{
    int err = read_start(handle);
    if (err == -EAGAIN) {
        handle->job_later.job_deliver = deliver_later;
        handle_hold(&handle->handle);
        loop_stall_mail(handle->handle.job_loop, &handle->job_later);
    } else if (err < 0) {
        fails(handle, err);
    }
}

/* What was told while the handle was open is dropped once it closes, as what it reads itself. */
static void deliver_told(struct job_mail *mail)
{
    struct job_signal *handle = job_container_of(mail, struct job_signal, job_told_mail);
    struct job_loop *loop = handle->handle.job_loop;
    lock(loop->root);
    uint64_t told = handle->job_told;
    handle->job_told = 0;
    unlock(loop->root);
    if (handle_is_open(&handle->handle))
        handle_hold(&handle->handle);   /* else signal_closing() has held it */
    for (int number = 1; told != 0; number++, told >>= 1) {
        if ((told & 1) && handle_is_open(&handle->handle))
            LOOP_CALL(loop, handle->job_caught, (handle, number));
    }
    handle_release(&handle->handle);
}

static void tell_others(struct job_signal *reader, int number)
{
    struct root *root = reader->handle.job_loop->root;
    lock(root);
    list_each(node, &root->signals) {
        struct job_signal *other = job_container_of(node, struct job_signal, job_node);
        if (other == reader || !(other->job_numbers & bit_of(number)))
            continue;
        bool is_out = other->job_told != 0;
        JOB_MARK(signal_is_told_to_another);
        other->job_told |= bit_of(number);
        if (!is_out)
            mailbox_post(&other->handle.job_loop->mailbox, &other->job_told_mail);   /* open, so its loop is there */
    }
    unlock(root);
}

static void read_completed(struct op *op, const struct completion *completion)
{
    struct job_signal *handle = job_container_of(op, struct job_signal, job_op);
    struct job_loop *loop = handle->handle.job_loop;
    const struct signalfd_siginfo *info = (const struct signalfd_siginfo *)handle->job_info;
    bool has_read = completion->res == (int32_t)sizeof *info;
    if (has_read)
        tell_others(handle, (int)info->ssi_signo);
    if (handle_is_open(&handle->handle) && has_read)
        LOOP_CALL(loop, handle->job_caught, (handle, (int)info->ssi_signo));
    bool has_failed = completion->res < 0 && completion->res != -EAGAIN && completion->res != -EINTR;
    if (handle_is_open(&handle->handle) && has_failed)
        fails(handle, completion->res);
    else if (handle_is_open(&handle->handle))
        read_again(handle);
    handle_release(&handle->handle);
}

static void signal_closing(struct job_handle *base)
{
    struct job_signal *handle = job_container_of(base, struct job_signal, handle);
    lock(base->job_loop->root);
    list_remove(node_of(handle));
    bool is_told = handle->job_told != 0;
    unlock(base->job_loop->root);
    if (is_told)
        handle_hold(base);   /* until its mail is delivered */
    if (op_is_in_flight(read_op(handle)))
        base->job_loop->engine->type->cancel(base->job_loop->engine, read_op(handle));
    else
        loop_unstall(base->job_loop);   /* it may wait there, and would for ever */
}

static void signal_closed(struct job_handle *base)
{
    struct job_signal *handle = job_container_of(base, struct job_signal, handle);
    descriptor_close(base->job_loop, handle->job_fd);
    HANDLE_TELL_CLOSED(handle, handle->job_on_closed);
}

static const struct handle_kind signal_kind = {.name = "signal", .close = signal_closing, .closed = signal_closed};

/* -EPERM unless all of them are blocked in this thread. */
static int check_blocked(const int *numbers, size_t count)
{
    sigset_t blocked;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (size_t i = 0; i < count; i++) {
        if (!sigismember(&blocked, numbers[i]))
            return -EPERM;
    }
    return 0;
}

/* From here on the others tell it what they read. */
static void enlist(struct job_signal *handle, const int *numbers, size_t count)
{
    struct root *root = handle->handle.job_loop->root;
    handle->job_told_mail.job_deliver = deliver_told;
    for (size_t i = 0; i < count; i++)
        handle->job_numbers |= bit_of(numbers[i]);
    list_init(node_of(handle));
    lock(root);
    list_push_back(&root->signals, node_of(handle));
    unlock(root);
}

int job_signal_open(struct job_loop *loop, struct job_signal *handle, const int *numbers, size_t count,
                    void (*caught)(struct job_signal *signal, int number))
{
    sigset_t set;
    if (!loop || !handle || !caught)
        return -EINVAL;
    int err = make_set(&set, numbers, count);
    if (err < 0)
        return err;
    err = check_blocked(numbers, count);
    if (err < 0)
        return err;
    int fd = sys_lifted(signalfd(-1, &set, SFD_CLOEXEC));   /* blocking: with O_NONBLOCK kernel 6.1 ends the read with EAGAIN, for ever */
    if (fd < 0)
        return fd;
    err = handle_open(loop, &handle->handle, sizeof *handle, &signal_kind);
    if (err < 0)
        goto close_fd;
    handle->job_fd = fd;
    handle->job_caught = caught;
    err = read_start(handle);
    if (err < 0)
        goto abandon;
    (void)fetch_add_relaxed(&loop->root->fds, 1);   /* ledger: orders nothing */
    job_handle_unref(&handle->handle);
    enlist(handle, numbers, count);
    return 0;
abandon:
    handle_abandon(&handle->handle);
close_fd:
    (void)sys_close(fd);
    return err;
}

void job_signal_close(struct job_signal *handle, void (*closed)(struct job_signal *signal))
{
    if (!handle || !handle_may_close(&handle->handle))
        return;
    handle->job_on_closed = closed;
    (void)handle_close(&handle->handle);
}
