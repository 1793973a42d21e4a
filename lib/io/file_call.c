/* file_call.c — what a file request does, by plain calls: on a thread that may sleep, or, for what is in memory, without sleeping.
 *
 * A call that a signal has interrupted is made again; reads and writes go on until all is done. A request that has opened a descriptor for
 * itself closes it, whatever happens.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/sys.h"
#include "io/file.h"
#include "io/mount.h"
#include "memory/arena.h"

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

enum {
    LOAD_TRY_BYTES = 65536,      /* what a loop copies at once: some 5 us */
    LOAD_FIRST_BYTES = 4096,     /* for files that say they are empty: those of /proc are not */
    LIST_BYTES = 60000,          /* of entries in one segment at least: a slot of 64 KiB */
    LIST_BYTES_MAX = 1000000,    /* at most: a slot of 1 MiB */
    NAME_TRIES = 100,            /* temporary names before we give up */
    TEMPORARY_LEN = 5 + 16,      /* ".job-" and a number */
};

#define AGAIN_IF_INTERRUPTED(call)                                                                                     \
    __extension__({                                                                                                    \
        long again_rc;                                                                                                 \
        do                                                                                                             \
            again_rc = (long)(call);                                                                                   \
        while (again_rc < 0 && errno == EINTR);                                                                        \
        again_rc < 0 ? -(long)errno : again_rc;                                                                        \
    })

static int directory_of(const struct job_path *path)
{
    return path->directory ? path->directory->job_fd : AT_FDCWD;
}

static long open_by(const struct job_path *path, struct open_how *how)
{
    return AGAIN_IF_INTERRUPTED(syscall(SYS_openat2, directory_of(path), path->name, how, sizeof *how));
}

/* Standard input, output or error is closed, as far as one can see: another thread may close or open it now. */
static bool must_lift(void)
{
    bool is_whole = true;
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        is_whole = is_whole && fcntl(fd, F_GETFD) >= 0;
    return !is_whole;
}

/* A file that was made or emptied stays so, though no number above 2 was free for its descriptor: that is taken first. */
static long open_in_place(const struct job_path *path, struct open_how *how)
{
    int place = sys_lifted(open("/", O_PATH | O_CLOEXEC));
    if (place < 0)
        return place;
    long fd = open_by(path, how);
    if (fd < 0 || fd > STDERR_FILENO) {
        (void)sys_close(place);   /* it has opened nothing */
        return fd;
    }
    long moved = AGAIN_IF_INTERRUPTED(dup3((int)fd, place, O_CLOEXEC));
    assert(moved == place);   /* both are open, and ours alone */
    (void)sys_close((int)fd);   /* it is open by the other */
    return place;
}

static int open_any(const struct job_path *path, int flags, unsigned mode, uint64_t resolve)
{
    bool makes = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = makes ? mode & 07777 : 0,
        .resolve = path->resolve | resolve,
    };
    bool changes = (flags & (O_CREAT | O_TRUNC)) != 0;
    long fd = changes && must_lift() ? open_in_place(path, &how) : open_by(path, &how);
    return fd < 0 ? (int)fd : sys_lifted((int)fd);
}

/* Without sleeping: files and directories that are in memory, of file systems that open them without asking anybody (io/mount.h). What is
 * there is looked at first, by a descriptor that opens nothing: a server would be asked, who opens one end of a FIFO and closes it again
 * wakes whoever waits for the other, and a device may have a mind of its own. That the name may be another thing's a moment later is
 * accepted: to open by that descriptor (/proc/self/fd) costs as much again as all of this, and truncates. */
static int open_in_memory(struct root *root, const struct job_path *path, int flags)
{
    struct mount_look look;
    if ((flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
        return -EAGAIN;   /* the kernel would say that as well */
    if (flags & O_PATH)
        return open_any(path, flags, 0, RESOLVE_CACHED);   /* it opens nothing */
    int probe = open_any(path, O_PATH | (flags & (O_DIRECTORY | O_NOFOLLOW)), 0, RESOLVE_CACHED);
    if (probe < 0)
        return probe;
    bool is_harmless = mount_look(root, probe, &look) == 0 && look.is_local && (look.is_file || look.is_directory);
    (void)sys_close(probe);   /* it has opened nothing */
    return is_harmless ? open_any(path, flags, 0, RESOLVE_CACHED) : -EAGAIN;
}

static int open_path(const struct job_path *path, int flags, unsigned mode)
{
    return open_any(path, flags, mode, 0);
}

int file_kind_of(struct root *root, int fd, int open_flags, uint32_t *flags)
{
    struct mount_look look;
    int err = mount_look(root, fd, &look);
    if (err < 0)
        return err;
    *flags = (look.is_file || look.is_disk ? FILE_SEEKABLE : 0) | (look.is_local ? FILE_LOCAL : 0) |
             (look.is_pipe ? FILE_PIPE : 0) |
             (open_flags & O_NONBLOCK ? FILE_NONBLOCK : 0) |
             ((open_flags & O_ACCMODE) == O_RDONLY ? FILE_READ_ONLY : 0) |
             (open_flags & O_DIRECT ? FILE_DIRECT | FILE_RING_WRITES : 0);
    return 0;
}

static struct root *root_of(const struct job_file_op *op)
{
    return op->job_handle->job_loop->root;
}

/* It is open: what is it? Its file learns that when the open has ended. */
static int note_opened(struct job_file_op *op, int fd)
{
    uint32_t kind = 0;
    op->job_fd = fd;
    int err = file_kind_of(root_of(op), fd, (int)op->job_flags, &kind);
    op->job_len = kind;
    return err;
}

/* To the segment of byte `done`; returns where in it that is. A part begins where the one before it ended: from the head each time a
 * writer's million segments would be 7 * 10^10 steps. */
static size_t go_to(struct job_file_op *op, size_t done)
{
    if (!op->job_at) {
        op->job_at = op->job_buf;
        op->job_before = 0;
    }
    assert(done >= op->job_before);
    size_t behind = done - (size_t)op->job_before;
    while (op->job_at && behind >= job_buf_segment_len(op->job_at)) {
        behind -= job_buf_segment_len(op->job_at);
        op->job_at = job_buf_next(op->job_at);
    }
    op->job_before = done - behind;
    return behind;
}

unsigned file_fill_vector(struct job_file_op *op, size_t done, size_t *len)
{
    size_t behind = go_to(op, done);
    unsigned count = 0;
    *len = 0;
    for (const struct job_buf *at = op->job_at; at && count < FILE_VECTOR_MAX; at = job_buf_next(at)) {
        size_t here = job_buf_segment_len(at);
        if (here == 0)
            continue;
        file_vector(op)[count++] = (struct iovec){(char *)job_buf_data(at) + behind, here - behind};
        *len += here - behind;
        behind = 0;
    }
    return count;
}

static int call_open(struct job_file_op *op)
{
    int fd = open_path(&op->job_paths[0], (int)op->job_flags, op->job_mode);
    return fd < 0 ? fd : note_opened(op, fd);
}

/* A call has failed with `err`. True: it can be made again. O_NONBLOCK belongs to all who have the pipe or terminal, and any of them may
 * have set it; our thread waits all the same. */
static bool waits_until_ready(long err, int fd, short events)
{
    struct pollfd pollfd = {.fd = fd, .events = events};
    return err == -EAGAIN && (fcntl(fd, F_GETFL) & O_NONBLOCK) && AGAIN_IF_INTERRUPTED(poll(&pollfd, 1, -1)) == 1;
}

static int read_at(struct job_file_op *op, int fd)
{
    long n = 1;
    while (n > 0 && op->count < op->job_len) {
        size_t room;
        void *bytes = job_buf_room(op->job_buf, &room);
        size_t left = (size_t)(op->job_len - op->count);
        n = AGAIN_IF_INTERRUPTED(pread(fd, bytes, left, (off_t)(op->job_offset + op->count)));
        if (n <= 0)
            break;
        op->count += (uint64_t)n;
        (void)job_buf_extend(op->job_buf, (size_t)n);   /* the kernel writes no more than it was asked for */
        if (op->job_file->job_flags & FILE_DIRECT)
            break;   /* what follows would begin in the middle of a block */
    }
    return n < 0 ? (int)n : 0;
}

/* Of what cannot be read at an offset: what is there. */
static int call_read(struct job_file_op *op)
{
    size_t room;
    int fd = op->job_file->job_fd;
    if ((op->job_file->job_flags & FILE_SEEKABLE) && op->job_offset != JOB_FILE_CURRENT)
        return read_at(op, fd);
    void *bytes = job_buf_room(op->job_buf, &room);
    long n;
    do
        n = AGAIN_IF_INTERRUPTED(read(fd, bytes, min_size(room, op->job_len)));
    while (waits_until_ready(n, fd, POLLIN));
    if (n < 0)
        return (int)n;
    op->count = (uint64_t)n;
    return job_buf_extend(op->job_buf, (size_t)n);
}

/* An append names an offset that RWF_APPEND then ignores: with -1 the kernel would also set the descriptor's position to the new end, and
 * whoever reads at JOB_FILE_CURRENT would miss all before it. */
static int write_all(struct job_file_op *op, int fd, bool is_seekable)
{
    size_t all = job_buf_len(op->job_buf), len;
    bool is_append = op->job_offset == JOB_FILE_APPEND, is_current = op->job_offset == JOB_FILE_CURRENT;
    int flags = is_append && is_seekable ? RWF_APPEND : 0;
    while (op->count < all) {
        unsigned count = file_fill_vector(op, (size_t)op->count, &len);
        off_t offset = is_current || !is_seekable ? -1 : is_append ? 0 : (off_t)(op->job_offset + op->count);
        long n = AGAIN_IF_INTERRUPTED(pwritev2(fd, file_vector(op), (int)count, offset, flags));
        if (waits_until_ready(n, fd, POLLOUT))
            continue;
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        op->count += (uint64_t)n;
    }
    return 0;
}

static int call_write(struct job_file_op *op)
{
    return write_all(op, op->job_file->job_fd, (op->job_file->job_flags & FILE_SEEKABLE) != 0);
}

static int call_sync(struct job_file_op *op)
{
    int fd = op->job_file->job_fd;
    return (int)AGAIN_IF_INTERRUPTED(op->job_flags ? fdatasync(fd) : fsync(fd));
}

static int call_truncate(struct job_file_op *op)
{
    return (int)AGAIN_IF_INTERRUPTED(ftruncate(op->job_file->job_fd, (off_t)op->job_len));
}

static int call_allocate(struct job_file_op *op)
{
    return (int)AGAIN_IF_INTERRUPTED(
        fallocate(op->job_file->job_fd, (int)op->job_flags, (off_t)op->job_offset, (off_t)op->job_len));
}

static int call_advise(struct job_file_op *op)
{
    return -posix_fadvise(op->job_file->job_fd, (off_t)op->job_offset, (off_t)op->job_len, (int)op->job_flags);
}

static struct job_arena *arena_of(struct job_file_op *op)
{
    return op->job_handle->job_loop->arena;
}

/* One byte more, to see the end. */
static size_t room_wanted(size_t len)
{
    return min_size(len + 1, TOTAL_BYTES_MAX);
}

/* Room behind what was read, as far as a buf can have it: the buf grows by moving to one of twice the size. */
static int grow(struct job_buf **buf, size_t limit)
{
    size_t len = job_buf_len(*buf), room;
    (void)job_buf_room(*buf, &room);
    if (room > 0)
        return 0;
    struct job_buf *larger = NULL;
    size_t wanted = min_size(room_wanted(limit), max_size(2 * len, LOAD_FIRST_BYTES));
    if (wanted <= len)
        return 0;
    int err = job_buf_alloc(job_buf_arena(*buf), wanted, NULL, &larger);
    if (err == 0)
        err = job_buf_write(larger, job_buf_data(*buf), len);
    if (err == 0)
        job_buf_replace(buf, &larger);
    job_buf_free(&larger);   /* NULL, unless something failed */
    return err;
}

/* The buf is as large as one can be: is there more? */
static int check_end(int fd, size_t len, int flags)
{
    char more;
    struct iovec vector = {.iov_base = &more, .iov_len = 1};
    long n = AGAIN_IF_INTERRUPTED(preadv2(fd, &vector, 1, flags ? (off_t)len : -1, flags));
    return n > 0 ? -EFBIG : (int)n;
}

/* To the end of the file, which may not be where its size says: it grows, it shrinks, or it is one of /proc. `flags` of preadv2(2). */
static int read_to_end(struct job_arena *arena, int fd, size_t size, size_t limit, int flags, struct job_buf **out)
{
    struct job_buf *buf = NULL;
    int err = job_buf_alloc(arena, room_wanted(min_size(size, limit)), NULL, &buf);
    while (err == 0) {
        size_t room, len = job_buf_len(buf);
        err = grow(&buf, limit);
        if (err < 0)
            break;
        struct iovec vector = {.iov_base = job_buf_room(buf, &room)};
        vector.iov_len = room;
        if (room == 0) {
            err = check_end(fd, len, flags);
            break;
        }
        long n = AGAIN_IF_INTERRUPTED(preadv2(fd, &vector, 1, flags ? (off_t)len : -1, flags));
        if (n <= 0) {
            err = (int)n;
            break;
        }
        (void)job_buf_extend(buf, (size_t)n);
        len += (size_t)n;
        if (len > limit)
            err = -EFBIG;
        else if (len == size && (size_t)n < room)
            break;   /* short, and where fstat(2) saw the end a moment ago */
    }
    if (err == 0)
        *out = job_buf_take(&buf);
    job_buf_free(&buf);   /* NULL, unless something failed */
    return err;
}

static int call_load(struct job_file_op *op)
{
    struct stat status;
    int fd = open_path(&op->job_paths[0], O_RDONLY | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    size_t size = 0;
    int err = fstat(fd, &status) < 0 ? -errno : 0;
    if (err == 0 && S_ISREG(status.st_mode) && (uint64_t)status.st_size > op->job_len)
        err = -EFBIG;
    else if (err == 0 && S_ISREG(status.st_mode))
        size = (size_t)status.st_size;
    if (err == 0)
        err = read_to_end(arena_of(op), fd, size, (size_t)op->job_len, 0, &op->job_buf);
    (void)sys_close(fd);   /* nothing was written */
    op->count = job_buf_len(op->job_buf);
    return err;
}

int file_load_now(struct job_arena *arena, const struct job_path *path, size_t limit, struct job_buf **buf)
{
    struct stat status;
    int fd = open_in_memory(arena->root, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    int err = fstat(fd, &status) < 0 ? -errno : 0;
    if (err == 0 && !S_ISREG(status.st_mode))
        err = -EAGAIN;
    else if (err == 0 && (uint64_t)status.st_size > limit)
        err = -EFBIG;
    if (err == 0)
        err = read_to_end(arena, fd, (size_t)status.st_size, limit, RWF_NOWAIT, buf);
    (void)sys_close(fd);   /* nothing was written */
    return err == -EOPNOTSUPP ? -EAGAIN : err;   /* a file system that cannot say what is in memory */
}

/* Whatever is wrong: the thread says it. */
static int try_load(struct job_file_op *op)
{
    size_t limit = min_size((size_t)op->job_len, LOAD_TRY_BYTES);
    int err = file_load_now(arena_of(op), &op->job_paths[0], limit, &op->job_buf);
    op->count = job_buf_len(op->job_buf);
    return err == 0 || (err == -EFBIG && limit == op->job_len) ? err : -EAGAIN;
}

/* Where the last part of a path begins. */
static size_t directory_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

/* A name in the directory of the one that is wanted, and not made of it: that may be as long as a name can be. The descriptor, or a
 * negative errno. */
static int open_temporary(struct job_file_op *op, char *name, size_t size)
{
    const struct job_path *path = &op->job_paths[0];
    size_t len = directory_len(path->name);
    if (len + TEMPORARY_LEN >= size)
        return -ENAMETOOLONG;
    memcpy(name, path->name, len);
    for (int i = 0; i < NAME_TRIES; i++) {
        uint64_t number = sys_clock_monotonic_ns() * 0x9e3779b97f4a7c15U ^ (uint64_t)(uintptr_t)op;
        (void)snprintf(name + len, size - len, ".job-%016" PRIx64, number);
        struct job_path temporary = {.directory = path->directory, .name = name};
        int fd = open_path(&temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, op->job_mode);
        if (fd != -EEXIST)
            return fd;
    }
    return -EEXIST;
}

/* Where the name of a path is. The descriptor, or a negative errno. */
static int open_directory(const struct job_path *path)
{
    char name[PATH_MAX];
    size_t len = directory_len(path->name);   /* with its slash: that is a directory's name as well */
    if (len >= sizeof name)
        return -ENAMETOOLONG;
    memcpy(name, path->name, len);
    name[len] = '\0';
    struct job_path directory = {.directory = path->directory, .name = len == 0 ? "." : name};
    return open_path(&directory, O_RDONLY | O_DIRECTORY, 0);
}

/* The name is durable when its directory is. */
static int sync_directory(int fd)
{
    int err = (int)AGAIN_IF_INTERRUPTED(fsync(fd));
    return err == -EINVAL ? 0 : err;   /* a file system that cannot: it keeps its names by other means */
}

static int replace(struct job_file_op *op)
{
    char name[PATH_MAX];
    const struct job_path *path = &op->job_paths[0];
    int fd = open_temporary(op, name, sizeof name);
    if (fd < 0)
        return fd;
    int err = write_all(op, fd, true);
    if (err == 0)
        err = (int)AGAIN_IF_INTERRUPTED(fsync(fd));
    int closed = sys_close(fd);
    if (err == 0 && closed != -EINTR)   /* an interrupted close has closed */
        err = closed;
    if (err == 0)
        err = (int)AGAIN_IF_INTERRUPTED(renameat(directory_of(path), name, directory_of(path), path->name));
    if (err < 0)
        (void)unlinkat(directory_of(path), name, 0);   /* what failed first is told */
    return err;
}

/* What may be refused comes first: once the name is the new file's, only the fsync can fail. */
static int call_store(struct job_file_op *op)
{
    int directory = open_directory(&op->job_paths[0]);
    if (directory < 0)
        return directory;
    int err = replace(op);
    if (err == 0)
        err = sync_directory(directory);
    (void)sys_close(directory);   /* nothing was written */
    return err;
}

/* Most directories are small, and their lists may wait for long: a few of them would fill an arena. */
static void shrink_list(struct job_file_op *op)
{
    struct job_buf *smaller = NULL;
    size_t len = job_buf_len(op->job_buf);
    if (len > LIST_BYTES / 4 || job_buf_segments(op->job_buf) > 1)
        return;
    if (job_buf_alloc(arena_of(op), len, NULL, &smaller) == 0 &&
        job_buf_write(smaller, job_buf_data(op->job_buf), len) == 0)
        job_buf_replace(&op->job_buf, &smaller);
    job_buf_free(&smaller);   /* NULL, unless there was no memory: then it stays as it is */
}

/* As much again as there is already: job_entry_next() looks through the segments, so they must not become many. */
static int alloc_list(struct job_file_op *op, struct job_buf **more)
{
    size_t len = max_size(LIST_BYTES, min_size(job_buf_len(op->job_buf), LIST_BYTES_MAX));
    int err = job_buf_alloc(arena_of(op), len, NULL, more);
    return err == -ENOMEM && len > LIST_BYTES ? job_buf_alloc(arena_of(op), LIST_BYTES, NULL, more) : err;
}

static int call_list(struct job_file_op *op)
{
    int fd = open_path(&op->job_paths[0], O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    long n = 1;
    while (n > 0) {
        struct job_buf *more = NULL;
        size_t room;
        n = alloc_list(op, &more);
        if (n < 0)
            break;
        void *bytes = job_buf_room(more, &room);
        n = AGAIN_IF_INTERRUPTED(syscall(SYS_getdents64, fd, bytes, room));
        if (n > 0) {
            (void)job_buf_extend(more, (size_t)n);
            op->count += (uint64_t)n;
        }
        if (n >= 0 && !op->job_buf)
            op->job_buf = job_buf_take(&more);
        else if (n > 0)
            n = job_buf_append(op->job_buf, &more) < 0 ? -EOVERFLOW : n;
        job_buf_free(&more);
    }
    (void)sys_close(fd);   /* nothing was written */
    if (n < 0)
        job_buf_free(&op->job_buf);
    else
        shrink_list(op);
    return (int)n;
}

static int call_stat(struct job_file_op *op)
{
    const struct job_path *path = &op->job_paths[0];
    return (int)AGAIN_IF_INTERRUPTED(
        statx(directory_of(path), path->name, (int)op->job_flags, STATX_BASIC_STATS | STATX_BTIME, op->job_result));
}

static int call_rename(struct job_file_op *op)
{
    const struct job_path *from = &op->job_paths[0], *to = &op->job_paths[1];
    return (int)AGAIN_IF_INTERRUPTED(
        renameat2(directory_of(from), from->name, directory_of(to), to->name, op->job_flags));
}

static int call_link(struct job_file_op *op)
{
    const struct job_path *from = &op->job_paths[0], *to = &op->job_paths[1];
    return (int)AGAIN_IF_INTERRUPTED(linkat(directory_of(from), from->name, directory_of(to), to->name, 0));
}

static int call_symlink(struct job_file_op *op)
{
    const struct job_path *path = &op->job_paths[0];
    return (int)AGAIN_IF_INTERRUPTED(symlinkat(op->job_result, directory_of(path), path->name));
}

static int call_unlink(struct job_file_op *op)
{
    const struct job_path *path = &op->job_paths[0];
    return (int)AGAIN_IF_INTERRUPTED(unlinkat(directory_of(path), path->name, (int)op->job_flags));
}

static int call_mkdir(struct job_file_op *op)
{
    const struct job_path *path = &op->job_paths[0];
    return (int)AGAIN_IF_INTERRUPTED(mkdirat(directory_of(path), path->name, op->job_mode));
}

/* There is no call that begins at a directory; IN_MASK_CREATE: else a second entry of the same file would change the first. */
static int call_watch(struct job_file_op *op)
{
    char from[PATH_MAX];
    const struct job_path *path = &op->job_paths[0];
    const char *name = path->name;
    if (path->directory && name[0] != '/') {
        int len = snprintf(from, sizeof from, "/proc/self/fd/%d/%s", path->directory->job_fd, name);
        if (len < 0 || (size_t)len >= sizeof from)
            return -ENAMETOOLONG;
        name = from;
    }
    long id = AGAIN_IF_INTERRUPTED(inotify_add_watch((int)op->job_len, name, op->job_flags | IN_MASK_CREATE));
    op->job_fd = (int)id;
    return id < 0 ? (int)id : 0;
}

/* Without O_NONBLOCK a file whose lease somebody has would sleep until that is given up; with it, reads by the ring would not wait for the
 * disk. */
static int try_open(struct job_file_op *op)
{
    int wanted = (int)op->job_flags;
    int extra = wanted & (O_NONBLOCK | O_PATH) ? 0 : O_NONBLOCK;
    int fd = open_in_memory(root_of(op), &op->job_paths[0], wanted | extra);
    if (fd < 0)
        return -EAGAIN;   /* whatever it is: the thread says it */
    if ((!extra || fcntl(fd, F_SETFL, wanted & ~extra) == 0) && note_opened(op, fd) == 0)
        return 0;
    op->job_fd = -1;
    (void)sys_close(fd);   /* nothing was written */
    return -EAGAIN;
}

static int (*const calls[FILE_CALLS])(struct job_file_op *op) = {
    [FILE_CALL_OPEN] = call_open,               [FILE_CALL_READ] = call_read,
    [FILE_CALL_WRITE] = call_write,             [FILE_CALL_SYNC] = call_sync,
    [FILE_CALL_TRUNCATE] = call_truncate,       [FILE_CALL_ALLOCATE] = call_allocate,
    [FILE_CALL_ADVISE] = call_advise,           [FILE_CALL_LOAD] = call_load,
    [FILE_CALL_STORE] = call_store,             [FILE_CALL_LIST] = call_list,
    [FILE_CALL_STAT] = call_stat,               [FILE_CALL_RENAME] = call_rename,
    [FILE_CALL_LINK] = call_link,               [FILE_CALL_SYMLINK] = call_symlink,
    [FILE_CALL_UNLINK] = call_unlink,           [FILE_CALL_MKDIR] = call_mkdir,
    [FILE_CALL_WATCH] = call_watch,
};

int file_call_run(struct job_file_op *op)
{
    return calls[op->job_call](op);
}

int file_call_try(struct job_file_op *op)
{
    if (op->job_call == FILE_CALL_LOAD)
        return try_load(op);
    bool writes = (op->job_flags & (O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))) != 0;
    return op->job_call == FILE_CALL_OPEN && !writes ? try_open(op) : -EAGAIN;
}
