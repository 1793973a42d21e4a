/* log.c — formats a line for the runtime's log hook. */
#include "base/log.h"

#include <stdio.h>

void log_write(const struct log *log, enum job_log_level level, const char *format, ...)
{
    if (!log->hook)
        return;
    char text[LOG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log->hook(log->arg, level, text);
}
