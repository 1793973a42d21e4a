/* watch.h — what happens to files and directories, told on the loop (inotify(7)).
 *
 *      job_watch_open ──▶ job_watch_add ──▶ added ──▶ changed … ──▶ IN_IGNORED, or job_watch_remove
 *                     └─▶ job_watch_close ──▶ closed
 *
 * A watch has any number of entries, each a file or a directory; what is inside of a directory is told by name, what is in directories
 * below is not. Events are the kernel's, IN_* of <sys/inotify.h>: equal ones that follow each other may be merged, and who is slow may
 * lose some, which is told. The kernel allows a user so many watches (fs.inotify.max_user_instances, often 128) and so many entries
 * (max_user_watches).
 */
#ifndef JOB_WATCH_H
#define JOB_WATCH_H

#include <job/file.h>

JOB_BEGIN_DECLS

struct job_watch;
struct job_watch_entry;

struct job_watch_event {
    uint32_t mask;        /* IN_CREATE, IN_MODIFY, IN_MOVED_FROM … what has happened; IN_ISDIR: to a directory */
    uint32_t cookie;      /* of IN_MOVED_FROM and IN_MOVED_TO: equal for both ends of one rename; the other one may be told later,
                             elsewhere, or never */
    const char *name;     /* in a directory that is watched; NULL: it has happened to the entry itself. Valid in the callback */
};

/* One thing that is watched. The caller supplies the memory, which may hold anything but an entry that is in use: zero it once. */
struct job_watch_entry {
    void *data;           /* yours; not touched by the library */

    /* The library's. */
    struct job_watch *job_watch;
    void (*job_added)(struct job_watch_entry *entry, int status);
    void *job_node[2];
    struct job_file_op job_call;
    int32_t job_id;
    uint32_t job_state;
    uint64_t job_reserved[2];
};

struct job_watch {
    struct job_handle handle;

    /* The library's. */
    void (*job_changed)(struct job_watch *watch, struct job_watch_entry *entry, const struct job_watch_event *event);
    void (*job_on_closed)(struct job_watch *watch);
    void *job_op[10];
    struct job_mail job_later;
    void *job_reader;
    int job_fd;
    uint32_t job_adding;
    uint32_t job_flags;
    uint32_t job_reserved0;
    uint64_t job_reserved[3];
};

/**
 * Opens a watch, without entries. It keeps the loop running.
 *
 * @param changed  required; called on the loop for each event. `entry` is NULL when events were lost (IN_Q_OVERFLOW): look at everything
 *                 anew. After IN_IGNORED the entry is not watched any more, since it was removed or its file system unmounted: its memory
 *                 is yours again in that callback. It may add, remove and close
 * @return 0, or -EINVAL: an argument is NULL; -EMFILE: no more watches or descriptors; -ENFILE; -ENOMEM; -ECANCELED: the loop is closing;
 *         -EPERM: not its thread
 * Thread: loop thread, or before start.
 */
JOB_API int job_watch_open(struct job_loop *loop, struct job_watch *watch,
                           void (*changed)(struct job_watch *watch, struct job_watch_entry *entry,
                                           const struct job_watch_event *event));

/**
 * Watches one thing more: looked up by a thread of job_runtime_calls(), since a path may be slow.
 *
 * @param entry   stays until it is removed, or the watch is closed, or `added` says an error
 * @param path    stays until `added`; without `resolve`. One that begins at a directory is looked up in /proc, which must be mounted
 * @param events  IN_* of what shall be told; and IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_ONESHOT
 * @param added   required; called once on the loop, before the first event of this entry. 0: watched; or what inotify_add_watch(2) says:
 *                -ENOENT, -EACCES, -ENOTDIR, -ENOSPC (too many entries) …; -EEXIST: it is watched already, perhaps by another name;
 *                -ECANCELED: removed or closed meanwhile. After an error the entry's memory is yours again
 * @return 0, or -EINVAL: an argument, or no event; -EBUSY: the entry is in use; -EAGAIN: 4096 calls of this loop wait; -ENOMEM; -ECANCELED:
 *         closing; -EPERM: not the loop's thread; nothing changes on error
 * Thread: loop thread.
 */
JOB_API int job_watch_add(struct job_watch *watch, struct job_watch_entry *entry, const struct job_path *path,
                          uint32_t events, void (*added)(struct job_watch_entry *entry, int status));

/**
 * Watches an entry no more: nothing of it is told after this, and its memory is yours again. One that is not added yet ends by `added` with
 * -ECANCELED, and its memory is yours then.
 *
 * @return 0; -ENOENT: it is not in use; -EINVAL: NULL; -EPERM: not the loop's thread
 * Thread: loop thread.
 */
JOB_API int job_watch_remove(struct job_watch_entry *entry);

/** Closes a watch with its entries: nothing more is told but `added` of those that are not added yet. `closed` (may be NULL) comes later,
 * once, after a thread has closed the descriptor; then the memory of all of them is yours. Thread: loop thread. */
JOB_API void job_watch_close(struct job_watch *watch, void (*closed)(struct job_watch *watch));

JOB_END_DECLS

#endif
