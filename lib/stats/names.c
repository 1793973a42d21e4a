/* names.c — one table a closed list; a name that is missing does not compile. */
#include "stats/names.h"

#include "base/assert.h"
#include "job/api.h"

#define TEXT_OF(x) #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char job_version_text[] = VERSION_TEXT(JOB_VERSION_MAJOR, JOB_VERSION_MINOR, JOB_VERSION_PATCH);

static const char *const counters[] = {
    [COUNTER_TURNS] = "turns",
    [COUNTER_COMPLETIONS] = "completions",
    [COUNTER_MAILS] = "mails",
    [COUNTER_TIMERS] = "timers",
    [COUNTER_WAITS] = "waits",
    [COUNTER_STALE] = "stale",
    [COUNTER_STARVED] = "starved",
    [COUNTER_OVERFLOWS] = "overflows",
    [COUNTER_COPIED_BYTES] = "copied_bytes",
    [COUNTER_RECEIVED_BYTES] = "received_bytes",
    [COUNTER_SENT_BYTES] = "sent_bytes",
    [COUNTER_ACCEPTED] = "accepted",
    [COUNTER_SUBMITTED] = "submitted",
    [COUNTER_REFUSED] = "refused",
    [COUNTER_TASKS_DONE] = "tasks_done",
    [COUNTER_TASKS_RUN] = "tasks_run",
    [COUNTER_TASKS_CANCELLED] = "tasks_cancelled",
    [COUNTER_STOLEN] = "stolen",
    [COUNTER_PARKED] = "parked",
    [COUNTER_WOKEN] = "woken",
    [COUNTER_TASKS_SHED] = "tasks_shed",
    [COUNTER_LONGEST_CALLBACK_NS] = "longest_callback_ns",
    [COUNTER_IDLE_NS] = "idle_ns",
};
_Static_assert(ARRAY_COUNT(counters) == COUNTER_COUNT, "each counter has a name");

static const char *const waits[] = {
    [JOB_WAIT_NONE] = "running",           [JOB_WAIT_KERNEL] = "kernel",         [JOB_WAIT_NO_WORK] = "no work",
    [JOB_WAIT_CPU_BUDGET] = "CPU budget",  [JOB_WAIT_THREAD_END] = "thread end", [JOB_WAIT_COMMIT] = "commit request",
    [JOB_WAIT_MESSAGE] = "message",        [JOB_WAIT_REGION] = "region",
    [JOB_WAIT_NOT_RUN] = "not run",        [JOB_WAIT_DRAIN] = "drain",
};
_Static_assert(ARRAY_COUNT(waits) == JOB_WAIT_COUNT, "each reason has a name");

static const char *const kinds[] = {
    [LINE_FREE] = "free",
    [LINE_LOOP] = "loop",
    [LINE_POOL_THREAD] = "pool",
    [LINE_HELPER] = "helper",
};
_Static_assert(ARRAY_COUNT(kinds) == LINE_KINDS, "each kind has a name");

const char *counter_name(enum counter counter)
{
    return counters[counter];
}

const char *wait_name(enum job_wait wait)
{
    return waits[wait];
}

const char *line_kind_name(enum line_kind kind)
{
    return kinds[kind];
}
