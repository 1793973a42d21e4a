/* maps.h — reads /proc/PID/maps: what is mapped where in another process. */
#ifndef JOBCTL_MAPS_H
#define JOBCTL_MAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct map {
    uint64_t start, end, offset;
    uint64_t inode;
    const char *path;    /* as the kernel prints it; valid during the call; "" when there is none */
};

/* Calls `visit` for each mapping until it returns true. 0, or -ESRCH, -EACCES … */
int maps_each(pid_t pid, bool (*visit)(const struct map *map, void *arg), void *arg);

#endif
