/* process_stdio.c — the descriptors of a program: ours, new ones, or one end of a socket pair whose other end is a stream.
 *
 * A pair of Unix sockets and not a pipe, since streams receive and send: the program sees no difference, but for opening it anew by a path.
 * Our end opens as a stream before the program starts, so that what is sent at once waits in it. It receives only when we know of the
 * start: else data of a program could come before `started`. Until then the start keeps its `closed` back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/root.h"
#include "base/sys.h"
#include "io/process.h"
#include "io/stream.h"

/* Ledger, for what is not yet a stream's: any thread, orders nothing. */
static void count(struct spawn *spawn, int more)
{
    (void)fetch_add_relaxed(&spawn->root->fds, (uint64_t)more);
}

static int make_pair(struct spawn *spawn, unsigned i)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return -errno;
    int err = sys_lift(&fds[0]);
    if (err == 0)
        err = sys_lift(&fds[1]);
    if (err < 0) {
        (void)sys_close(fds[0]);
        (void)sys_close(fds[1]);
        return err;
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);   /* our end alone: a program expects to wait */
    spawn->stream_fd[i] = fds[0];
    spawn->own[i] = spawn->from[i] = fds[1];
    count(spawn, 1);
    return 0;
}

static int use(struct spawn *spawn, unsigned i, int fd)
{
    if (fcntl(fd, F_GETFD) < 0)
        return -EBADF;
    spawn->from[i] = fd;
    return 0;
}

/* Ours may be closed; and what closes when a program starts is not meant for it: somebody else's who has got the number. */
static int inherit(struct spawn *spawn, unsigned i)
{
    int flags = fcntl((int)i, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
        spawn->from[i] = (int)i;
    return 0;
}

static int make_one(struct spawn *spawn, unsigned i)
{
    const struct job_process_stdio *stdio = &spawn->options.stdio[i];
    switch (stdio->how) {
    case JOB_STDIO_INHERIT: return inherit(spawn, i);
    case JOB_STDIO_NULL: return 0;     /* stdio_open_null() */
    case JOB_STDIO_STREAM: return make_pair(spawn, i);
    case JOB_STDIO_FD: return use(spawn, i, stdio->fd);
    case JOB_STDIO_OUTPUT: return 0;   /* stdio_open_null() */
    }
    return -EINVAL;
}

int stdio_make(struct spawn *spawn)
{
    int err = 0;
    spawn->count = (unsigned)(STDIO_COUNT + spawn->options.descriptor_count);
    for (unsigned i = 0; i < STDIO_COUNT; i++)
        spawn->from[i] = spawn->own[i] = spawn->stream_fd[i] = -1;
    for (unsigned i = 0; i < STDIO_COUNT && err == 0; i++)
        err = make_one(spawn, i);
    for (unsigned i = STDIO_COUNT; i < spawn->count && err == 0; i++)
        err = use(spawn, i, spawn->options.descriptors[i - STDIO_COUNT]);
    if (err < 0)
        stdio_undo(spawn);
    return err;
}

int stdio_open_null(struct spawn *spawn)
{
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        if (spawn->options.stdio[i].how != JOB_STDIO_NULL)
            continue;
        int fd = sys_lifted(open("/dev/null", O_RDWR | O_CLOEXEC));
        if (fd < 0)
            return fd;
        spawn->own[i] = spawn->from[i] = fd;
        count(spawn, 1);
    }
    if (spawn->options.stdio[2].how == JOB_STDIO_OUTPUT)
        spawn->from[2] = spawn->from[1];
    return 0;
}

int stdio_open(struct spawn *spawn, struct job_loop *loop)
{
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        const struct job_process_stdio *stdio = &spawn->options.stdio[i];
        int err = spawn->stream_fd[i] < 0 ? 0 : stream_open(loop, stdio->stream, spawn->stream_fd[i], stdio->events);
        if (err == 0)
            continue;
        while (i-- > 0) {
            if (spawn->stream_fd[i] >= 0)
                stream_abandon(spawn->options.stdio[i].stream);
        }
        return err;
    }
    return 0;
}

void stdio_abandon(struct spawn *spawn)
{
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        if (spawn->stream_fd[i] >= 0)
            stream_abandon(spawn->options.stdio[i].stream);
    }
}

static void hold(struct job_stream *stream)
{
    stream_set(stream, STREAM_HELD);
    handle_hold(&stream->handle);
}

void stdio_hold(struct spawn *spawn)
{
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        if (spawn->stream_fd[i] >= 0)
            hold(spawn->options.stdio[i].stream);
    }
}

void stdio_receive(struct spawn *spawn)
{
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        struct job_stream *stream = spawn->options.stdio[i].stream;
        if (spawn->stream_fd[i] < 0)
            continue;
        stream_clear(stream, STREAM_HELD);
        if (handle_is_open(&stream->handle)) {
            stream_later(stream, STREAM_LATER_RESUME);
            stream_later(stream, STREAM_LATER_FLUSH);
        }
        handle_release(&stream->handle);
    }
}

void stdio_close_own(struct spawn *spawn)
{
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        if (spawn->own[i] < 0)
            continue;
        (void)sys_close(spawn->own[i]);
        spawn->own[i] = -1;
        count(spawn, -1);
    }
}

void stdio_undo(struct spawn *spawn)
{
    stdio_close_own(spawn);
    for (unsigned i = 0; i < STDIO_COUNT; i++) {
        if (spawn->stream_fd[i] >= 0)
            (void)sys_close(spawn->stream_fd[i]);
        spawn->stream_fd[i] = -1;
    }
}
