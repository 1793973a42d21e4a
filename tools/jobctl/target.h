/* target.h — finds the statistics segments of a process and copies them. Nothing of it asks the process to do anything. */
#ifndef JOBCTL_TARGET_H
#define JOBCTL_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/time.h"
#include "process.h"
#include "reader.h"

enum { TARGET_SEGMENTS_MAX = 16 };

struct target_segment {
    uint64_t inode;              /* which one it is, as long as the process lives */
    enum reader_result result;
    bool is_inherited;           /* a copy of its parent's, through fork: says nothing of this process */
    struct snapshot snapshot;    /* when result is READER_OK, and the version when it is READER_VERSION */
};

struct target {
    pid_t pid;
    struct process process;
    uint64_t now_ns;             /* when the segments were copied */
    unsigned count;
    struct target_segment segments[TARGET_SEGMENTS_MAX];
};

/* 0, or -ESRCH: no such process; -ENOENT: it shows no segment; -EACCES or -EPERM: the kernel does not let us look; -EBADF: a segment is
 * mapped, but its descriptor was closed; -ENOMEM. On 0 at least one segment is there. */
int target_read(pid_t pid, struct target *target);
void target_free(struct target *target);

#endif
