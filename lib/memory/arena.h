/* arena.h — a reserved range of addresses, cut into chunks, each of one size class; its limit, its reserve and its depots. */
#ifndef JOB_MEMORY_ARENA_H
#define JOB_MEMORY_ARENA_H

#include <pthread.h>

#include "base/atomic.h"
#include "base/limits.h"
#include "base/root.h"
#include "job/arena.h"
#include "memory/depot.h"
#include "memory/slot.h"
#include "queue/helper.h"
#include "stats/segment.h"

struct starved;
struct stats_arena;

enum chunk_state { CHUNK_UNUSED, CHUNK_SLOTS, CHUNK_RUN, CHUNK_RUN_TAIL, CHUNK_LEAVING };

struct chunk {
    uint8_t state;           /* enum chunk_state */
    uint8_t class;
    bool was_used;           /* its memory is not zero any more */
    bool is_committed;       /* it may have pages */
    uint16_t slots;          /* CHUNK_SLOTS: how many */
    uint32_t chunks;         /* CHUNK_RUN: how many */
    uint32_t bytes;          /* what it counts against the limit; a run's are with its first chunk, in chunks */
    uint32_t found;          /* while empty chunks are looked for, under `trimming` */
};

struct job_arena {
    /* fixed after open */
    struct root *root;
    char name[32];
    void *mapped;
    struct stats_arena *shown;   /* in the statistics segment; NULL: there is none, or it is full */
    uint8_t *base;           /* begins at a huge page */
    struct slot *slots;      /* records: CHUNK_SLOTS_MAX a chunk, never unmapped while the arena lives */
    struct chunk *chunks;
    unsigned chunk_count;
    size_t limit;            /* atomic where one may look who is late: arena_set_limit() */
    size_t reserve_least;    /* what was asked for */
    unsigned cache_max[SLOT_CLASSES];
    size_t cache_bytes;      /* of all caches together */
    size_t cache_batch[SLOT_CLASSES];   /* of these a cache claims at once, for slots of the class */
    unsigned cache_mask[SLOT_CLASSES];  /* where a count of slots has none of these bits, a take looks at the claim */
    uint64_t trim_after_ns;

    /* any thread */
    struct depot depots[SLOT_CLASSES];
    atomic_u64 out;          /* bytes that are not in a depot and not uncarved: in bufs, rings and caches */
    atomic_u64 frees;        /* times that something came back: who starves for a slot compares it */
    struct starved *starved; /* atomic: waiters, taken whole */
    atomic_u32 waking;       /* threads that are posting to waiters that they took */
    atomic_u64 failed, starved_count;
    atomic_u64 cache_share;  /* bytes that one cache may hold now */
    atomic_u64 cached;       /* bytes that caches have claimed: at most cache_bytes, and not less than what they hold */
    atomic_u64 reserve;      /* what receive rings leave to those who compute: never less than their outputs; changes under the lock */
    atomic_u32 users;        /* caches and rings */
    atomic_u32 wraps;        /* foreign memory that views hold */

    struct job_arena *next_spare;   /* under root->workers_lock; worker/spare_arena.c */
    struct helper_job ahead; /* posted by who carves */

    /* the helper */
    struct helper_job trim;
    size_t idle_before;

    /* under the lock: only growing, shrinking and runs */
    pthread_mutex_t trimming;   /* taken before the other: while depots are searched for empty chunks */
    pthread_mutex_t lock;
    size_t carved;           /* bytes of chunks in use, and what is charged */
    size_t charged;          /* of memory elsewhere that counts against the limit */
    size_t held;             /* what rings need at least */
    size_t outputs;          /* what pool threads need at least: one each */
    unsigned next_unused;    /* no chunk before it is unused */
    unsigned committed;      /* chunks that may have pages */
    bool is_spare;           /* nobody is to need it soon: nothing of it stands ready */
    unsigned caches;
};

enum { CHUNK_SLOTS_MAX = 1 << (CHUNK_BITS - SLOT_MIN_BITS), CHUNK_BYTES = 1 << CHUNK_BITS };

/* Chunks of addresses that a limit needs. */
size_t arena_chunks_for(size_t limit);

int arena_open(struct root *root, struct job_arena **arena, const struct job_arena_options *options);
int arena_close(struct job_arena **arena);

/* Gives it a limit, with the shares of it that are the default, as if it were opened now; the one that it has leaves all as it is. False,
 * and nothing has changed: something is in it, it has too few addresses, or its pages are being given back, whatever the limit: no loop
 * waits for that. Nobody uses the arena; whoever freed the last that was in it may still look. */
bool arena_set_limit(struct job_arena *arena, size_t limit);

/* A receive ring announces what it needs at least: -EINVAL, with the sum in the log, when the limit cannot hold all of these, the caches
 * and the reserve. */
int arena_hold(struct job_arena *arena, size_t bytes);
void arena_unhold(struct job_arena *arena, size_t bytes);

/* Pool threads announce their outputs: the reserve is at least the sum of these. -EINVAL as above. */
int arena_hold_outputs(struct job_arena *arena, size_t bytes);
void arena_unhold_outputs(struct job_arena *arena, size_t bytes);

/* Bytes that one buf could take at most if nobody else had any: the limit, without what receive rings need at least. */
size_t arena_most(struct job_arena *arena);

/* Bytes that a receive ring may still take: zero when only the reserve is left. */
size_t arena_spare(struct job_arena *arena);

/* Bytes are about to leave the depots; have come back; or did not leave after all. Whoever notes them freed or back looks at those who
 * starve afterwards. Any thread. */
void arena_note_out(struct job_arena *arena, size_t bytes);
void arena_note_freed(struct job_arena *arena, size_t bytes);
void arena_note_back(struct job_arena *arena, size_t bytes);

/* As arena_note_out(), but only if the reserve stays. Any thread. */
bool arena_claim_spare(struct job_arena *arena, size_t bytes);

/* Carves a chunk for the class or, where it may retire one, makes an empty chunk of another class one of this; the slot, or NULL at the
 * limit. */
struct slot *arena_grow(struct job_arena *arena, unsigned class, bool may_retire);

/* A run of adjacent chunks of so many bytes; NULL at the limit or when no run is adjacent. */
struct slot *arena_take_run(struct job_arena *arena, size_t bytes);
void arena_put_run(struct slot *slot);

/* Chunks whose slots are all in their depots become unused. Under both locks. */
void arena_retire(struct job_arena *arena);

/* Memory that is not in chunks counts against the limit as if it were: 0, or -ENOMEM. Any thread. */
int arena_charge(struct job_arena *arena, size_t bytes);
void arena_uncharge(struct job_arena *arena, size_t bytes);

/* A thread gets or loses its cache: what each may hold changes. */
void arena_share_cache(struct job_arena *arena, int caches);

/* What the statistics segment shows of it. Any thread. */
void arena_publish(struct job_arena *arena);

/* commit.c: the helper's part. */
void arena_commit_init(struct job_arena *arena);
void arena_commit_fini(struct job_arena *arena);   /* nothing of the arena runs on the helper any more */
void arena_trim(struct job_arena *arena);          /* gives back half of what lies idle since the last call; of a spare one all */
void arena_set_spare(struct job_arena *arena, bool is_spare);   /* what lies idle goes after a while, to the last page, if it still is */

static inline void arena_lock(pthread_mutex_t *lock)
{
#ifdef JOB_SIM
    while (pthread_mutex_trylock(lock) != 0)   /* fibers share one thread */
        cpu_relax();
#else
    (void)pthread_mutex_lock(lock);   /* cannot fail: not recursive, initialised */
#endif
}

static inline void arena_unlock(pthread_mutex_t *lock)
{
    (void)pthread_mutex_unlock(lock);
}

static inline uint8_t *arena_chunk_memory(const struct job_arena *arena, unsigned index)
{
    return arena->base + ((size_t)index << CHUNK_BITS);
}

/* Under the lock. */
static inline void arena_chunk_commits(struct job_arena *arena, unsigned index)
{
    arena->committed += !arena->chunks[index].is_committed;
    arena->chunks[index].is_committed = true;
}

static inline void arena_count_failed(struct job_arena *arena)
{
    stats_arena_count_failed(arena->shown);
    (void)fetch_add_relaxed(&arena->failed, 1);             /* a count: orders nothing */
}

static inline struct slot *arena_slot(struct job_arena *arena, uint32_t index)
{
    return &arena->slots[index];
}

static inline bool arena_is_one_chunk(const struct job_arena *arena)
{
    return arena->limit <= CHUNK_BYTES;
}

#endif
