/* virtual_clock.h — a clock that stands still while code runs and jumps when everybody sleeps: an hour of time-outs takes no time. */
#ifndef JOB_TESTKIT_VIRTUAL_CLOCK_H
#define JOB_TESTKIT_VIRTUAL_CLOCK_H

#include <stdint.h>

/* What root->now_ns points at. */
uint64_t virtual_clock_now_ns(void);

void virtual_clock_advance(uint64_t ns);

#endif
