/* reader.h — turns the bytes of a statistics segment into a snapshot. Trusts nothing in them.
 *
 * The bytes may come from any process, also from one that wants to harm whoever looks at it: every offset, stride and
 * count is checked against the size, names are cut and cleaned (text.h), counts are capped.
 */
#ifndef JOBCTL_READER_H
#define JOBCTL_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    READER_SEGMENT_MIN = 256,
    READER_SEGMENT_MAX = 16 << 20,
    READER_NAME_BYTES = 33,       /* with its end */
    READER_TOPIC_NAME_BYTES = 65, /* as well */
    READER_TABLES_MAX = 64,
    READER_THREADS_MAX = 4096,
    READER_ARENAS_MAX = 1024,
    READER_QUEUES_MAX = 4096,
    READER_WORKERS_MAX = 4096,
    READER_POOLS_MAX = 1024,
    READER_PARTS_MAX = 16384,
    READER_RPCS_MAX = 4096,
    READER_TOPICS_MAX = 4096,
    READER_COUNTERS_MAX = 128,
    READER_FEATURES_MAX = 32,
};

enum reader_result {
    READER_OK,
    READER_NO_SEGMENT,     /* too short, or another magic */
    READER_VERSION,        /* another major number: major and minor are set, nothing else */
    READER_DAMAGED,        /* its own size is not what there is */
    READER_NO_MEMORY,
    READER_UNSAFE,         /* not sealed, or of a size that none has: not even looked at (target.c) */
};

typedef char reader_name[READER_NAME_BYTES];

/* `record` is 1 + the number of a record in its table: by it others refer to it, and 0 refers to none. */
struct reader_thread {
    uint32_t record;
    reader_name name;
    reader_name kind;
    uint32_t kind_number;                       /* enum line_kind */
    reader_name wait;                           /* the reason's name; valid when is_waiting */
    uint32_t wait_number;                       /* enum job_wait */
    bool is_waiting;
    uint32_t tid;
    uint64_t started_ns;
    uint64_t since_ns;
    uint64_t function;                          /* address of what runs; 0: nothing */
    uint64_t counters[READER_COUNTERS_MAX];
};

struct reader_arena {
    uint32_t record;
    reader_name name;
    uint64_t opened_ns;
    uint64_t limit_bytes, committed_bytes, used_bytes, held_bytes, starved, failed;
};

struct reader_queue {
    uint32_t record;
    reader_name name;
    bool is_closed;
    uint64_t opened_ns;
    uint32_t limit_messages;
    uint64_t limit_bytes;
    uint32_t receiver;                          /* record of a thread */
    uint64_t waiting, waiting_bytes;
    uint64_t taken, taken_ns;
    bool is_subscriber;                         /* to a topic; what follows is of such */
    uint32_t topic;                             /* record */
    uint32_t policy;                            /* enum job_topic_policy */
    uint64_t dropped, refused;
};

struct reader_worker {
    reader_name name;
    reader_name state;
    uint32_t state_number;                      /* enum stats_worker_state */
    uint64_t opened_ns, id, parent;
    uint32_t thread, arena, queue;              /* records */
};

struct reader_pool {
    uint32_t record;
    reader_name name;
    bool is_closed;
    uint64_t opened_ns;
    uint32_t limit, workers;
    uint64_t shed_target_ns;                    /* 0: it does not shed */
    uint64_t submitted, begun, shed;            /* what its parts do not have */
    uint32_t unseen;                            /* parts that are not in the segment */
};

struct reader_part {
    bool is_loop;                               /* else a thread of the pool */
    uint32_t pool, thread;                      /* records */
    uint64_t submitted, refused, begun, shed, waited_ns;
};

struct reader_rpc {
    reader_name name;
    uint64_t opened_ns, overdue_ns;
    uint32_t limit_calls;
    uint32_t thread;                            /* record */
    uint64_t oldest_ns;                         /* of the open calls; 0: none is open */
    uint32_t open, unanswered;
    uint64_t calls, answered, timed_out, canceled, dead, late, overdue, served, stray;
};

struct reader_topic {
    uint32_t record;
    char name[READER_TOPIC_NAME_BYTES];
    reader_name cut;                            /* as the queues of its subscribers have it */
    bool has_ended;
    uint64_t opened_ns;
    uint32_t subscribers;
    uint64_t posts, reached, dropped, refused, disconnected;
};

struct snapshot {
    uint32_t major, minor;
    uint32_t pid;                               /* as the process itself knows it */
    uint64_t start_ticks, opened_ns;
    uint32_t clock_id;
    reader_name name, version;
    unsigned feature_count;
    reader_name features[READER_FEATURES_MAX];
    uint32_t available, disabled;               /* bits in the order of features */
    unsigned counter_count;
    reader_name counters[READER_COUNTERS_MAX];
    struct reader_thread *threads;
    size_t thread_count;
    struct reader_arena *arenas;
    size_t arena_count;
    struct reader_queue *queues;
    size_t queue_count;
    struct reader_worker *workers;
    size_t worker_count;
    struct reader_pool *pools;
    size_t pool_count;
    struct reader_part *parts;
    size_t part_count;
    struct reader_rpc *rpcs;
    size_t rpc_count;
    struct reader_topic *topics;
    size_t topic_count;
    unsigned ignored_tables;                    /* that did not fit into the segment, or whose records are too short */
};

/* Copies a segment that its writer goes on changing; records that change hands meanwhile are copied again, or left out.
 * `shared` and `copy` are aligned to 8 bytes, size is at most READER_SEGMENT_MAX. */
void reader_copy(const void *shared, size_t size, void *copy);

/* Reads a copy. On READER_OK the snapshot is to be freed with reader_free(). */
enum reader_result reader_parse(const void *bytes, size_t size, struct snapshot *snapshot);
void reader_free(struct snapshot *snapshot);

/* The thread whose record it is; NULL: none, or it has gone since. */
const struct reader_thread *reader_find_thread(const struct snapshot *snapshot, uint32_t record);

#endif
