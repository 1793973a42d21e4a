// also.cc — the same headers from C++.
#include <job/job.h>

static constexpr uint64_t minute_ns = 60 * JOB_SECOND;
static_assert(minute_ns == 60000 * JOB_MS, "constants in C++ as well");

extern "C" const char *version_seen_by_cplusplus(void)
{
    return job_version();
}
