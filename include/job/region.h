/* region.h — bytes with many owners, touched only atomically: counters, flags and results that threads share. */
#ifndef JOB_REGION_H
#define JOB_REGION_H

#include <job/runtime.h>

JOB_BEGIN_DECLS

struct job_region;

/* Offsets are in bytes and naturally aligned; each access is sequentially consistent. */

/**
 * Opens a region of `size` zero bytes, with one reference. It counts against the runtime's memory limit, as bufs of its default arena do.
 *
 * @return 0, or -EINVAL (size 0 or above 1 GiB), -ENOMEM (the limit is reached, or the system has none), -EPERM (in a forked child);
 *         *region unchanged on error
 * Thread: any.
 */
JOB_API int job_region_open(struct job_runtime *runtime, size_t size, struct job_region **region);

/** Takes a further reference and returns the same region; NULL for NULL. Thread: any that holds a reference. */
JOB_API struct job_region *job_region_retain(struct job_region *region);

/** Drops a reference; *region becomes NULL; the last one frees the memory. NULL is allowed. Thread: any that holds it. */
JOB_API void job_region_release(struct job_region **region);

/** Size in bytes; 0 for NULL. Thread: any that holds a reference. */
JOB_API size_t job_region_size(const struct job_region *region);

/* Each returns 0, or -EINVAL: the offset is misaligned, or the cell reaches past the end; then nothing is read or written and
 * *value, *old are unchanged. `old` may be NULL. Thread: any that holds a reference. */
JOB_API int job_region_load32(const struct job_region *region, size_t offset, uint32_t *value);
JOB_API int job_region_load64(const struct job_region *region, size_t offset, uint64_t *value);
JOB_API int job_region_store32(struct job_region *region, size_t offset, uint32_t value);
JOB_API int job_region_store64(struct job_region *region, size_t offset, uint64_t value);
/* Read-modify-write; *old receives the value before. */
JOB_API int job_region_exchange32(struct job_region *region, size_t offset, uint32_t value, uint32_t *old);
JOB_API int job_region_exchange64(struct job_region *region, size_t offset, uint64_t value, uint64_t *old);
JOB_API int job_region_add32(struct job_region *region, size_t offset, uint32_t value, uint32_t *old);
JOB_API int job_region_add64(struct job_region *region, size_t offset, uint64_t value, uint64_t *old);
JOB_API int job_region_sub32(struct job_region *region, size_t offset, uint32_t value, uint32_t *old);
JOB_API int job_region_sub64(struct job_region *region, size_t offset, uint64_t value, uint64_t *old);
JOB_API int job_region_and32(struct job_region *region, size_t offset, uint32_t value, uint32_t *old);
JOB_API int job_region_and64(struct job_region *region, size_t offset, uint64_t value, uint64_t *old);
JOB_API int job_region_or32(struct job_region *region, size_t offset, uint32_t value, uint32_t *old);
JOB_API int job_region_or64(struct job_region *region, size_t offset, uint64_t value, uint64_t *old);
JOB_API int job_region_xor32(struct job_region *region, size_t offset, uint32_t value, uint32_t *old);
JOB_API int job_region_xor64(struct job_region *region, size_t offset, uint64_t value, uint64_t *old);
/* Stores `value` when the cell holds *expected; *expected receives what it held. Equal before and after means swapped. */
JOB_API int job_region_compare_exchange32(struct job_region *region, size_t offset, uint32_t *expected, uint32_t value);
JOB_API int job_region_compare_exchange64(struct job_region *region, size_t offset, uint64_t *expected, uint64_t value);

JOB_END_DECLS

#endif
