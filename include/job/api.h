/* api.h — how the public headers mark what they export. */
#ifndef JOB_API_H
#define JOB_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
#define JOB_BEGIN_DECLS extern "C" {
#define JOB_END_DECLS }
#else
#define JOB_BEGIN_DECLS
#define JOB_END_DECLS
#endif

#define JOB_API __attribute__((visibility("default")))

/* A function of a header, for whoever uses it. */
#define JOB_INLINE static inline __attribute__((unused))

/* The struct that a member belongs to: struct conn *c = job_container_of(stream, struct conn, stream). */
#define job_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Times are in ns, and so are these: 5 * JOB_SECOND, 20 * JOB_MS. */
#define JOB_MS UINT64_C(1000000)
#define JOB_SECOND UINT64_C(1000000000)

#define JOB_VERSION_MAJOR 0
#define JOB_VERSION_MINOR 1
#define JOB_VERSION_PATCH 0

#endif
