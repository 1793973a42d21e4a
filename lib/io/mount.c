/* mount.c — which file systems answer by themselves, and which ask a server that may be slow or gone.
 *
 * RESOLVE_CACHED keeps a look-up from sleeping, but not the open behind it: NFS and FUSE send that to their server, as they do with
 * fstat(2) and close(2). So before the loop makes such a call it wants to know the kind of file system, and that by calls which ask no
 * server themselves: statx(2) with AT_STATX_DONT_SYNC says which mount a descriptor is of, statmount(2) what that mount is. The answer is
 * kept under the mount's unique number, which no other mount gets before the next boot: so nothing has to be forgotten.
 *
 * Kinds that are known to be local are listed, and all others go to threads: of a new one that is slower, and never wrong.
 *
 * Where the kernel does not say (before 6.8, in containers that forbid statmount(2), for mounts of another name space) the file system is
 * asked by fstatfs(2), and a server may then let the caller wait. An overlay passes for local, whatever lies beneath it, and 9P asks its
 * server for statx(2) all the same: that cannot be known.
 *
 * Rejected: to remember st_dev, as a thread's fstatfs(2) found it. Mounts without a disk get the number of one that has gone, and a
 * server's would pass for a tmpfs.
 */
#include "io/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"

/* All newer than Debian 12's headers. */
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif
#ifndef SYS_statmount
#define SYS_statmount 457
#endif
#define STATMOUNT_KIND 1U   /* STATMOUNT_SB_BASIC */

/* The kernel's struct mnt_id_req, in its first version. */
struct mount_request {
    uint32_t size;
    uint32_t spare;
    uint64_t mount;
    uint64_t mask;
};

/* Its struct statmount, as far as we ask; no less than 512 bytes, which the first version has. */
struct mount_answer {
    uint32_t size;
    uint32_t options;
    uint64_t mask;
    uint32_t device[2];
    uint64_t kind;
    uint32_t rest[120];
};

_Static_assert(sizeof(struct mount_request) == 24, "as the kernel's");
_Static_assert(sizeof(struct mount_answer) == 512, "as the kernel's");

/* By what <linux/magic.h> calls them, or else by their own sources: bcachefs, ZFS, NTFS3. */
static bool is_kind_local(uint64_t kind)
{
    static const uint32_t kinds[] = {
        EXT4_SUPER_MAGIC,      TMPFS_MAGIC,       OVERLAYFS_SUPER_MAGIC, XFS_SUPER_MAGIC,      BTRFS_SUPER_MAGIC,
        F2FS_SUPER_MAGIC,      0xca451a4e,        0x2fc12fc1,            RAMFS_MAGIC,          HUGETLBFS_MAGIC,
        PROC_SUPER_MAGIC,      SYSFS_MAGIC,       CGROUP2_SUPER_MAGIC,   SQUASHFS_MAGIC,       EROFS_SUPER_MAGIC_V1,
        ISOFS_SUPER_MAGIC,     UDF_SUPER_MAGIC,   MSDOS_SUPER_MAGIC,     EXFAT_SUPER_MAGIC,    0x7366746e,
    };
    for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
        if (kinds[i] == kind)
            return true;
    }
    return false;
}

static bool is_known(const struct root *root, uint64_t mount)
{
    for (unsigned i = 0; i < MOUNTS_KNOWN; i++) {
        if (load_relaxed(&root->local_mounts[i]) == mount)   /* the number is all there is to know: orders nothing */
            return true;
    }
    return false;
}

static void remember(struct root *root, uint64_t mount)
{
    uint32_t place = fetch_add_relaxed(&root->local_mounts_next, 1) % MOUNTS_KNOWN;   /* as above */
    store_relaxed(&root->local_mounts[place], mount);                                 /* as above; the oldest is asked for anew */
}

/* 0: the kernel does not say. */
static uint64_t kind_of_mount(uint64_t mount)
{
    struct mount_request request = {.size = sizeof request, .mount = mount, .mask = STATMOUNT_KIND};
    struct mount_answer answer = {0};
    bool is_told = syscall(SYS_statmount, &request, &answer, sizeof answer, 0) == 0 && (answer.mask & STATMOUNT_KIND);
    return is_told ? answer.kind : 0;
}

static bool is_local(struct root *root, int fd, const struct statx *status)
{
    struct statfs system;
    uint64_t mount = status->stx_mask & STATX_MNT_ID_UNIQUE ? status->stx_mnt_id : 0;
    if (mount > 0 && is_known(root, mount))
        return true;
    uint64_t kind = mount > 0 ? kind_of_mount(mount) : 0;
    if (kind == 0 && fstatfs(fd, &system) == 0)
        kind = (uint32_t)system.f_type;
    if (mount > 0 && is_kind_local(kind))
        remember(root, mount);
    return is_kind_local(kind);
}

int mount_look(struct root *root, int fd, struct mount_look *look)
{
    struct statx status;
    *look = (struct mount_look){0};
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_MNT_ID_UNIQUE, &status) < 0)
        return -errno;
    look->is_file = S_ISREG(status.stx_mode);
    look->is_directory = S_ISDIR(status.stx_mode);
    look->is_disk = S_ISBLK(status.stx_mode);
    look->is_pipe = S_ISFIFO(status.stx_mode) || S_ISSOCK(status.stx_mode);
    look->is_local = (look->is_file || look->is_directory || look->is_disk) && is_local(root, fd, &status);
    return 0;
}
