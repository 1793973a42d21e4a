/* core.h — the checker's own state: fibers, store buffers, and what chooses the next step. */
#ifndef TESTS_SIM_CORE_H
#define TESTS_SIM_CORE_H

#include "base/self.h"
#include "base/sys.h"
#include "sim/fiber.h"
#include "sim/sim.h"

enum {
    FIBERS_MAX = 8,
    BUFFER_MAX = 8,          /* stores that a fiber may be ahead of what others see; a real core has 40 to 70 */
    STEPS_MAX = 20000,       /* more is a livelock */
    STORE_AGE_MAX = 256,     /* points after which a store becomes visible by itself */
};

enum fiber_state { FIBER_READY, FIBER_WAITS, FIBER_WAITS_FUTEX, FIBER_ENDED };

/* A store that others do not see yet. While its fiber runs, memory holds `value`, so that it sees its own stores by any access, also
 * by a plain one; while another runs, memory holds `below`. */
struct pending {
    volatile void *address;
    uint64_t value;
    uint64_t below;
    unsigned size;
};

struct fiber {
    struct fiber_context context;
    void *stack;
    enum fiber_state state;
    void (*run)(void *arg);
    void *(*thread)(void *arg);   /* instead of run: pthread_create() */
    void *arg;
    bool (*is_true)(void *arg);   /* FIBER_WAITS: until then */
    void *is_true_arg;
    const atomic_u32 *futex;      /* FIBER_WAITS_FUTEX */
    const atomic_u32 *stops[2];   /* the same: who wakes it there stops it */
    bool is_stopped;
    unsigned spurious;            /* FIBER_WAITS_FUTEX: may be woken for nothing, once */
    int32_t priority;             /* PCT */
    unsigned pending_count;
    struct pending pending[BUFFER_MAX];
    struct self self;
};

enum strategy { STRATEGY_RANDOM, STRATEGY_PCT, STRATEGY_ALL };

struct sim {
    struct fiber fibers[FIBERS_MAX];
    unsigned count;
    struct fiber *current;        /* NULL: outside of all fibers */
    struct fiber_context outside;
    unsigned steps;
    unsigned pending_total;
    bool is_tracing;

    /* what chooses */
    enum strategy strategy;
    uint64_t random;
    unsigned drain_rate, switch_rate;   /* of 256 */
    bool may_wake_spuriously;
    unsigned change[3];                 /* PCT: steps at which the running fiber becomes the least */
    unsigned change_count;
    int32_t least;
    unsigned preemptions, preemptions_max;
};

extern struct sim sim;

/* core.c */
struct fiber *sim_add(void (*run)(void *), void *(*thread)(void *), void *arg);
void sim_point(void);                              /* others may run here */
void sim_drain_own(void);
void sim_run(void);                                /* until all have ended */
void sim_trace(const char *what, const volatile void *address, uint64_t value);
bool sim_is_runnable(const struct fiber *fiber);
void sim_switch_to(struct fiber *fiber);
void sim_drain_one(struct fiber *fiber);           /* its oldest store becomes visible */
int sim_futex_wait(const atomic_u32 *word, uint32_t expected);
/* -ECANCELED: woken at one of the stops. */
int sim_futex_wait_stoppable(const atomic_u32 *word, uint32_t expected, const struct sys_stop *stops, unsigned count);
unsigned sim_futex_wake(const atomic_u32 *word, unsigned count);
bool sim_fiber_has_ended(void *fiber);

/* choose.c */
void choose_begin(const struct sim_scenario *scenario, uint64_t seed);
void choose_begin_all(const struct sim_scenario *scenario);      /* first of an enumeration */
bool choose_next_all(void);                                      /* the next one; false: all are done */
void choose_replay(const struct sim_scenario *scenario, const char *choices);
void choose_print(void);                                         /* what choose_replay() takes */
void choose_at_point(void);
struct fiber *choose_next(void);                                 /* the running one cannot go on; NULL: none can */
struct fiber *choose_after_spin(void);
unsigned choose_pending(void);                                   /* index of a fiber that has stores pending */
uint32_t choose_random(void);

/* run.c */
void run_find_label(const volatile void *address, char *text, size_t bytes);

#endif
