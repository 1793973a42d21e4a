/* run.c — a checker program: schedules by the million, marks counted, and a failure that can be repeated.
 *
 *   sim_x [--schedules N] [--from SEED] [--scenario NAME]   N of each scenario (not of enumerated ones: these are run to their end)
 *   sim_x --seed SEED [--scenario NAME]                     one schedule, traced; SEED=… in the environment is the same
 *   sim_x --choices C --scenario NAME                       one enumerated schedule, traced
 *
 * A failure prints what broke and the command that repeats it, and repeats it once by itself for the trace. The repetition need not fail:
 * memory that is gone is still mapped or not by what ran before. It is a failure all the same, and the program says so (--has-failed).
 */
#include <execinfo.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "sim/core.h"

enum {
    SCHEDULES_DEFAULT = 100000,
    ENUMERATED_MAX = 20000000,
    TRACE_MAX = 120,
    FRAMES = 7,
    LABELS_MAX = 32,
    MARKS_MAX = 64,
};

static struct {
    const struct sim_scenario *scenario;
    uint64_t seed;
    char *program;
    bool is_alone;      /* one schedule only: traced, and not repeated when it fails */
} run;

static struct {
    const char *name;   /* a name has one address in each source file: compared as such, and summed by text */
    unsigned long count;
} marks[MARKS_MAX];

void mark_hit(const char *name)
{
    for (unsigned i = 0; i < MARKS_MAX; i++) {
        if (!marks[i].name)
            marks[i].name = name;
        if (marks[i].name == name) {
            marks[i].count++;
            if (sim.is_tracing)
                sim_trace(name, NULL, 0);
            return;
        }
    }
    sim_fail("more than %d marks", MARKS_MAX);
}

unsigned long mark_count(const char *name)
{
    unsigned long count = 0;
    for (unsigned i = 0; i < MARKS_MAX && marks[i].name; i++)
        count += strcmp(marks[i].name, name) == 0 ? marks[i].count : 0;
    return count;
}

void mark_reset(void)
{
    for (unsigned i = 0; i < MARKS_MAX; i++)
        marks[i].count = 0;
}

static struct {
    const char *base;
    size_t bytes;
    const char *name;
} labels[LABELS_MAX];
static unsigned label_count;

void sim_label(const void *object, size_t bytes, const char *name)
{
    if (!sim.is_tracing)
        return;
    assert(label_count < LABELS_MAX);
    labels[label_count].base = object;
    labels[label_count].bytes = bytes;
    labels[label_count++].name = name;
}

void run_find_label(const volatile void *address, char *text, size_t bytes)
{
    const char *at = (const char *)address;
    for (unsigned i = 0; i < label_count; i++) {
        if (at >= labels[i].base && at < labels[i].base + labels[i].bytes) {
            (void)snprintf(text, bytes, "%s+%zu", labels[i].name, (size_t)(at - labels[i].base));
            return;
        }
    }
    (void)snprintf(text, bytes, "%p", (const void *)at);
}

static struct {
    char text[128];
    void *frames[FRAMES];
} trace[TRACE_MAX];
static unsigned trace_count;

void sim_trace(const char *what, const volatile void *address, uint64_t value)
{
    char label[64] = "";
    long fiber = sim.current ? (long)(sim.current - sim.fibers) : -1;
    char *text = trace[trace_count % TRACE_MAX].text;
    void **frames = trace[trace_count++ % TRACE_MAX].frames;
    memset(frames, 0, FRAMES * sizeof *frames);
    (void)backtrace(frames, FRAMES);
    if (address) {
        run_find_label(address, label, sizeof label);
        (void)snprintf(text, sizeof trace[0].text, "%5u  fiber %ld  %s %s = %" PRIx64, sim.steps, fiber, what, label,
                       value);
    } else {
        (void)snprintf(text, sizeof trace[0].text, "%5u  fiber %ld  %s", sim.steps, fiber, what);
    }
}

static bool is_checker(const char *place)
{
    static const char *const files[] = {"core.c", "choose.c", "run.c", "fake_sys.c", "?"};
    for (unsigned i = 0; i < ARRAY_COUNT(files); i++) {
        if (strncmp(place, files[i], strlen(files[i])) == 0)
            return true;
    }
    return false;
}

/* Asks addr2line where the access stands: the first caller that is not the checker. The programs are linked at fixed addresses. */
static void print_trace(void)
{
    static char command[TRACE_MAX * FRAMES * 20 + 64] = "addr2line -s -e ";
    unsigned from = trace_count > TRACE_MAX ? trace_count - TRACE_MAX : 0;
    size_t len = strlen(command);
    len += (size_t)snprintf(command + len, sizeof command - len, "%s", run.program);
    for (unsigned i = from; i < trace_count; i++) {
        for (unsigned j = 0; j < FRAMES; j++) {   /* the call, not where it returns to */
            uintptr_t at = (uintptr_t)trace[i % TRACE_MAX].frames[j];
            len += (size_t)snprintf(command + len, sizeof command - len, " %#" PRIxPTR, at ? at - 1 : 0);
        }
    }
    FILE *lines = popen(command, "r");
    for (unsigned i = from; i < trace_count; i++) {
        char place[64] = "", line[256];
        for (unsigned j = 0; j < FRAMES && lines && fgets(line, sizeof line, lines); j++) {
            if (!place[0] && !is_checker(line))
                (void)snprintf(place, sizeof place, "%.*s", (int)strcspn(line, " \n"), line);
        }
        printf("%-24s %s\n", place, trace[i % TRACE_MAX].text);
    }
    if (lines)
        (void)pclose(lines);
}

static _Noreturn void repeat_traced(void)
{
    char seed[32];
    (void)snprintf(seed, sizeof seed, "%" PRIu64, run.seed);
    char *const by_seed[] = {run.program, "--scenario", (char *)(uintptr_t)run.scenario->name, "--seed", seed,
                             "--has-failed", "yes", NULL};
    (void)execv("/proc/self/exe", by_seed);
    _exit(1);
}

_Noreturn void sim_fail(const char *format, ...)
{
    va_list args;
    printf("FAILED %s: ", run.scenario->name);
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    printf(" (step %u)\n", sim.steps);
    if (run.is_alone) {
        print_trace();
    } else if (sim.strategy == STRATEGY_ALL) {
        printf("again: %s --scenario %s --choices ", run.program, run.scenario->name);
        choose_print();
        printf("\n");
    } else {
        printf("SEED=%" PRIu64 "\nagain: %s --scenario %s --seed %" PRIu64 "\n", run.seed, run.program,
               run.scenario->name, run.seed);
        (void)fflush(stdout);
        repeat_traced();
    }
    (void)fflush(stdout);
    _exit(1);
}

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
    sim_fail("assertion failed: %s (%s:%d)", expression, file, line);
}

static void crashed(int signal_number)
{
    sim_fail("signal %d: memory that is gone", signal_number);
}

static void catch_crashes(void)
{
    static char stack[64 * 1024];
    (void)sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK};
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* The strategy has begun: one schedule. */
static void one_schedule(void)
{
    run.scenario->setup();
    sim_run();
    if (run.scenario->check)
        run.scenario->check();
}

static int check_marks(const struct sim_scenario *scenario)
{
    int result = 0;
    for (const char *const *mark = scenario->marks; mark && *mark; mark++) {
        unsigned long count = mark_count(*mark);
        printf("  reached %s: %lu\n", *mark, count);
        if (count == 0) {
            printf("FAILED %s: %s was never reached\n", scenario->name, *mark);
            result = 1;
        }
    }
    return result;
}

static void report(uint64_t schedules, uint64_t steps, uint64_t begin)
{
    double seconds = (double)(now_ns() - begin) / 1e9;
    printf("%s: %" PRIu64 " schedules%s in %.1f s, %.2f M/s, %.0f steps each\n", run.scenario->name, schedules,
           run.scenario->preemptions ? ", all there are" : "", seconds, (double)schedules / seconds / 1e6,
           (double)steps / (double)schedules);
}

static void run_sampled(uint64_t from, uint64_t count)
{
    uint64_t begin = now_ns(), steps = 0;
    for (run.seed = from; run.seed < from + count; run.seed++) {
        choose_begin(run.scenario, run.seed);
        one_schedule();
        steps += sim.steps;
    }
    report(count, steps, begin);
}

static void run_all(void)
{
    uint64_t begin = now_ns(), steps = 0, count = 0;
    choose_begin_all(run.scenario);
    do {
        one_schedule();
        steps += sim.steps;
        if (++count > ENUMERATED_MAX)
            sim_fail("too large to enumerate");
    } while (choose_next_all());
    report(count, steps, begin);
}

struct arguments {
    uint64_t schedules, from, seed;
    bool has_seed, has_failed;
    const char *scenario, *choices;
};

static void read_arguments(int argc, char **argv, struct arguments *arguments)
{
    const char *seed = getenv("SEED");
    *arguments = (struct arguments){.schedules = SCHEDULES_DEFAULT, .from = 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--schedules") == 0)
            arguments->schedules = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--from") == 0)
            arguments->from = strtoull(argv[i + 1], NULL, 0);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = argv[i + 1];
        else if (strcmp(argv[i], "--scenario") == 0)
            arguments->scenario = argv[i + 1];
        else if (strcmp(argv[i], "--choices") == 0)
            arguments->choices = argv[i + 1];
        else if (strcmp(argv[i], "--has-failed") == 0)
            arguments->has_failed = true;
    }
    arguments->has_seed = seed != NULL;
    arguments->seed = seed ? strtoull(seed, NULL, 0) : 0;
}

static int run_traced(const struct arguments *arguments)
{
    run.is_alone = true;
    sim.is_tracing = true;
    run.seed = arguments->seed;
    if (arguments->choices)
        choose_replay(run.scenario, arguments->choices);
    else
        choose_begin(run.scenario, run.seed);
    one_schedule();
    print_trace();
    if (arguments->has_failed)
        printf("FAILED %s: among others, not alone; again with --from and --schedules in place of --seed\n", run.scenario->name);
    return arguments->has_failed ? 1 : 0;
}

static void make_stacks(void)
{
    size_t each = FIBER_STACK_BYTES + 4096;   /* a page between that nobody may touch */
    char *stacks = mmap(NULL, FIBERS_MAX * each, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stacks == MAP_FAILED)
        exit(1);
    for (unsigned i = 0; i < FIBERS_MAX; i++) {
        (void)mprotect(stacks + i * each, 4096, PROT_NONE);
        sim.fibers[i].stack = stacks + i * each + 4096;
    }
}

int sim_main(int argc, char **argv, const struct sim_scenario *scenarios, unsigned count)
{
    struct arguments arguments;
    read_arguments(argc, argv, &arguments);
    make_stacks();
    catch_crashes();
    run.program = argv[0];
    int result = 0;
    for (unsigned i = 0; i < count; i++) {
        run.scenario = &scenarios[i];
        if (arguments.scenario && strcmp(arguments.scenario, run.scenario->name) != 0)
            continue;
        mark_reset();
        bool is_enumerated = run.scenario->preemptions > 0;
        if (arguments.choices ? is_enumerated : arguments.has_seed && !is_enumerated) {
            result |= run_traced(&arguments);
        } else if (!arguments.has_seed && !arguments.choices) {
            if (is_enumerated)
                run_all();
            else
                run_sampled(arguments.from, arguments.schedules);
            result |= check_marks(run.scenario);
        }
        (void)fflush(stdout);
    }
    return result;
}
