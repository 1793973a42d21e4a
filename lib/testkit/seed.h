/* seed.h — a small fast generator: a run is its seed, and the same seed is the same run. */
#ifndef JOB_TESTKIT_SEED_H
#define JOB_TESTKIT_SEED_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

static inline uint64_t dice_next(struct dice *dice)
{
    uint64_t z = (dice->state += 0x9e3779b97f4a7c15U);   /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

/* 0 … bound - 1; bound is not 0. */
static inline uint64_t dice_below(struct dice *dice, uint64_t bound)
{
    return dice_next(dice) % bound;
}

/* True in `permille` of 1000 throws. No throw for 0: a fault that is switched off does not change the run. */
static inline bool dice_hits(struct dice *dice, unsigned permille)
{
    return permille > 0 && dice_below(dice, 1000) < permille;
}

#endif
