/* log.c — formats a line for the runtime's log hook. */
#include "base/log.h"

#include <stdio.h>

enum { LOG_TEXT_MAX = 512 };

void log_write(const struct log *log, enum job_log_level level, const char *format, ...)
{
    if (!log->hook)
        return;
    char text[LOG_TEXT_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);   /* a longer line is cut */
    va_end(args);
    log->hook(log->arg, level, text);
}
