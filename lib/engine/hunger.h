/* hunger.h — says in the log when a loop has had no memory to receive into for long, and when that ended. */
#ifndef JOB_ENGINE_HUNGER_H
#define JOB_ENGINE_HUNGER_H

#include <stdbool.h>
#include <stdint.h>

struct job_arena;

struct hunger {
    /* fixed after open */
    const char *who;
    struct job_arena *arena;
    /* loop thread */
    uint64_t since_ns;    /* 0: no receive waits for memory */
    uint64_t told_ns;     /* when the log was last written to; 0: never */
    bool is_told;         /* of this time */
};

/* A look, before the loop waits: does a receive wait for memory? Returns when to look again at the latest, TIME_NEVER: no need. */
uint64_t hunger_look(struct hunger *hunger, bool is_starving);

#endif
