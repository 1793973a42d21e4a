/* main.c — the command line of jobctl. */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "job/runtime.h"

static const char usage[] =
    "usage: jobctl ps [--json]\n"
    "       jobctl stat PID [--json] [--interval SECONDS]\n"
    "       jobctl workers PID [--json] [--interval SECONDS]\n"
    "       jobctl ports | calls | topics PID [--json]\n"
    "       jobctl --help | --version\n";

static const char help[] =
    "\n"
    "Shows what live processes that use libjob are doing. Only reads: nothing is asked of the process, so it\n"
    "works as well when that hangs or is stopped.\n"
    "\n"
    "  ps       every process that you may look at, a line for each runtime in it\n"
    "  stat     one process: features, memory, pools, each thread with what it does or waits for and since when,\n"
    "           all counters\n"
    "  workers  its workers: since when, how busy, memory, messages that wait\n"
    "  ports    each direction of its channels: what waits, the limits, who receives\n"
    "  calls    each end of an rpc: calls that are open, since when, how others ended, what it owes\n"
    "  topics   its topics: posts, what became of them, and each subscriber with what waits and what it missed\n"
    "\n"
    "  -j, --json              one JSON object; its keys are described in jobctl(1)\n"
    "  -i, --interval SECONDS  stat, workers: looks twice, and shows what happened between\n"
    "  -h, --help\n"
    "  -V, --version\n"
    "\n"
    "The kernel lets you look at processes of your own user, or at all with CAP_SYS_PTRACE.\n"
    "Exit code: 0; 1: there is nothing to show, the reason is on stderr; 2: wrong usage.\n";

struct arguments {
    bool is_json, wants_help, wants_version;
    uint64_t interval_ns;
};

static int refuse(const char *what, const char *which)
{
    (void)fprintf(stderr, "jobctl: %s%s%s\n%s", what, which ? ": " : "", which ? which : "", usage);
    return EXIT_USAGE;
}

static bool parse_interval(const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !isfinite(seconds) || seconds < 0.001 || seconds > 86400)
        return false;
    *ns = (uint64_t)(seconds * 1e9);
    return true;
}

static bool parse_pid(const char *text, pid_t *pid)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    *pid = (pid_t)number;
    return errno == 0 && end != text && !*end && number > 0 && number <= INT32_MAX;
}

static int parse_options(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"interval", required_argument, NULL, 'i'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'}, {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "ji:hV", options, NULL)) != -1) {
        switch (option) {
        case 'j': arguments->is_json = true; break;
        case 'h': arguments->wants_help = true; break;
        case 'V': arguments->wants_version = true; break;
        case 'i':
            if (!parse_interval(optarg, &arguments->interval_ns))
                return refuse("an interval is a number of seconds, from 0.001 to 86400", optarg);
            break;
        default: (void)fputs(usage, stderr); return EXIT_USAGE;   /* getopt has said what */
        }
    }
    return EXIT_OK;
}

static const struct view *find_view(const char *word)
{
    static const struct { const char *word; const struct view *view; } views[] = {
        {"stat", &view_stat}, {"workers", &view_workers}, {"ports", &view_ports}, {"calls", &view_calls}, {"topics", &view_topics}};
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++) {
        if (strcmp(word, views[i].word) == 0)
            return views[i].view;
    }
    return NULL;
}

static int run(int count, char **words, const struct arguments *arguments)
{
    pid_t pid;
    if (count == 0)
        return refuse("what shall it do?", NULL);
    if (strcmp(words[0], "ps") == 0) {
        if (count > 1)
            return refuse("ps takes no argument", words[1]);
        return arguments->interval_ns ? refuse("--interval belongs to stat and workers", NULL) : command_ps(arguments->is_json);
    }
    const struct view *view = find_view(words[0]);
    if (!view)
        return refuse("no such command", words[0]);
    if (count != 2)
        return refuse("it takes one process number", words[0]);
    if (!parse_pid(words[1], &pid))
        return refuse("not a process number", words[1]);
    if (view != &view_stat && view != &view_workers && arguments->interval_ns)
        return refuse("--interval belongs to stat and workers", NULL);
    return command_view(view, pid, arguments->is_json, arguments->interval_ns);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    int code = parse_options(argc, argv, &arguments);
    if (code == EXIT_OK && arguments.wants_help)
        (void)printf("%s%s", usage, help);
    else if (code == EXIT_OK && arguments.wants_version)
        (void)printf("jobctl %s\n", job_version());
    else if (code == EXIT_OK)
        code = run(argc - optind, argv + optind, &arguments);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    (void)fprintf(stderr, "jobctl: output: %s\n", strerror(errno));
    return EXIT_NO_TARGET;
}
