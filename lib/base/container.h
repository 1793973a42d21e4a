/* container.h — what this process may use: memory and CPUs, by cgroup (v1 and v2), affinity and the machine. */
#ifndef JOB_BASE_CONTAINER_H
#define JOB_BASE_CONTAINER_H

#include <stddef.h>
#include <stdint.h>

struct container_quota {
    uint64_t quota_us;    /* CPU time that the group may use each period; 0: no quota */
    uint64_t period_us;
};

/* The smallest memory limit of the groups above us, or the machine's memory. */
size_t container_memory(void);

/* CPUs in the calling thread's affinity mask, at least 1. */
unsigned container_affinity_cpus(void);

/* The tightest CPU quota of the groups above us: a dozen files are read. Each pool does it when it opens, and tells the
 * runtime (struct root, quota_cpus). */
struct container_quota container_quota(void);

/* Whole CPUs that a quota allows, at least 1; UINT32_MAX: any number. A fraction does not count: a pool of two threads under a quota of
 * 1.5 CPUs has the kernel stop the whole process, loop included. */
uint32_t container_quota_cpus(struct container_quota quota);

/* The same, with all paths below a directory: tests put cgroup files there. */
size_t container_memory_below(const char *root);
struct container_quota container_quota_below(const char *root);

#endif
