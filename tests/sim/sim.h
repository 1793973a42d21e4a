/* sim.h — the interleaving checker, as a scenario sees it.
 *
 * The library's real sources are compiled with JOB_SIM: each thread is a fiber, and every atomic access, fence, futex call, mutex and
 * thread call is a point at which another fiber may go on. Stores go into the fiber's own buffer and become visible to others later,
 * in order, as on x86. A scenario is run anew for each seed; a seed decides everything, so it repeats.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/atomic.h"

struct sim_scenario {
    const char *name;           /* the sentence that it proves */
    void (*setup)(void);        /* makes the objects and spawns the fibers; nothing interleaves here */
    void (*check)(void);        /* after all fibers have ended and all stores are visible */
    unsigned steps;             /* points of a usual schedule: among so many the change points of PCT are drawn */
    unsigned preemptions;       /* > 0: not sampled, but enumerated: every schedule with at most so many preemptions and early stores */
    const char *const *marks;   /* JOB_MARKs that must be reached; ends with NULL */
};

/* Runs them all, or what the command line says (run.c). The exit code of the test. */
int sim_main(int argc, char **argv, const struct sim_scenario *scenarios, unsigned count);

/* A thread; from setup or from a fiber. */
void sim_spawn(void (*run)(void *arg), void *arg);

/* Sleeps until it is true. The predicate reads what no store buffer holds: plain variables of the scenario. */
void sim_wait_until(bool (*is_true)(void *arg), void *arg);

/* A place where others may run, and where this fiber's stores become visible: a system call. */
void sim_system_call(void);

/* Below n; part of the schedule: enumerated where schedules are enumerated. */
uint32_t sim_random(uint32_t n);

/* So many sleeps that have a time-out may still end by it, at once; the others never do, so that none heals what it should show. A
 * scenario that does not set it has no such sleeps. With SIM_ALL_TIME_OUTS each ends at once, after others have had a turn. */
enum { SIM_NO_TIME_OUTS = (int)0x7fffffff, SIM_ALL_TIME_OUTS = SIM_NO_TIME_OUTS - 1 };
extern unsigned sim_time_outs;

_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Names an object for the trace of a failure. */
void sim_label(const void *object, size_t bytes, const char *name);

#endif
