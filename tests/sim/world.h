/* world.h — what a scenario needs around the sources that it checks: a runtime's root, its arena, and a ledger that must end at zero. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "base/root.h"
#include "memory/arena.h"
#include "queue/mailbox.h"
#include "sim/sim.h"

/* A runtime as far as the layers below runtime.c see it. */
extern struct root world;

void world_open(size_t slots, size_t reserve_slots, size_t cache_slots);   /* of the smallest class; no cache: 0 */
void world_close(void);        /* asserts that nothing is left */

struct job_runtime *world_runtime(void);

/* A thread that sleeps on an event count, as a loop sleeps in its engine: each signal ends one sleep. */
struct bell {
    struct mailbox mailbox;
    unsigned signals;          /* not yet seen by the owner */
    unsigned woken;            /* seen */
    unsigned false_alarms;     /* sleeps that may end by themselves */
    bool is_gone;              /* the owner went: nobody may ring */
};

void bell_init(struct bell *bell);
void bell_sleep(struct bell *bell);          /* mailbox_sleep() has returned true */
struct job_mail *bell_receive(struct bell *bell);   /* sleeps until there is mail; oldest first */
struct job_mail *bell_take(struct bell *bell);      /* what is there */
void bell_leave(struct bell *bell);          /* awaits the rings that are owed, then is gone */

#endif
