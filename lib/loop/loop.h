/* loop.h — the loop's state, for the files that are parts of it and for the handles that live on it.
 *
 * All of it belongs to the loop thread, but for the mailbox and the stop word.
 */
#ifndef JOB_LOOP_LOOP_H
#define JOB_LOOP_LOOP_H

#include <errno.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/root.h"
#include "base/self.h"
#include "engine/engine.h"
#include "job/loop.h"
#include "job/timer.h"
#include "loop/wheel.h"
#include "memory/starved.h"
#include "queue/mailbox.h"
#include "stats/line.h"

struct job_stream;
struct job_listener;
struct job_signal;
struct job_file;
struct job_reader;
struct job_writer;
struct job_resolve;
struct job_process;
struct job_watch;
struct job_port;
struct job_region_waiter;
struct job_scope;
struct job_rpc;
struct job_rpc_call;
struct job_subscriber;

/* loop.c argues how it moves. In REQUESTED and TAKEN the stop mail is out. */
enum loop_stop { LOOP_RUN, LOOP_STOP_REQUESTED, LOOP_STOP_TAKEN, LOOP_STOP };

/* A first-in-first-out queue of mails of one thread. */
struct mail_queue {
    struct job_mail *first;
    struct job_mail **last;
};

/* What waits for this loop to be told something, and is no handle: told when the loop closes, and off the list then. */
struct loop_wait {
    struct list node;
    void (*loop_closes)(struct loop_wait *wait);
};

struct job_loop {
    /* fixed after open */
    struct root *root;
    struct job_arena *arena;
    struct engine *engine;
    char name[32];
    size_t receive_slot_bytes;   /* of a slot of the receive ring: what "small" is measured against */
    bool may_spin;
    void (*hung)(void *arg, const struct job_hung *hung);
    void *hung_arg;

    /* any thread, so on lines of their own: whoever posts takes the line, and the loop would miss what stands beside */
    struct mailbox mailbox __attribute__((aligned(CACHE_LINE)));
    atomic_u32 stop;             /* enum loop_stop */
    struct job_mail stop_mail;   /* wakes a loop that sleeps; out once at a time */

    atomic_u64 turn_counts[JOB_LOOP_TURN_BUCKETS];   /* the loop thread writes, any reads: by the logarithm of what a turn took */
    /* written by the loop thread at the end of each turn, for job_loop_stats() on others */
    struct {
        atomic_u32 handles, ops;
    } published;

    /* loop thread */
    atomic_u64 owner __attribute__((aligned(CACHE_LINE)));   /* self_serial() of the thread that ran it first, set once; 0 before */
    bool is_running;
    bool is_closing;
    bool is_late;                /* its deadline has passed, and it has some turns that do not wait */
    unsigned left_behind;        /* workers that have ended and left something that has not: loop_leaves() */
    int failure;                 /* what job_loop_run() will return instead of going on; 0: nothing */
    uint64_t closing_ns;         /* since when */
    uint64_t now_ns;
    struct stats_line *line;
    struct list handles;         /* all that are not closed */
    unsigned handle_count;
    struct list waits;           /* of struct loop_wait */
    unsigned alive;              /* what keeps job_loop_run() going: referenced handles, armed timers */
    struct mail_queue mails;     /* taken from the mailbox, not yet delivered */
    struct mail_queue due;       /* that go on with a backlog, when there is time */
    struct mail_queue deferred;  /* for the end of this turn */
    struct mail_queue stalled;   /* for the end of a turn in which an operation has ended: the in-flight table was full */
    struct list lanes;           /* one a pool that this loop submits to; submit.c */
    struct list fd_waiters;      /* listeners that ran out of descriptors; io/listener.c */
    struct deadline fd_retry;    /* when they try again by themselves */
    struct list open_bufs;       /* streams that keep a slot for small receives; io/stream_receive.c */
    struct job_buf *spare_open;  /* such a slot that nobody uses */
    struct list memory_waiters;  /* streams and readers that were refused memory; io/memory_wait.c */
    struct starved memory_starved;
    uint64_t spin_ns;            /* adaptive: how long looking at the mailbox has paid lately */
    unsigned spin_interval;      /* sleeps from one probe to the next */
    unsigned spin_skips;         /* sleeps until the next probe */
    unsigned messages_lately;    /* so many more sleeps looking for mail may pay though no task is out; ports set it */
    unsigned tasks_out;          /* tasks submitted by this loop that are not done */
    int64_t tasks_uncounted;     /* of them, what the runtime's ledger does not know yet: it is told once a turn */
    bool has_watched_lanes;      /* tasks may be in lanes that no thread looks at: submit.c */
    uint64_t watched_ns;         /* when it looked at them last, or began to watch */
    unsigned callbacks_untimed;  /* since the clock was read */
    unsigned callbacks_together; /* how many share a reading now */
    unsigned ready_count;        /* completions copied and not yet run: ready[ready_next..ready_count) */
    unsigned ready_next;
    struct completion ready[COMPLETIONS_BATCH];
    struct wheel deadlines;      /* all time-outs of the loop; last: it is large */
};

/* 0, or -EPERM when the loop belongs to another thread. "Before start" every thread may. */
static inline int loop_check_thread(const struct job_loop *loop)
{
    uint64_t owner = load_relaxed(&loop->owner);   /* orders nothing: who is not the owner does not go on */
    return root_is_forked(loop->root) || (owner != self()->serial && owner != 0) ? -EPERM : 0;
}

/* Queues a mail for the end of this turn (of the next one, when called from one). Loop thread. */
void loop_defer_mail(struct job_loop *loop, struct job_mail *mail);

/* Queues a mail behind others that have a backlog as well: so many of them a turn as there is time for, each at most once. Loop thread. */
void loop_make_due(struct job_loop *loop, struct job_mail *mail);

/* Something that took long was no callback: the time is right again. Loop thread. */
void loop_look_at_clock(struct job_loop *loop);

/* Queues a mail for the end of the next turn that runs a completion: there may be room for one more operation then. Loop thread. */
void loop_stall_mail(struct job_loop *loop, struct job_mail *mail);

/* What was stalled is delivered at the end of this turn: whoever waits there closes. Loop thread. */
void loop_unstall(struct job_loop *loop);

/* A thing begins or ceases to keep job_loop_run() from returning. */
static inline void loop_keep_alive(struct job_loop *loop)
{
    loop->alive++;
}

static inline void loop_let_go(struct job_loop *loop)
{
    assert(loop->alive > 0);
    loop->alive--;
}

/* job_loop_run() ends with this negative errno after the turn; of several the first counts. Loop thread. */
void loop_fail(struct job_loop *loop, int err);

/* A worker of this loop has ended, and something of it has not: `hung` is told, and the loop's close will not say 0. Loop thread. */
void loop_leaves(struct job_loop *loop, const struct job_hung *hung);

/* Frees a loop that has never run and that no other thread knows; unlike job_loop_close() also while this thread runs another one, and it
 * cannot fail. *loop becomes NULL; NULL in it is allowed. */
void loop_discard(struct job_loop **loop);

/* hung.c: after a drain that failed. */
void loop_tell_hung(struct job_loop *loop);

/* turn.c: one turn, which sleeps until until_ns at the latest. 0, or a negative errno when the engine fails for good. */
int loop_turn(struct job_loop *loop, uint64_t until_ns);

/* Completions, mails or deferred calls that are not delivered yet. */
bool loop_has_mail(struct job_loop *loop);

/* The mailbox's wake function. Any thread. */
void loop_wake(struct mailbox *mailbox);

/* The delivery of stop_mail. */
void loop_deliver_stop(struct job_mail *mail);

void mail_queue_init(struct mail_queue *queue);

/* Runs a user's callback: names it in the statistics line before, takes the time after. Use: LOOP_CALL(loop, fn, (args)). */
void loop_callback_begins(struct job_loop *loop, uint64_t function, const char *kind, const void *object);
void loop_callback_ended(struct job_loop *loop);

#define LOOP_FIRST(...) LOOP_FIRST_OF(__VA_ARGS__, 0)
#define LOOP_FIRST_OF(first, ...) first

/* What people call the first argument of a callback. */
#define LOOP_KIND(object)                                                                                              \
    _Generic((object),                                                                                                 \
        struct job_stream *: "stream",                                                                                 \
        struct job_listener *: "listener",                                                                             \
        struct job_timer *: "timer",                                                                                   \
        struct job_signal *: "signal",                                                                                 \
        struct job_file *: "file",                                                                                     \
        struct job_reader *: "reader",                                                                                 \
        struct job_writer *: "writer",                                                                                 \
        struct job_resolve *: "resolve",                                                                               \
        struct job_process *: "process",                                                                               \
        struct job_watch *: "watch",                                                                                   \
        struct job_port *: "port",                                                                                     \
        struct job_region_waiter *: "region waiter",                                                                   \
        struct job_scope *: "scope",                                                                                   \
        struct job_rpc *: "rpc",                                                                                       \
        struct job_rpc_call *: "rpc call",                                                                             \
        struct job_subscriber *: "subscriber",                                                                         \
        struct job_task *: "task",                                                                                     \
        struct job_call *: "call",                                                                                     \
        default: "handle")

#define LOOP_CALL(loop, function, arguments)                                                                           \
    do {                                                                                                               \
        struct job_loop *calling_loop = (loop); /* the callback may free what `loop` was read from */                 \
        loop_callback_begins(calling_loop, (uint64_t)(uintptr_t)(function), LOOP_KIND(LOOP_FIRST arguments),           \
                             (LOOP_FIRST arguments));                                                                  \
        (function) arguments;                                                                                          \
        loop_callback_ended(calling_loop);                                                                             \
    } while (0)

#endif
