/* log.c — formats a line for the runtime's log hook, and a hook for those who need no other. */
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

void job_log_stderr(void *arg, enum job_log_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "info"};
    char line[LOG_TEXT_MAX + 64];
    if (level > JOB_LOG_INFO || !text)
        return;
    (void)snprintf(line, sizeof line - 1, "%s: %s: %s", arg ? (const char *)arg : "libjob", names[level], text);
    size_t len = strlen(line);
    line[len] = '\n';   /* over the zero: there is always room for one byte */
    (void)!write(STDERR_FILENO, line, len + 1);   /* one call, so that lines of several threads do not mix */
}
