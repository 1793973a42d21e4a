/* region.h — bytes with many owners, touched only atomically: counters, flags and results that threads share, and wait for. */
#ifndef JOB_REGION_H
#define JOB_REGION_H

#include <errno.h>
#include <job/handle.h>
#include <job/runtime.h>

JOB_BEGIN_DECLS

/* Only ever behind a pointer, for the accessors below, which are inline. Its cells follow, on lines of their own, and never move. */
struct job_region {
    size_t job_size;              /* atomic: it may grow */
} __attribute__((aligned(64)));

/* Offsets are in bytes and naturally aligned; each access is sequentially consistent. */

/**
 * Opens a region of `size` zero bytes, with one reference. It counts against the runtime's memory limit, as bufs of its default arena do.
 *
 * @param size  may be 0
 * @return 0, or -EINVAL (size above 1 GiB), -ENOMEM (the limit is reached, or the system has none), -EPERM (in a forked child);
 *         *region unchanged on error
 * Thread: any.
 */
JOB_API int job_region_open(struct job_runtime *runtime, size_t size, struct job_region **region);

struct job_region_options {
    size_t size;
    size_t size_max;              /* job_region_grow() may go so far; 0: it cannot grow. At most 1 GiB */
    bool is_shared;               /* in a memory file of its own: children that are forked from now on share it */
};

/** As job_region_open(), with options. What it may grow by counts only once it has grown.
 * @return as job_region_open(), and -EINVAL: options is NULL or size is above size_max; -EMFILE, -ENFILE. Thread: any. */
JOB_API int job_region_open_with(struct job_runtime *runtime, const struct job_region_options *options,
                                 struct job_region **region);

/** Takes a further reference and returns the same region; NULL for NULL. In a forked child neither this nor a release counts: the memory
 * goes with the process. Thread: any that holds a reference. */
JOB_API struct job_region *job_region_retain(struct job_region *region);

/** Drops a reference; *region becomes NULL; the last one frees the memory. NULL is allowed. Thread: any that holds it. */
JOB_API void job_region_release(struct job_region **region);

/** Size in bytes; 0 for NULL. Thread: any that holds a reference. */
JOB_API size_t job_region_size(const struct job_region *region);

/**
 * Makes it larger. The new bytes are zero, the old ones stay where they are, and who sees the new size sees both.
 *
 * @return 0, also for the size that it has; -EINVAL: smaller, or above the maximum; -ENOMEM: the memory limit; -EPERM: in a forked child
 * Thread: any that holds a reference.
 */
JOB_API int job_region_grow(struct job_region *region, size_t size);

/**
 * Waits while the cell holds `expected`, until job_region_notify() wakes this thread. It never wakes for another reason; in a shared region
 * the kernel may: look at the cell again.
 *
 * @param timeout_ns  0: only looks; negative: for ever
 * @return 0: notified; -EAGAIN: the cell holds something else; -ETIMEDOUT: not earlier than asked; -EINVAL: no such cell; -EDEADLK: it
 *         would wait, and this is a loop's thread (see job_region_waiter_open()); -EOPNOTSUPP: 64 bits in a shared region; -ECANCELED: it
 *         would wait or waits, in a task whose job_task_is_cancelled() is true; it was not counted as woken then
 * Thread: any that holds a reference, but a loop's.
 */
JOB_API int job_region_wait32(struct job_region *region, size_t offset, uint32_t expected, int64_t timeout_ns);
JOB_API int job_region_wait64(struct job_region *region, size_t offset, uint64_t expected, int64_t timeout_ns);

/**
 * Wakes at most `count` of those who wait on a cell, first come, first woken, blocking or not. What was stored before is seen by them.
 * Among processes (shared regions) the kernel's order counts.
 *
 * @return how many were woken, exactly; 0 costs no system call unless the region is shared; -EINVAL: no such cell
 * Thread: any that holds a reference.
 */
JOB_API int job_region_notify(struct job_region *region, size_t offset, unsigned count);

/* Waits on a loop: a handle, which keeps the loop alive while it waits (job_handle_unref() says otherwise). */
struct job_region_waiter {
    struct job_handle handle;

    /* The library's. */
    void (*job_woken)(struct job_region_waiter *waiter, int status);
    void (*job_on_closed)(struct job_region_waiter *waiter);
    struct job_region *job_region;
    void *job_node[8];
    void *job_deadline[8];
    struct job_mail job_mail;
    uint32_t job_flags;
    uint32_t job_reserved0;
    uint64_t job_reserved[2];
};

/**
 * Opens a waiter; it waits for nothing yet.
 *
 * @param woken  called once for each successful wait: 0: notified, or -ETIMEDOUT; it may wait again in there
 * @return 0, or -EINVAL: an argument is NULL; -ECANCELED: the loop is closing; -EPERM: another thread's loop
 * Thread: loop thread, or before start.
 */
JOB_API int job_region_waiter_open(struct job_loop *loop, struct job_region_waiter *waiter,
                                   void (*woken)(struct job_region_waiter *waiter, int status));

/**
 * Waits as job_region_wait32() and job_region_wait64() do, in one queue with those who block, without blocking. Keeps a reference of the
 * region while it waits.
 *
 * @return 0: `woken` will be called; -EAGAIN, -ETIMEDOUT (timeout 0), -EINVAL as there: it will not; -EBUSY: it waits already; -ECANCELED:
 *         closing; -EPERM: not the loop's thread; -EOPNOTSUPP: a shared region
 * Thread: loop thread.
 */
JOB_API int job_region_waiter_wait32(struct job_region_waiter *waiter, struct job_region *region, size_t offset,
                                     uint32_t expected, int64_t timeout_ns);
JOB_API int job_region_waiter_wait64(struct job_region_waiter *waiter, struct job_region *region, size_t offset,
                                     uint64_t expected, int64_t timeout_ns);

/** Closes it; a wait ends silently, also one that job_region_notify() has counted and that was not told yet: who wakes one waiter for one
 * thing looks at the cell again after a close. `closed` (may be NULL) comes later, once. Thread: loop thread. */
JOB_API void job_region_waiter_close(struct job_region_waiter *waiter,
                                     void (*closed)(struct job_region_waiter *waiter));

/** Are cells of so many bytes atomic without a lock? Thread: any. */
JOB_INLINE bool job_region_is_lock_free(size_t width)
{
    return (width == 1 && __atomic_always_lock_free(1, 0)) || (width == 2 && __atomic_always_lock_free(2, 0)) ||
           (width == 4 && __atomic_always_lock_free(4, 0)) || (width == 8 && __atomic_always_lock_free(8, 0));
}

/** Tells the CPU that this is a loop that looks for a change. Thread: any. */
JOB_INLINE void job_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/** The address of a cell of `width` bytes (1, 2, 4, 8), or NULL: misaligned, or past the end. Thread: any that holds a reference. */
JOB_INLINE void *job_region_cell(const struct job_region *region, size_t offset, size_t width)
{
    if (!region || width == 0 || width > 8 || (width & (width - 1)) != 0)
        return NULL;
    /* One comparison for both: the low bits of an offset that is not aligned are turned to the top, where no index is. */
    const unsigned shift = (unsigned)__builtin_ctzll(width), bits = 8 * sizeof offset;
    size_t index = offset >> shift | offset << (bits - shift) % bits;
    size_t cells = __atomic_load_n(&region->job_size, __ATOMIC_ACQUIRE) >> shift;
    return index < cells ? (unsigned char *)(uintptr_t)(region + 1) + offset : NULL;
}

/*
 * For 8, 16, 32 and 64 bits (load32, add64, …): a check of the offset, and the instruction.
 *
 *      int job_region_load32(region, offset, &value)
 *      int job_region_store32(region, offset, value)
 *      int job_region_exchange32(region, offset, value, &old)
 *      int job_region_add32(region, offset, value, &old)
 *      int job_region_sub32(region, offset, value, &old)
 *      int job_region_and32(region, offset, value, &old)
 *      int job_region_or32(region, offset, value, &old)
 *      int job_region_xor32(region, offset, value, &old)
 *      int job_region_compare_exchange32(region, offset, &expected, value)
 *
 * Each returns 0, or -EINVAL: the offset is misaligned, or the cell reaches past the end, or an address is NULL; then nothing is read or
 * written and *value, *old are unchanged. Read-modify-write: *old receives the value before; it may be NULL; sums wrap. compare_exchange
 * stores `value` when the cell holds *expected, and *expected receives what it held: equal before and after means stored.
 * Thread: any that holds a reference.
 */
#define JOB_REGION_MODIFY(name, bits, builtin)                                                                         \
    JOB_INLINE int job_region_##name##bits(struct job_region *region, size_t offset, uint##bits##_t value,             \
                                              uint##bits##_t *old)                                                     \
    {                                                                                                                  \
        uint##bits##_t *at = (uint##bits##_t *)job_region_cell(region, offset, bits / 8);                              \
        if (!at)                                                                                                       \
            return -EINVAL;                                                                                            \
        uint##bits##_t before = builtin(at, value, __ATOMIC_SEQ_CST);                                                  \
        if (old)                                                                                                       \
            *old = before;                                                                                             \
        return 0;                                                                                                      \
    }

#define JOB_REGION_WIDTH(bits)                                                                                         \
    JOB_INLINE int job_region_load##bits(const struct job_region *region, size_t offset, uint##bits##_t *value)        \
    {                                                                                                                  \
        uint##bits##_t *at = (uint##bits##_t *)job_region_cell(region, offset, bits / 8);                              \
        if (!at || !value)                                                                                             \
            return -EINVAL;                                                                                            \
        *value = __atomic_load_n(at, __ATOMIC_SEQ_CST);                                                                \
        return 0;                                                                                                      \
    }                                                                                                                  \
    JOB_INLINE int job_region_store##bits(struct job_region *region, size_t offset, uint##bits##_t value)              \
    {                                                                                                                  \
        uint##bits##_t *at = (uint##bits##_t *)job_region_cell(region, offset, bits / 8);                              \
        if (!at)                                                                                                       \
            return -EINVAL;                                                                                            \
        __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                                                                 \
        return 0;                                                                                                      \
    }                                                                                                                  \
    JOB_INLINE int job_region_compare_exchange##bits(struct job_region *region, size_t offset,                         \
                                                        uint##bits##_t *expected, uint##bits##_t value)                \
    {                                                                                                                  \
        uint##bits##_t *at = (uint##bits##_t *)job_region_cell(region, offset, bits / 8);                              \
        if (!at || !expected)                                                                                          \
            return -EINVAL;                                                                                            \
        (void)__atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);             \
        return 0;                                                                                                      \
    }                                                                                                                  \
    JOB_REGION_MODIFY(exchange, bits, __atomic_exchange_n)                                                             \
    JOB_REGION_MODIFY(add, bits, __atomic_fetch_add)                                                                   \
    JOB_REGION_MODIFY(sub, bits, __atomic_fetch_sub)                                                                   \
    JOB_REGION_MODIFY(and, bits, __atomic_fetch_and)                                                                   \
    JOB_REGION_MODIFY(or, bits, __atomic_fetch_or)                                                                     \
    JOB_REGION_MODIFY(xor, bits, __atomic_fetch_xor)

JOB_REGION_WIDTH(8)
JOB_REGION_WIDTH(16)
JOB_REGION_WIDTH(32)
JOB_REGION_WIDTH(64)

#undef JOB_REGION_WIDTH
#undef JOB_REGION_MODIFY

JOB_END_DECLS

#endif
