/* stat.c — a view of one process; when there is nothing to show, says exactly why. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "commands.h"

static int explain(pid_t pid, int err, const struct process *process)
{
    int number = (int)pid;
    const char *name = process->name;
    if (err == -ESRCH)
        (void)fprintf(stderr, "jobctl: no process %d\n", number);
    else if (process_has_exited(process))
        (void)fprintf(stderr, "jobctl: process %d (%s) has exited, its parent has not waited for it yet: nothing is left to look at\n",
                      number, name);
    else if (err == -EACCES || err == -EPERM)
        (void)fprintf(stderr,
                      "jobctl: not permitted to look at process %d (%s): it belongs to user %u, or cannot be traced; the kernel "
                      "asks for the same user, or for CAP_SYS_PTRACE\n",
                      number, name, (unsigned)process->user);
    else if (err == -ENOENT)
        (void)fprintf(stderr, "jobctl: process %d (%s) has no statistics segment: it does not use libjob, has no open runtime, or "
                              "opened it with no_stats\n",
                      number, name);
    else if (err == -EBADF)
        (void)fprintf(stderr, "jobctl: process %d (%s) has closed the descriptor of its statistics segment: it cannot be opened\n",
                      number, name);
    else
        (void)fprintf(stderr, "jobctl: process %d (%s): %s\n", number, name, strerror(-err));
    return EXIT_NO_TARGET;
}

/* Segments are there, but none that says something of this process. */
static int explain_nothing(const struct report *report)
{
    const struct process *process = &report->target.process;
    (void)fprintf(stderr, "jobctl: process %d (%s) has nothing to show\n", (int)report->target.pid, process->name);
    for (unsigned i = 0; i < report->target.count; i++) {
        if (report->target.segments[i].is_inherited)
            (void)fputs("  a segment is its parent's, kept through fork: look at the parent\n", stderr);
    }
    for (unsigned i = 0; i < report->problem_count; i++)
        (void)fprintf(stderr, "  %s\n", report->problems[i].text);
    return EXIT_NO_TARGET;
}

const struct view view_stat = {stat_print_text, stat_print_json};

int command_view(const struct view *view, pid_t pid, bool is_json, uint64_t interval_ns)
{
    struct report report;
    int code = EXIT_OK;
    int err = report_open(pid, interval_ns, &report);
    if (err < 0)
        code = explain(pid, err, &report.target.process);
    else if (report.runtime_count == 0)
        code = explain_nothing(&report);
    else if (is_json)
        view->print_json(&report);
    else if (!view->print_text(&report)) {
        (void)fputs("jobctl: no memory\n", stderr);
        code = EXIT_NO_TARGET;
    }
    report_close(&report);
    return code;
}
