/* limits.h — every bound of the library, with its reason, and a small value for JOB_SMALL builds.
 *
 * The checker, the simulation and the fuzzers run with the small ones, so that "full" and "wrapped" happen in every run.
 */
#ifndef JOB_BASE_LIMITS_H
#define JOB_BASE_LIMITS_H

#include <stdint.h>

#ifdef JOB_SMALL
#define LIMIT(full, small) (small)
#else
#define LIMIT(full, small) (full)
#endif

/* Times that an int does not hold. Those of peers and strangers are as long as a person waits; all unmeasured. */
#define BLOCKING_IDLE_NS 10000000000U             /* an idle thread of a blocking pool ends after 10 s, as Tokio's */
#define TRIM_AFTER_NS 10000000000U                /* idle memory goes: longer than a lull, shorter than a night */
#define CLOSE_DEADLINE_DEFAULT_NS 5000000000U     /* of a loop: what has not ended then is named and leaked */
#define STOP_TIMEOUT_DEFAULT_NS 2000000000U       /* of a worker, in a loop whose close has its default */
#define LINGER_DEFAULT_NS 5000000000U             /* for a peer's end, when a stream has sent all */
#define CONNECT_TIMEOUT_DEFAULT_NS 30000000000U
#define RESOLVE_TIMEOUT_DEFAULT_NS 30000000000U
#define RPC_OVERDUE_DEFAULT_NS 10000000000U       /* a call without an answer is told in the log */

enum {
    CACHE_LINE = 64,
    TOTAL_BYTES_MAX = 1 << 30,                           /* of one thing: a buf, region, message, request, mark of a queue */

    /* memory */
    SLOT_MIN_BITS = 12,                                  /* 4 KiB: a page; below it copying is as good as moving */
    SLOT_CLASSES = 5,                                    /* 4, 16, 64, 256, 1024 KiB: a class wastes at most 4x */
    SLOT_MAX_BITS = SLOT_MIN_BITS + 2 * (SLOT_CLASSES - 1),
    CHUNK_BITS = 21,                                     /* 2 MiB: a huge page */
    BUF_HEADROOM = 64,                                   /* room for a header in front: a chunk size line, a frame */
    BUF_COLOURS = 32,                                    /* data starts spread over 32 lines: 8.0 ns -> 1.4 a first touch */
    CACHE_SLOTS_MAX = LIMIT(64, 2),                      /* per class and thread; unmeasured */
    CACHE_BATCH = LIMIT(16, 1),                          /* slots moved between a cache and the depot at once; unmeasured */
    CACHE_SHARE = 8,                                     /* all caches together hold at most an eighth of an arena */
    CACHE_CLAIM_SHARE = 16,                              /* of that a cache claims at most a sixteenth ahead of need; unmeasured */
    COMMIT_AHEAD_CHUNKS = LIMIT(2, 1),                   /* 4 MiB: a millisecond of receiving at 4 GB/s; unmeasured */
    COPYBREAK_SHIFT = 3,                                 /* a receive below 1/8 of its slot is appended instead */
    FOREIGN_PIECE_BYTES = LIMIT(1 << 30, 1 << 13),       /* foreign memory in one segment: lengths in it have 32 bits */
    BUF_SEGMENTS_MAX = 1 << 20,                          /* segments in one buf */

    /* queues and scheduler */
    LANE_LENGTH_DEFAULT = LIMIT(1024, 4),                /* tasks a loop may have queued before -EAGAIN; unmeasured */
    LANE_LENGTH_MAX = 1 << 24,
    DEQUE_LENGTH = LIMIT(256, 4),                        /* as Tokio's; what does not fit goes to the pool's mailbox */
    SEARCH_GAP_MAX = LIMIT(32, 2),                       /* pauses (15 ns) between two looks of a searcher: docs/decisions/002 */
    MAILS_AHEAD = 16,                                    /* a mail names the one so many before it, to be fetched: docs/decisions/002 */
    DEQUE_AHEAD = 8,                                     /* items whose lines a thief fetches ahead; see docs/decisions/002 */
    POOL_WORKERS_MAX = 1024,
    POOL_LANES_MAX = LIMIT(256, 4),                      /* loops that submit to one pool */
    FAIRNESS_TICK = LIMIT(61, 3),                        /* a busy worker looks at the lanes every 61 tasks, as Go does */
    WATCH_NS = LIMIT(20000, 1000),                       /* between two looks of a loop at its lanes: docs/decisions/005 */
    WAKE_WORTH_NS = LIMIT(50000, 1 << 30),               /* work for less is done before another thread is awake: docs/decisions/005 */
    RUN_GUESS_NS = 50000,                                /* what a task takes, for a thread that has run none: worth a wake-up */
    RUN_MEAN_MAX_NS = 1000000000,                        /* of its last tasks: enough to be worth a wake-up, and no product overflows */
    PARK_SPIN_NS = 20000,                                /* spin before parking: 0.43 us a hand-over instead of 54-78 us */
    SHED_INTERVAL_NS = 100000000,                        /* CoDel's: a burst of a round trip or two has passed by then */
    BLOCKING_THREADS_DEFAULT = LIMIT(64, 4),             /* calls that block at a time, in one pool; unmeasured */
    CALLS_QUEUED_MAX = LIMIT(4096, 64),                  /* blocking calls of one loop that wait for a thread; 32 KiB; unmeasured */
    NAMES_THREADS = LIMIT(16, 2),                        /* names looked up at a time: those that nobody answers take no more; unmeasured */
    NAMES_ADDRESSES_MAX = 64,                            /* of one name; nobody tries so many */
    WATCH_BUCKETS = LIMIT(256, 2),                       /* 4 KiB; 8192 entries, a common limit of the kernel, are 32 in each */
    WATCH_BATCH_BYTES = 4096,                            /* of events at a time: some 100 to 250 */
    WATCH_FORGOTTEN = LIMIT(64, 2),                      /* removed while others are added: more wait for the slowest; unmeasured */
    MOUNTS_KNOWN = LIMIT(16, 2),                         /* local ones, in two cache lines; of more the kernel is asked anew; unmeasured */
    PROCESS_DESCRIPTORS_MAX = 64,                        /* that a program gets besides its standard ones; systemd gives fewer */
    PROCESS_TRACED_NS = LIMIT(50000000, 1000000),        /* between two looks at a dead child that somebody traces; unmeasured */
    TASK_REGIONS_MAX = 4,                                /* regions that a task shares; more go through a struct */

    /* engine */
    RING_ENTRIES_DEFAULT = LIMIT(256, 8),                /* 256: 16 us and 36 KiB to set up; 4096: 1.9 ms */
    RING_ENTRIES_MAX = 4096,
    COMPLETIONS_BATCH = LIMIT(256, 4),                   /* completions copied from the ring at a time */
    RECEIVE_SLOTS_DEFAULT = LIMIT(128, 4),               /* slots in a loop's receive ring; unmeasured */
    RECEIVE_BURST_BYTES = LIMIT(262144, 8192),           /* of one stream before others' turn: 2 MiB a stream were 5 ms a turn */
    RECEIVE_SLOTS_GROWN = LIMIT(1024, 8),                /* what a receive ring that ran dry grows to; 512 busy peers: +20 % */
    RECEIVE_GROWN_SHARE = LIMIT(16, 2),                  /* but to no more than a 16th of its arena; unmeasured */
    RECEIVE_GROWN_SPARE = 4,                             /* and only while a 4th of it is spare; unmeasured */
    RECEIVE_SHARE = 64,                                  /* a receive may bring a 64th of an arena, divided by their number: decision 033 */
    RECEIVE_SLOT_BYTES_DEFAULT = 16384,
    RECEIVE_SLOTS_MAX = 1 << 15,                         /* the kernel's limit for a buffer ring */
    SUBMIT_DISK = 4,                                     /* requests to files a system call: docs/decisions/011 */
    SEND_SEGMENTS = LIMIT(8, 2),                         /* of a buf in one send; unmeasured */
    INFLIGHT_MAX = 1 << 20,                              /* ops of one loop */

    /* time slices; docs/decisions/004 */
    LOOP_SLICE_NS = 100000,                              /* the kernel's least: a loop that wakes need not wait for a tick */
    POOL_SLICE_NS = 4000000,                             /* much longer than a loop's; what a yield of a task gives away */

    /* loop */
    TURN_COMPLETIONS_MAX = LIMIT(1024, 8),               /* callbacks before the turn goes on to mail and timers */
    TURN_MAILS_MAX = LIMIT(1024, 8),
    TURN_MAILS_NS = 1000000,                             /* or after so long, when the callbacks are slow; the same for backlogs */
    TURN_TIMERS_MAX = LIMIT(1024, 8),
    CALLBACK_LIMIT_DEFAULT_NS = 100000000,               /* of a watchdog: whatever holds a loop so long is a bug */
    STOP_TIMEOUT_SHARE = 3,                              /* of a worker within a worker: a third of what that has itself */
    LATE_TURNS = 16,                                     /* of a closing loop, behind its deadline: none waits, but for a local close(2) */
    WHEEL_MOVES_MAX = LIMIT(4096, 4),                    /* deadlines sorted a turn, 50 us: a bucket may hold a million */
    QUEUE_SHARE = 16,                                    /* a send queue is full at a 16th of what is free: docs/decisions/033 */
    SEND_HIGH_DEFAULT = 256 << 10,                       /* bytes in a send queue that is full at most; unmeasured */
    SEND_HIGH_LEAST = 1 << SLOT_MIN_BITS,                /* and at least, however little is free */
    SEND_LOW_SHARE = 4,                                  /* it has room again at a 4th of that; unmeasured */
    WRITER_LIMIT_DEFAULT = 1 << 20,                      /* bytes that wait for a file; unmeasured */
    READER_CHUNK_DEFAULT = 258048,                       /* of a read: with the largest headroom in a slot of 256 KiB */
    READER_CHUNK_DIRECT_DEFAULT = 262144,
    READER_DEPTH_DEFAULT = 2,                            /* one is read while one is used */
    STREAM_LATE_SLOTS = 4,                               /* that a stream may hold beyond its high mark: docs/decisions/033 */
    STREAM_PLACES_MAX = LIMIT(1024, 4),                  /* open places of one stream: requests that a peer may have pipelined */
    LISTEN_BACKLOG_DEFAULT = 1024,
    LISTEN_RETRY_NS = 100000000,                         /* a descriptor may become free where nobody tells us: docs/decisions/035 */
    HUNGER_AFTER_NS = 1000000000,                        /* longer than any burst: a second without memory is told; unmeasured */
    HUNGER_TELL_S = 10,                                  /* as LISTEN_TELL_S */
    LISTEN_TELL_S = 10,                                  /* 1600 warnings in 10 s from a hostile network, when each pause was told */

    /* messages */
    PORT_MESSAGES_DEFAULT = 1024,                        /* that wait at one end before -EAGAIN; tests choose less; unmeasured */
    PORT_BYTES_DEFAULT = 16 << 20,                       /* the same in bytes, of bufs as well; unmeasured */
    PORT_MESSAGES_MAX = 1 << 20,
    PORT_TURN_MESSAGES = LIMIT(256, 2),                  /* of one port before others' turn; Node's 1000 delay a timer by 0.1 s */
    PORT_TURN_NS = 1000000,                              /* or after so long, when the callbacks are slow */
    PORT_SLEEPS_LATELY = 16,                             /* of a loop, before which it may look for the next message (decision 042) */
    PORT_TURN_STEPS = LIMIT(8192, 2),                    /* of turning a backlog round, a turn: 50 ns each at worst (decision 041) */
    PORT_RELEASE = LIMIT(64, 1),                         /* delivered messages whose room is given back at once; unmeasured */
    MESSAGE_BYTES = 256,                                 /* of a message: small ones touch two cache lines of it */
    MESSAGE_ITEMS_MAX = 64,                              /* more go through a buf or several messages */
    MESSAGE_ITEMS_INLINE = 4,
    NEWS_BYTES_INLINE = LIMIT(1024, 16),                 /* of a post to a topic; more lie in the arena; unmeasured */
    RPC_CALLS_DEFAULT = LIMIT(256, 2),                   /* open calls of one end; unmeasured */
    RPC_CALLS_MAX = 1 << 16,                             /* answers that can come at once, beyond PORT_MESSAGES_MAX: an inbox counts more */

    /* stats */
    STATS_THREADS_MAX = LIMIT(256, 16),
    STATS_QUEUES_MAX = LIMIT(1024, 8),                   /* directions of channels, subscribers; those beyond are not shown; unmeasured */
    STATS_WORKERS_MAX = LIMIT(256, 4),                   /* unmeasured */
    HUNG_TASKS_MAX = LIMIT(16, 2),                       /* tasks of one handle that are named when its loop cannot be closed; unmeasured */
    STATS_POOLS_MAX = LIMIT(64, 8),                      /* those beyond are not shown; unmeasured */
    STATS_PARTS_MAX = LIMIT(1024, 64),                   /* what one thread does with one pool; unmeasured */
    STATS_RPCS_MAX = LIMIT(256, 4),                      /* unmeasured */
    STATS_TOPICS_MAX = LIMIT(64, 4),                     /* unmeasured */
};

static const uint64_t PORT_BYTES_MAX = (uint64_t)1 << 38;   /* 256 GiB: below what an inbox can count */

_Static_assert(2 * STOP_TIMEOUT_DEFAULT_NS < CLOSE_DEADLINE_DEFAULT_NS, "whoever closes by default hears which worker is left");
_Static_assert(STOP_TIMEOUT_SHARE > 2, "so does a worker that has workers");
_Static_assert(LOOP_SLICE_NS * 10 <= POOL_SLICE_NS, "who wakes a loop is not kept by a pool thread");
_Static_assert(CACHE_BATCH <= CACHE_SLOTS_MAX, "a batch fits into a cache");
_Static_assert(SLOT_MAX_BITS < CHUNK_BITS, "the largest slot fits into a chunk");

#endif
