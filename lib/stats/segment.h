/* segment.h — the layout of job.stats.v1: what a process shows to whoever may read its memory.
 *
 * A sealed memfd, mapped: its size cannot change and nobody else can write it. A header, then tables of records of one
 * stride each. Readers (jobctl) use the header's offsets, strides and counts, never these structs' sizes, so records
 * may grow at the end. Names of counters and wait reasons are in the segment itself, so an older reader shows what a
 * newer library counts. docs/stats-segment.md tells the same for those who write a reader.
 */
#ifndef JOB_STATS_SEGMENT_H
#define JOB_STATS_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "stats/line.h"

#define STATS_MEMFD_NAME "job.stats.v1"
#define STATS_MAGIC "JOBSTATS"

enum {
    STATS_MAJOR = 1,
    STATS_MINOR = 3,
    STATS_TABLES = 16,
    STATS_NAME_BYTES = 32,
    STATS_ARENAS_MAX = LIMIT(32, 4),   /* unmeasured: arenas beyond these are not shown */
};

/* The first word of a record that is being filled in: readers pass it over. */
#define STATS_CLAIMED 0x80000000U

enum stats_table_kind {
    STATS_TABLE_NONE,
    STATS_TABLE_THREADS,         /* struct stats_line */
    STATS_TABLE_COUNTER_NAMES,   /* char[32], in the order of enum counter */
    STATS_TABLE_WAIT_NAMES,      /* char[32], in the order of enum job_wait */
    STATS_TABLE_KIND_NAMES,      /* char[32], in the order of enum line_kind */
    STATS_TABLE_FEATURE_NAMES,   /* char[32], in the order of the bits in the header */
    STATS_TABLE_RECORDER,        /* reserved: a flight recorder a thread */
    STATS_TABLE_ARENAS,          /* struct stats_arena */
    STATS_TABLE_QUEUES,          /* struct stats_queue */
    STATS_TABLE_WORKERS,         /* struct stats_worker */
    STATS_TABLE_POOLS,           /* struct stats_pool */
    STATS_TABLE_PARTS,           /* struct stats_part */
    STATS_TABLE_RPCS,            /* struct stats_rpc */
    STATS_TABLE_TOPICS,          /* struct stats_topic */
};

struct stats_table {
    uint32_t kind;               /* enum stats_table_kind */
    uint32_t offset;             /* from the beginning of the segment */
    uint32_t stride;
    uint32_t count;
};

struct stats_header {
    char magic[8];
    uint32_t major;              /* another one: another layout */
    uint32_t minor;              /* higher: more at the ends of records, more tables */
    uint64_t size;
    uint32_t pid;
    uint32_t features_available; /* bits in the order of STATS_TABLE_FEATURE_NAMES */
    uint32_t features_disabled;
    uint32_t table_count;
    uint64_t opened_ns;          /* CLOCK_MONOTONIC, as all times here */
    char name[STATS_NAME_BYTES];
    char version[STATS_NAME_BYTES];
    uint64_t start_ticks;        /* of the process, as field 22 of /proc/PID/stat: with pid, which process this is */
    uint32_t clock_id;           /* of all times here: CLOCK_MONOTONIC */
    uint32_t reserved;
    struct stats_table tables[STATS_TABLES];
};

enum stats_arena_kind { STATS_ARENA_FREE, STATS_ARENA_OPEN };

#define STATS_ARENA_HIDDEN UINT32_MAX

/* What an arena says of itself. */
struct stats_arena {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_arena_kind */
    atomic_u32 generation;       /* one more for each claim */
    char name[STATS_NAME_BYTES];
    uint64_t opened_ns;
    /* any thread of the arena; each word for itself */
    atomic_u64 limit_bytes;
    atomic_u64 committed_bytes;
    atomic_u64 used_bytes;
    atomic_u64 held_bytes;
    atomic_u64 starved;
    atomic_u64 failed;
    uint64_t reserved[4];
} __attribute__((aligned(64)));

enum { STATS_QUEUE_BYTES_BITS = 40 };   /* of stats_queue.used: as an inbox counts */

enum stats_queue_kind { STATS_QUEUE_FREE, STATS_QUEUE_OPEN, STATS_QUEUE_CLOSED, STATS_QUEUE_SUBSCRIBER };

/* One direction of a channel, or what a subscriber has still to hear: what waits for whom. */
struct stats_queue {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_queue_kind; who receives makes it CLOSED */
    atomic_u32 generation;       /* one more for each claim */
    char name[STATS_NAME_BYTES];
    uint64_t opened_ns;
    uint64_t limit_bytes;
    uint32_t limit_messages;
    /* who receives */
    atomic_u32 receiver;         /* 1 + the number of the record of the loop that it is on; 0: none */
    atomic_u64 taken;            /* messages that were delivered, or dropped by who receives */
    atomic_u64 taken_ns;         /* when the last was; 0: never */
    /* of a subscriber. Written once by claim */
    uint32_t topic;              /* 1 + the number of its topic's record; 0: not shown */
    uint32_t policy;             /* enum job_topic_policy */
    /* whoever has its lock */
    atomic_u64 dropped;
    atomic_u64 refused;
    uint64_t reserved[3];
    /* any thread: what the queue itself counts by, so it is right also when nobody moves */
    atomic_u64 used;             /* messages that wait in the upper 24 bits, their bytes in the lower 40 */
    uint64_t reserved_more[7];
} __attribute__((aligned(64)));

/* What a worker does. Append only; a state never follows one that stands behind it. */
enum stats_worker_state {
    STATS_WORKER_NONE,
    STATS_WORKER_STARTS,         /* its loop does not run yet */
    STATS_WORKER_ONLINE,
    STATS_WORKER_STOPS,          /* it was asked to */
    STATS_WORKER_STUCK,          /* and has not within its time */
    STATS_WORKER_ENDS,           /* its loop is being closed */
    STATS_WORKER_LEFT,           /* it has ended, something on its loop has not */
    STATS_WORKER_STATES,
};

enum stats_worker_kind { STATS_WORKER_FREE, STATS_WORKER_OPEN };

struct stats_worker {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_worker_kind */
    atomic_u32 generation;       /* one more for each claim */
    char name[STATS_NAME_BYTES];
    uint64_t opened_ns;
    uint64_t id;
    uint64_t parent;             /* id of the worker that has opened it; 0: none has */
    /* 1 + the number of the record in the other tables; 0: it has none. Words of their own: a later owner may be read meanwhile */
    atomic_u32 thread;           /* of its loop */
    atomic_u32 arena;            /* STATS_ARENA_HIDDEN: it has an arena of its own, for which there was no record */
    atomic_u32 queue;            /* what it hears */
    atomic_u32 state;            /* enum stats_worker_state */
    uint64_t reserved[6];
} __attribute__((aligned(64)));

enum stats_pool_kind { STATS_POOL_FREE, STATS_POOL_OPEN, STATS_POOL_CLOSED };

/* What a pool says of itself. How many tasks wait is `submitted` here and of all its parts, less `begun` of both: each thread counts in a
 * part of its own, by plain stores, so a task pays for no shared word that it would not write anyway. */
struct stats_pool {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_pool_kind */
    atomic_u32 generation;       /* one more for each claim */
    char name[STATS_NAME_BYTES];
    uint64_t opened_ns;
    uint32_t limit;              /* tasks that may wait of each loop */
    uint32_t workers;            /* threads; of a blocking pool at most */
    uint64_t shed_target_ns;     /* 0: nothing is ever too late */
    /* any thread */
    atomic_u64 submitted;        /* without a loop, and by the pool's own threads */
    atomic_u64 begun, shed;      /* by threads that have gone */
    atomic_u32 unseen;           /* parts that the table had no room for: the sums are of the others */
    uint32_t reserved;
    uint64_t reserved_more[4];
} __attribute__((aligned(64)));

enum stats_part_kind { STATS_PART_FREE, STATS_PART_LOOP, STATS_PART_THREAD };

/* What one thread has done with one pool. */
struct stats_part {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_part_kind */
    atomic_u32 generation;       /* one more for each claim */
    uint32_t pool;               /* 1 + the number of the pool's record */
    atomic_u32 thread;           /* 1 + the number of the thread's record; 0: none, or it is not shown */
    /* a loop */
    atomic_u64 submitted, refused;
    /* a thread of the pool */
    atomic_u64 begun, shed;
    atomic_u64 waited_ns;        /* one of the last of loops' tasks that it took out; may be longer by a turn */
    uint64_t reserved[9];        /* nobody else writes beside it: processors fetch lines by two */
} __attribute__((aligned(64)));

enum stats_rpc_kind { STATS_RPC_FREE, STATS_RPC_OPEN };

/* One end on which calls are made and answered. */
struct stats_rpc {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_rpc_kind */
    atomic_u32 generation;       /* one more for each claim */
    char name[STATS_NAME_BYTES];
    uint64_t opened_ns;
    uint64_t overdue_ns;         /* an open call that is older is overdue */
    uint32_t limit_calls;        /* that may be open */
    uint32_t thread;             /* 1 + the number of the record of its loop's thread; 0: not shown */
    /* its loop's thread */
    atomic_u64 oldest_ns;        /* when the oldest call that is open began; 0: none is */
    atomic_u32 open;             /* own calls that wait for an answer */
    atomic_u32 unanswered;       /* calls of the other end that wait for ours */
    atomic_u64 calls;            /* own ones; the next five are how they ended */
    atomic_u64 answered;
    atomic_u64 timed_out;
    atomic_u64 canceled;
    atomic_u64 dead;             /* the other end had gone */
    atomic_u64 late;             /* answers that came after the call had ended */
    atomic_u64 overdue;          /* calls that became it */
    atomic_u64 served;           /* calls of the other end */
    atomic_u64 stray;            /* messages that were neither call nor answer */
    uint64_t reserved[5];
} __attribute__((aligned(64)));

enum stats_topic_kind { STATS_TOPIC_FREE, STATS_TOPIC_OPEN, STATS_TOPIC_ENDED };

struct stats_topic {
    /* written once by claim, published by kind */
    atomic_u32 kind;             /* enum stats_topic_kind; the end makes it ENDED */
    atomic_u32 generation;       /* one more for each claim */
    char name[STATS_NAME_BYTES];
    uint64_t opened_ns;
    /* whoever has the topic's lock */
    atomic_u64 posts;
    atomic_u64 reached;          /* into so many queues they went; the next three are what became of the others */
    atomic_u64 dropped;          /* by those who drop their oldest: so many had to go */
    atomic_u64 refused;
    atomic_u64 disconnected;     /* subscribers, each by one post */
    atomic_u32 subscribers;      /* that listen now */
    uint32_t reserved0;
    char name_rest[STATS_NAME_BYTES];   /* written with name: what that has no room for */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct stats_pool) == 128 && offsetof(struct stats_pool, submitted) == 64, "layout");
_Static_assert(sizeof(struct stats_part) == 128 && offsetof(struct stats_part, waited_ns) == 48, "layout");
_Static_assert(sizeof(struct stats_rpc) == 192 && offsetof(struct stats_rpc, oldest_ns) == 64, "layout");
_Static_assert(sizeof(struct stats_topic) == 128 && offsetof(struct stats_topic, name_rest) == 96, "layout");
_Static_assert(sizeof(struct stats_queue) == 192 && offsetof(struct stats_queue, used) == 128, "layout");
_Static_assert(sizeof(struct stats_worker) == 128 && offsetof(struct stats_worker, state) == 76, "layout");
_Static_assert(sizeof(struct stats_header) == 384 && offsetof(struct stats_header, tables) == 128, "layout");
_Static_assert(sizeof(struct stats_line) % 64 == 0 && sizeof(struct stats_arena) == 128, "layout");

struct root;
struct stats;

/* 0, or -ENOMEM, -EMFILE, -ENFILE. */
int stats_open(struct root *root, const char *name, struct stats **stats);
void stats_close(struct root *root, struct stats **stats);   /* NULL is fine */

/* After features were probed: what the header says of them. Any thread. */
void stats_set_features(struct stats *stats, uint32_t available, uint32_t disabled);

/* A record for an arena to say it in; NULL when stats is NULL or all are taken: an arena that nobody sees. Any
 * thread. */
struct stats_arena *stats_arena_claim(struct stats *stats, const char *name);
void stats_arena_release(struct stats_arena *arena);   /* NULL is fine */

/* The same for a topic. */
struct stats_topic *stats_topic_claim(struct stats *stats, const char *name);
void stats_topic_release(struct stats_topic *topic);

/* What a queue's record says that does not change. */
struct stats_queue_facts {
    enum stats_queue_kind kind;
    const char *name;
    uint32_t limit_messages;
    uint64_t limit_bytes;
    const struct stats_topic *topic;   /* of a subscriber; NULL: not shown */
    uint32_t policy;
};

/* The same for a queue, a worker and an rpc; NULL is fine for each. */
struct stats_queue *stats_queue_claim(struct stats *stats, const struct stats_queue_facts *facts);
void stats_queue_release(struct stats_queue *queue);

struct stats_rpc_facts {
    const char *name;
    uint64_t overdue_ns;
    uint32_t limit_calls;
    const struct stats_line *line;     /* of its loop */
};
struct stats_rpc *stats_rpc_claim(struct stats *stats, const struct stats_rpc_facts *facts);
void stats_rpc_release(struct stats_rpc *rpc);

/* What a worker's record says besides its state; NULL: nothing of it is in the segment. */
struct stats_worker_facts {
    const char *name;
    uint64_t id, parent;
    const struct stats_line *line;
    const struct stats_arena *arena;
    bool has_arena;              /* of its own; it may have no record */
    const struct stats_queue *queue;
};
struct stats_worker *stats_worker_claim(struct stats *stats, const struct stats_worker_facts *facts);
void stats_worker_release(struct stats_worker *worker);

/* A state that stands behind the present one; others are ignored. Any thread. */
void stats_worker_enter(struct stats_worker *worker, enum stats_worker_state state);
/* Its loop goes: the record of that will be another's. */
void stats_worker_leave_loop(struct stats_worker *worker);

/* For a pool; a private record that nobody sees when there is no segment or no room in it, or the pool has no threads. NULL: no memory.
 * Any thread. */
struct stats_pool *stats_pool_claim(struct root *root, const char *name, uint32_t limit, uint32_t workers,
                                    uint64_t shed_target_ns);
void stats_pool_release(struct root *root, struct stats_pool *pool);   /* NULL is fine */

/* For a loop or a thread of the pool; private as above. */
struct stats_part *stats_part_claim(struct root *root, enum stats_part_kind kind, struct stats_pool *pool,
                                    const struct stats_line *line);
/* Nobody counts in it any more; what it has counted of the pool's own threads stays in the pool's sums. NULL is fine. */
void stats_part_release(struct root *root, struct stats_pool *pool, struct stats_part *part);

/* The loop that submits from now on. */
void stats_part_thread(const struct stats *stats, struct stats_part *part, const struct stats_line *line);

/* The thread takes out a task that waited since queued_ns; 0: nobody knows. */
static inline void stats_part_begin(struct stats_part *part, uint64_t queued_ns, uint64_t now_ns)
{
    counter_add(&part->begun, 1);
    if (queued_ns > 0)
        store_relaxed(&part->waited_ns, now_ns > queued_ns ? now_ns - queued_ns : 0);   /* a figure for people: no order */
}

/* Closed: no reader shows it, although who still holds a part of it may count. */
static inline void stats_pool_close(struct stats_pool *pool)
{
    store_release(&pool->kind, (uint32_t)STATS_POOL_CLOSED);   /* pairs with load_acquire in word32 (reader.c) */
}

/* Who receives is on this loop from now on; NULL: on none. */
void stats_queue_receiver(const struct stats *stats, struct stats_queue *queue, const struct stats_line *line);

/* The thread that receives: so many more were taken. */
static inline void stats_queue_take(struct stats_queue *queue, uint64_t messages, uint64_t now_ns)
{
    if (!queue)
        return;
    counter_add(&queue->taken, messages);
    store_relaxed(&queue->taken_ns, now_ns);   /* figures for people: no order */
}

static inline void stats_queue_close(struct stats_queue *queue)
{
    if (queue)
        store_release(&queue->kind, (uint32_t)STATS_QUEUE_CLOSED);   /* pairs with load_acquire in word32 (reader.c) */
}

/* What the arena has changed of its figures; NULL is fine. Sums of what any thread says, so they are exact when all are at rest. */
static inline void stats_arena_use(struct stats_arena *arena, int64_t bytes)
{
    if (arena)
        (void)fetch_add_relaxed(&arena->used_bytes, (uint64_t)bytes);   /* figures for people: no order */
}

static inline void stats_arena_count_failed(struct stats_arena *arena)
{
    if (arena)
        (void)fetch_add_relaxed(&arena->failed, 1);   /* as above */
}

static inline void stats_arena_count_starved(struct stats_arena *arena)
{
    if (arena)
        (void)fetch_add_relaxed(&arena->starved, 1);   /* as above */
}

/* One thread a moment: whoever has the arena's lock. */
static inline void stats_arena_set(struct stats_arena *arena, uint64_t limit, uint64_t committed, uint64_t held)
{
    if (!arena)
        return;
    store_relaxed(&arena->limit_bytes, limit);   /* figures for people: no order */
    store_relaxed(&arena->committed_bytes, committed);
    store_relaxed(&arena->held_bytes, held);
}

#endif
