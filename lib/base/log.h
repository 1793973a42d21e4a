/* log.h — the one way by which the library speaks: the runtime's log hook. Nothing here prints by
 * itself: job_log_stderr() does when the user makes it the hook. */
#ifndef JOB_BASE_LOG_H
#define JOB_BASE_LOG_H

#include <stdarg.h>

#include "job/runtime.h"

enum { LOG_TEXT_MAX = 512 };   /* with the end; a longer line is cut */

struct log {
    void (*hook)(void *arg, enum job_log_level level, const char *text);
    void *arg;
};

/* Formats at most LOG_TEXT_MAX bytes on the stack and calls the hook; no hook: nothing happens. Any thread. */
void log_write(const struct log *log, enum job_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
