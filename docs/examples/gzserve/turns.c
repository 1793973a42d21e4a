/* turns.c — a count, and a list of who waits. */
#include "turns.h"

#include <stddef.h>

void turns_init(struct turns *turns, unsigned max)
{
    turns->running = 0;
    turns->max = max;
    turns->is_beginning = false;
    TAILQ_INIT(&turns->waiting);
}

/* One that ends as it begins comes back here, and is to return: else thousands of them would be as many calls deep. */
static void go_on(struct turns *turns)
{
    struct turn *turn;
    if (turns->is_beginning)
        return;
    turns->is_beginning = true;
    while (turns->running < turns->max && (turn = TAILQ_FIRST(&turns->waiting))) {
        TAILQ_REMOVE(&turns->waiting, turn, waiting);
        turn->state = TURN_RUNS;
        turns->running++;
        turn->begin(turn);
    }
    turns->is_beginning = false;
}

void turns_take(struct turns *turns, struct turn *turn, void (*begin)(struct turn *turn))
{
    turn->begin = begin;
    turn->state = TURN_WAITS;
    TAILQ_INSERT_TAIL(&turns->waiting, turn, waiting);
    go_on(turns);
}

void turns_end(struct turns *turns, struct turn *turn)
{
    enum turn_state state = turn->state;
    turn->state = TURN_NONE;
    if (state == TURN_WAITS)
        TAILQ_REMOVE(&turns->waiting, turn, waiting);
    if (state != TURN_RUNS)
        return;
    turns->running--;
    go_on(turns);
}
