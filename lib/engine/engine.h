/* engine.h — the seam between the loop and the kernel: eight functions on ops.
 *
 * No SQE, CQE, buffer-group id or res flag stands outside lib/engine/ring*.c. Fixed for every engine:
 *  - the end of a cancelled op arrives later through wait(), never inside cancel();
 *  - exactly one terminal completion (more == false) for each started op; nothing of that op after it;
 *  - a receive that finds no memory waits inside the engine and goes on when there is some; the caller hears of it by a completion with
 *    -ENOBUFS and more == true, and need not do anything;
 *  - EMFILE and ENFILE of an accept are terminal completions with that res: the caller decides when to start again;
 *  - hints may be ignored; there are no optional functions; op deadlines are the loop's timers.
 */
#ifndef JOB_ENGINE_ENGINE_H
#define JOB_ENGINE_ENGINE_H

#include "engine/op.h"

struct engine;
struct job_arena;
struct mailbox;
struct root;
struct stats_line;

struct engine_options {
    const char *name;             /* of the loop, for the log; outlives the engine */
    struct job_arena *arena;      /* received data */
    struct mailbox *mailbox;      /* where the mail of a starved receive ring goes: wakes the loop */
    unsigned entries;             /* submission queue; power of two */
    unsigned receive_slots;       /* power of two */
    unsigned receive_class;       /* size class of a receive slot */
};

struct engine_type {
    const char *name;

    /* Makes an engine; the kernel object belongs to the thread that first calls wait(). -ENOSYS, -EPERM with the cause in the log. */
    int (*open)(struct root *root, const struct engine_options *options, struct engine **engine);

    /* Takes the op until its terminal completion. 0; -EAGAIN: the in-flight table is full and cannot grow. Submission may be as
     * late as the next wait(). Loop thread, or before the first wait(). */
    int (*start)(struct engine *engine, struct op *op);

    /* Asks for an early end; harmless when the op has ended (OP_ENDED, idle) or was cancelled already. */
    void (*cancel)(struct engine *engine, struct op *op);

    /* Submits what was started, refills the receive ring, waits until deadline_ns of CLOCK_MONOTONIC (0: do not wait; TIME_NEVER: for
     * ever), a wake or a completion, and copies up to `max` completions, oldest first. Returns how many, 0 after a wake or the
     * deadline, or a negative errno when the engine fails for good. EINTR is 0. */
    int (*wait)(struct engine *engine, uint64_t deadline_ns, struct completion *ready, unsigned max);

    /* Makes a wait() that sleeps, or the next one, return. Any thread. One system call, and the last touch of the engine: the owner
     * may close it once woken() counts this call. Callers coalesce. */
    void (*wake)(struct engine *engine);

    /* How many calls of wake() have made theirs. Asked when the engine is to go: a system call each. Loop thread. */
    uint64_t (*woken)(struct engine *engine);

    /* Frees the engine. Ops must not be in flight: otherwise all that the kernel may still touch is leaked, and their number is
     * returned. */
    unsigned (*close)(struct engine *engine);

    /* Calls fn for each op in flight: for a close that names what hangs. */
    void (*each)(struct engine *engine, void (*fn)(struct op *op, void *arg), void *arg);
};

/* Every engine struct starts with this. */
struct engine {
    const struct engine_type *type;
    struct root *root;
    /* counters, the loop thread's; the loop copies them into its statistics line */
    uint64_t stale;        /* completions of no op that we know */
    uint64_t overflows;
    uint64_t starved;
    uint64_t enters;       /* system calls */
    unsigned in_flight;
    uint64_t now_ns;       /* the loop's time, which the loop stores here once a turn: ops are stamped with it */
};

extern const struct engine_type engine_ring;

#endif
