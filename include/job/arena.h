/* arena.h — where bufs come from: a reserved range of addresses with a byte limit, committed as it is needed. */
#ifndef JOB_ARENA_H
#define JOB_ARENA_H

#include <job/runtime.h>

JOB_BEGIN_DECLS

struct job_arena_options {
    size_t limit_bytes;        /* 0: a quarter of the smallest memory limit above us, or of RAM. Rounded up to 4 KiB, not beyond */
    size_t reserve_bytes;      /* what loops' receive rings leave to those who compute, else tasks fail with -ENOMEM while all memory
                                  waits to be received into; 0: a quarter of the limit. The runtime's own arena leaves at least
                                  16 KiB for each pool thread; for others it is the opener's to say */
    const char *name;          /* for logs and jobctl; copied, cut to 31 bytes */
    size_t cache_slots_max;    /* slots that a thread keeps per size class; 0: 64, the most; all caches hold at most an eighth of the arena;
                                  JOB_ARENA_NO_CACHE: none, each free goes where every thread finds it */
};

#define JOB_ARENA_NO_CACHE ((size_t)-1)

struct job_arena_stats {
    uint64_t limit_bytes;
    uint64_t committed_bytes;   /* of chunks in use; not more than the limit */
    uint64_t used_bytes;        /* slots that hold bufs, wait in a loop's receive ring, or are in a thread's cache */
    uint64_t held_bytes;        /* sum of what loops' receive rings need at least */
    uint64_t failed;            /* allocations refused with -ENOMEM since open */
    uint64_t starved;           /* times that a loop had to wait for slots since open */
};

/**
 * Opens an arena of its own, for instance to bound one part of a service.
 *
 * @param options  NULL or {0}: defaults
 * @return 0, or -EINVAL (limit below one page-sized slot or above 4 TiB - 4 MiB, reserve above the limit), -ENOMEM (no memory or address
 *         space), -EPERM (in a forked child); *arena is unchanged on error
 * Thread: any.
 */
JOB_API int job_arena_open(struct job_runtime *runtime, struct job_arena **arena,
                           const struct job_arena_options *options);

/**
 * Closes an arena; *arena becomes NULL.
 *
 * @return 0, or -EBUSY: bufs of it live, or a loop or pool still uses it (counts are logged; nothing changes);
 *         -EINVAL: it is the runtime's default arena, or arena is NULL. NULL in *arena is allowed; -EPERM: in a forked child
 * Thread: any, while no other uses the arena.
 */
JOB_API int job_arena_close(struct job_arena **arena);

/** Reads an arena's figures; a snapshot, not a barrier. All zero for NULL. Thread: any. */
JOB_API void job_arena_stats(const struct job_arena *arena, struct job_arena_stats *stats);

JOB_END_DECLS

#endif
