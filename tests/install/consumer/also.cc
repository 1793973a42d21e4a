// also.cc — the same headers from C++.
#include <job/job.h>

extern "C" const char *version_seen_by_cplusplus(void)
{
    return job_version();
}
