/* time.h — moments and durations in nanoseconds. Users may choose a duration as large as they like: a sum that no clock says is "never". */
#ifndef JOB_BASE_TIME_H
#define JOB_BASE_TIME_H

#include <stdint.h>

#define TIME_NEVER UINT64_MAX   /* a moment that does not come; a duration that does not end */

static inline uint64_t time_after(uint64_t from_ns, uint64_t duration_ns)
{
    uint64_t at_ns = from_ns + duration_ns;
    return at_ns < from_ns ? TIME_NEVER : at_ns;   /* it has wrapped */
}

/* Of a moment, seen now; 0: it has come. */
static inline uint64_t time_left(uint64_t until_ns, uint64_t now_ns)
{
    if (until_ns == TIME_NEVER)
        return TIME_NEVER;
    return until_ns > now_ns ? until_ns - now_ns : 0;
}

/* How long ago it was; 0 also when it was read from a clock a little later. */
static inline uint64_t time_since(uint64_t at_ns, uint64_t now_ns)
{
    return now_ns > at_ns ? now_ns - at_ns : 0;
}

#endif
