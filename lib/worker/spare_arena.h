/* spare_arena.h — arenas of workers that have ended, for workers to come. */
#ifndef JOB_WORKER_SPARE_ARENA_H
#define JOB_WORKER_SPARE_ARENA_H

#include <stddef.h>

struct job_arena;
struct root;

/* An arena with that limit, that nothing is in: a spare one, or a new one. 0, or as job_arena_open(). */
int spare_arena_take(struct root *root, size_t limit_bytes, struct job_arena **arena);

/* The worker has ended. Bufs that it has sent away may still be in it. *arena becomes NULL. */
void spare_arena_put(struct job_arena **arena);

/* Closes all; the runtime closes, and no other thread uses it. */
void spare_arenas_close(struct root *root);

#endif
