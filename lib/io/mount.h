/* mount.h — what an open descriptor is, and whether its file system answers by itself: known without asking a server. */
#ifndef JOB_IO_MOUNT_H
#define JOB_IO_MOUNT_H

#include <stdbool.h>

#include "base/root.h"

struct mount_look {
    bool is_file;        /* a regular one */
    bool is_directory;
    bool is_disk;        /* a block device */
    bool is_local;       /* one of these three, of a file system of this kernel: to open it asks nobody else */
    bool is_pipe;        /* a pipe, with or without a name, or a socket */
};

/* Of a descriptor, which may be one of O_PATH. 0, or a negative errno. Any thread. */
int mount_look(struct root *root, int fd, struct mount_look *look);

#endif
