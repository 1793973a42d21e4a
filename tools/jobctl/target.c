/* target.c — from a process number to copies of its segments.
 *
 * The mapping's name in /proc/PID/maps says that there is a segment, its inode says which descriptor in /proc/PID/fd is
 * it. That descriptor is opened by O_PATH first, looked at, and only then opened for reading: what a process has under a
 * name that looks right may be a pipe or a device. The size is sealed, so reading the mapping cannot fault.
 */
#include "target.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "maps.h"
#include "stats/segment.h"

/* Whatever the version: the header says which, and that one is told. */
static const char map_prefix[] = "/memfd:job.stats.";
static const char map_suffix[] = " (deleted)";
_Static_assert(sizeof STATS_MEMFD_NAME > sizeof "job.stats.", "job.stats.v1 and its successors");

struct inodes {
    unsigned count;
    uint64_t inode[TARGET_SEGMENTS_MAX];
};

static bool has_inode(const struct inodes *inodes, uint64_t inode)
{
    for (unsigned i = 0; i < inodes->count; i++) {
        if (inodes->inode[i] == inode)
            return true;
    }
    return false;
}

static bool is_segment_name(const char *name)
{
    size_t len = strlen(name), prefix = sizeof map_prefix - 1, suffix = sizeof map_suffix - 1;
    return len >= prefix + suffix && memcmp(name, map_prefix, prefix) == 0 &&
           strcmp(name + len - suffix, map_suffix) == 0;
}

static bool note_segment(const struct map *map, void *arg)
{
    struct inodes *inodes = arg;
    if (is_segment_name(map->path) && !has_inode(inodes, map->inode))
        inodes->inode[inodes->count++] = map->inode;
    return inodes->count == TARGET_SEGMENTS_MAX;
}

/* Of a size that fits, on tmpfs (huge pages may be missing when they are read), and sealed so that it stays so. */
static bool is_safe_to_map(int fd, size_t *size)
{
    struct stat status;
    struct statfs file_system;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || fstatfs(fd, &file_system) < 0)
        return false;
    int seals = fcntl(fd, F_GET_SEALS);
    if (file_system.f_type != TMPFS_MAGIC || seals < 0 || !(seals & F_SEAL_SHRINK))
        return false;
    if (status.st_size < READER_SEGMENT_MIN || status.st_size > READER_SEGMENT_MAX)
        return false;
    *size = (size_t)status.st_size;
    return true;
}

static int copy_segment(int fd, void **copy, size_t *size)
{
    if (!is_safe_to_map(fd, size))
        return -EBADMSG;
    void *shared = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return -errno;
    *copy = malloc(*size);
    if (*copy)
        reader_copy(shared, *size, *copy);
    (void)munmap(shared, *size);
    return *copy ? 0 : -ENOMEM;
}

/* Opens the file that a path names, without side effects when it is not a regular one with that inode. */
static int open_inode(int directory, const char *name, const struct inodes *inodes, uint64_t *inode)
{
    char again[64];
    struct stat status;
    int path = openat(directory, name, O_PATH | O_CLOEXEC);
    if (path < 0)
        return -errno;
    int fd = -ENOENT;
    if (fstat(path, &status) == 0 && S_ISREG(status.st_mode) && has_inode(inodes, status.st_ino)) {
        (void)snprintf(again, sizeof again, "/proc/self/fd/%d", path);
        fd = open(again, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        fd = fd < 0 ? -errno : fd;
        *inode = status.st_ino;
    }
    (void)close(path);
    return fd;
}

/* A number may be used again, also by a child in a namespace of its own; the start time is then another. */
static bool is_of_process(const struct snapshot *snapshot, const struct process *process)
{
    bool is_comparable = snapshot->start_ticks != 0 && process->start_ticks != 0;
    return snapshot->pid == process->own_pid && (!is_comparable || snapshot->start_ticks == process->start_ticks);
}

static void parse_segment(int fd, uint64_t inode, struct target *target)
{
    void *copy = NULL;
    size_t size = 0;
    struct target_segment *segment = &target->segments[target->count++];
    memset(segment, 0, sizeof *segment);
    int err = copy_segment(fd, &copy, &size);
    segment->inode = inode;
    segment->result = err == -EBADMSG ? READER_UNSAFE : READER_NO_MEMORY;
    if (err == 0)
        segment->result = reader_parse(copy, size, &segment->snapshot);
    segment->is_inherited = segment->result == READER_OK && !is_of_process(&segment->snapshot, &target->process);
    free(copy);
}

static int try_descriptor(int directory, const char *name, const struct inodes *wanted, struct inodes *found,
                          struct target *target)
{
    char link[64];   /* a longer one is none of ours */
    uint64_t inode = 0;
    ssize_t len = readlinkat(directory, name, link, sizeof link - 1);
    if (len < 0)
        return -errno;
    link[len] = '\0';
    if (!is_segment_name(link))
        return 0;
    int fd = open_inode(directory, name, wanted, &inode);
    if (fd < 0)
        return fd;
    if (!has_inode(found, inode)) {
        found->inode[found->count++] = inode;
        parse_segment(fd, inode, target);
    }
    (void)close(fd);
    return 0;
}

/* Looks through the descriptors for the segments that are mapped. */
static int read_segments(const struct inodes *wanted, struct target *target)
{
    char name[64];
    (void)snprintf(name, sizeof name, "/proc/%d/fd", (int)target->process.tid);
    DIR *directory = opendir(name);
    if (!directory)
        return errno == ENOENT ? -ESRCH : -errno;
    struct inodes found = {0};
    struct dirent *entry;
    int denied = 0;
    while (found.count < wanted->count && (entry = readdir(directory))) {
        int err = try_descriptor(dirfd(directory), entry->d_name, wanted, &found, target);
        if (err == -EACCES || err == -EPERM)
            denied = err;
    }
    (void)closedir(directory);
    if (found.count > 0)
        return 0;
    return denied ? denied : -EBADF;
}

int target_read(pid_t pid, struct target *target)
{
    struct inodes wanted = {0};
    *target = (struct target){.pid = pid};
    int err = process_read(pid, &target->process);
    if (err < 0)
        return err;
    err = maps_each(target->process.tid, note_segment, &wanted);
    if (err < 0)
        return err;
    if (wanted.count == 0)
        return -ENOENT;
    err = read_segments(&wanted, target);
    target->now_ns = process_now_ns();   /* after the copy: nothing in it is later */
    return err;
}

void target_free(struct target *target)
{
    for (unsigned i = 0; i < target->count; i++)
        reader_free(&target->segments[i].snapshot);
    target->count = 0;
}
