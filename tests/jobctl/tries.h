/* tries.h — for tests of a million tries: values at which readers break. */
#ifndef TESTS_JOBCTL_TRIES_H
#define TESTS_JOBCTL_TRIES_H

#include "support/fixture.h"

static const uint32_t nasty[] = {
    0,      1,       2,         3,          4,          7,          8,          31,         32,         63,
    64,     65,      71,        72,         127,        128,        255,        256,        257,        0x7fff,
    0xffff, 0x10000, 0x1000000, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffff8, 0xffffffc0, 0xfffffffe, 0xffffffff,
};
enum { NASTY = sizeof nasty / sizeof nasty[0] };

#endif
