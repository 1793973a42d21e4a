/* turns.h — so many at a time; the others wait, in their order, and whoever ends lets the next one begin. The loop's thread alone. */
#ifndef GZSERVE_TURNS_H
#define GZSERVE_TURNS_H

#include <stdbool.h>
#include <sys/queue.h>

enum turn_state { TURN_NONE, TURN_WAITS, TURN_RUNS };

struct turn {
    enum turn_state state;
    void (*begin)(struct turn *turn);
    TAILQ_ENTRY(turn) waiting;
};

struct turns {
    unsigned running, max;
    bool is_beginning;
    TAILQ_HEAD(, turn) waiting;
};

/* max is at least 1. */
void turns_init(struct turns *turns, unsigned max);

/* Calls `begin` now or later, unless the turn is over before. It is over with turns_end(), which may be called by `begin` as well. */
void turns_take(struct turns *turns, struct turn *turn, void (*begin)(struct turn *turn));

/* Whether it runs, waits, or is over. */
void turns_end(struct turns *turns, struct turn *turn);

#endif
