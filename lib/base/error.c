/* error.c — errno values as texts, with what some of them mean in this library. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "job/runtime.h"

const char *job_strerror(int err)
{
    if (err == INT_MIN)
        return "unknown error";
    switch (err < 0 ? -err : err) {
    case 0: return "success";
    case EAGAIN: return "no room now, or the system gives no more";
    case ECANCELED: return "cancelled, or the owner is closing";
    case EBUSY: return "in use, or it owns one already";
    case ENOSPC: return "no place left: of the system, or for another region of a task";
    case ENOMEM: return "the memory limit is reached";
    case EOWNERDEAD: return "the other side has died";
    case EPERM: return "not permitted, or not on this thread";
    case ETIMEDOUT: return "timed out";
    case ETIME: return "too late to begin: the pool is overloaded";
    default: break;
    }
    const char *text = strerrordesc_np(err < 0 ? -err : err);   /* unlike strerror(): constant, any thread */
    return text ? text : "unknown error";
}
