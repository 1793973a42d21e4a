/* features.h — what this kernel can do, what JOB_DISABLE took away, and the one place that knows their names.
 *
 * JOB_DISABLE=name,name… (secure_getenv, read once when a runtime opens) turns single features off, so that every fallback
 * can be tested and a misbehaving one avoided without a new build.
 */
#ifndef JOB_BASE_FEATURES_H
#define JOB_BASE_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"

enum feature {
    FEATURE_NO_IOWAIT,        /* an idle ring does not count as waiting for I/O (kernel 6.15) */
    FEATURE_SPIN,             /* spin before sleeping, loops and pool threads */
    FEATURE_RECEIVE_CAP,      /* a receive with many completions ends after so many bytes (kernel 6.17) */
    FEATURE_COPYBREAK,        /* small receives are appended to the stream's open buf */
    FEATURE_SLICES,           /* short time slices for loops, longer ones for pool threads (kernel 6.12) */
    FEATURE_PIDFD_GROUP,      /* a signal to a whole process group by the pidfd of its leader (kernel 6.9) */
    FEATURE_COUNT,
};

struct features {
    uint32_t disabled;        /* bits of enum feature */
    atomic_u32 available;     /* bits that a probe has set: a loop that opens probes while others' threads look */
};

/* The name as in JOB_DISABLE and in jobctl; NULL past the end. */
const char *feature_name(enum feature feature);

/* Parses a list as of JOB_DISABLE; an unknown name is skipped and reported by returning its first byte, else NULL. */
const char *features_parse_disabled(struct features *features, const char *list);

/* Reads JOB_DISABLE. Nothing is probed yet: each layer probes its own at open and calls feature_found(). */
void features_init(struct features *features);

static inline void feature_found(struct features *features, enum feature feature)
{
    (void)fetch_or_acq_rel(&features->available, 1U << feature);   /* pairs with itself: two that probe at once both set theirs */
}

static inline bool feature_is_on(const struct features *features, enum feature feature)
{
    uint32_t available = load_relaxed(&features->available);   /* each bit for itself: orders nothing */
    return (available & ~features->disabled & (1U << feature)) != 0;
}

#endif
