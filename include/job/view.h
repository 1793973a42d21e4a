/* view.h — frozen bytes: a buf that nobody may change any more, and that can therefore be in many places at once.
 *
 * A view is a `struct job_buf` like any other: it is sent, given to tasks, split, appended and freed by the same functions, and its own
 * pointer has exactly one owner. But its bytes may be shared with other views (slices), on other threads too; they live until the last
 * view of them is freed. Whatever would write into frozen bytes finds no room: job_buf_room() has length 0, job_buf_prepend() is NULL,
 * job_buf_write() continues in a new segment. Never write through job_buf_data() of a view; checked builds find who did, at the latest when
 * the bytes are thawed or freed.
 *
 *      view ──┐   freeze            slice ──▶ stream 1
 *             ▼                     slice ──▶ stream 2          one slot, four owners of a piece of it, no copy
 *      [bytes................]      slice ──▶ task
 */
#ifndef JOB_VIEW_H
#define JOB_VIEW_H

#include <job/buf.h>

JOB_BEGIN_DECLS

/**
 * Freezes all bytes of a buf: from now on it is a view. Free room behind its bytes is given up until it is thawed. A view may be frozen
 * again: nothing happens.
 *
 * @return 0, or -EINVAL: buf is NULL
 * Thread: owner.
 */
JOB_API int job_buf_freeze(struct job_buf *buf);

/**
 * Makes a view a buf again whose bytes may be changed, with all room of its slots, if it is the only owner of all of them.
 *
 * @return 0, also when nothing of it is frozen; or, and nothing has changed,
 *         -EBUSY   a slice lives, or another piece of a slot of it: what was split off, also within this very buf
 *         -EPERM   a part of it is foreign memory (job_buf_wrap, job_buf_map), which is never thawed
 *         -EINVAL  buf is NULL
 * Thread: owner.
 */
JOB_API int job_buf_thaw(struct job_buf *buf);

/** Whether all bytes of it are frozen. O(segments). False for NULL. Thread: owner. */
JOB_API bool job_buf_is_frozen(const struct job_buf *buf);

/**
 * Makes another view of `len` frozen bytes from `offset`. Nothing is copied: O(1) for each segment that it covers. It is as independent as
 * if it were a copy: it may outlive the view it came from, and the thread that made it.
 *
 * @param view   unchanged. One view may be sliced by many threads at once, as long as its owner neither changes, gives nor frees it
 * @param slice  receives it; the caller owns it
 * @return 0, or -EINVAL: view has fewer bytes, some of them are not frozen, or an argument is NULL; -ENOMEM: no memory for the
 *         descriptors; *slice is unchanged on error
 * Thread: owner, and others as said above.
 */
JOB_API int job_buf_slice(const struct job_buf *view, size_t offset, size_t len, struct job_buf **slice);

/**
 * Makes a view of memory that is not an arena's: static data, what another library allocated, a mapping of your own. It is the view's until
 * `release` is called: nobody may change it.
 *
 * @param arena    whose runtime counts it. Its bytes do not count against the arena's limit
 * @param memory   `len` bytes; may be NULL if len is 0
 * @param release  called exactly once, when the last view of the memory is freed: on the thread that does that, inside the call that
 *                 does (job_buf_free(), the end of a send, of a task, the close of a loop). It must not block; it may call the
 *                 library, as any thread may. NULL: nothing is to be done
 * @param view     receives it; the caller owns it. Above 1 GiB it has several segments
 * @return 0, or -ENOMEM, -EINVAL: arena or view is NULL, or memory is and len is not 0, or len is above 2^50. On error `release` is not
 *         called: the memory is still the caller's, and *view is unchanged
 * Shutdown: the arena, and the runtime, cannot be closed (-EBUSY) while a view lives.
 * Thread: any.
 */
JOB_API int job_buf_wrap(struct job_arena *arena, const void *memory, size_t len,
                         void (*release)(void *arg, void *memory, size_t len), void *arg, struct job_buf **view);

/**
 * Maps `len` bytes of a file from `offset` as a view. Nothing is read before it is touched; then whoever touches it waits for the disk,
 * the kernel too when it sends.
 *
 * The file must not be truncated while a view of it lives: who touches a page behind the new end is killed by SIGBUS, on whichever thread
 * that happens; the kernel, when it sends such a page, fails the stream with -EFAULT instead. Nor should its bytes be changed: whether
 * views see that is not defined. So map what nobody else writes: files of your own, a memfd sealed with F_SEAL_SHRINK and F_SEAL_WRITE,
 * what is replaced by rename() and not in place. Read anything else.
 *
 * @param fd    open for reading; it may be closed afterwards
 * @param view  receives it; the caller owns it
 * @return 0, or -EINVAL: the file does not have that many bytes, or they are more than 2^50, or an argument is NULL; -EACCES: not open for
 *         reading; -ENODEV: it cannot be mapped; -EBADF, -ENOMEM; *view is unchanged on error
 * Thread: any; asking for the file's size may wait for the disk.
 */
JOB_API int job_buf_map(struct job_arena *arena, int fd, uint64_t offset, size_t len, struct job_buf **view);

JOB_END_DECLS

#endif
