/* report.h — all that is known of one process, put together once, for people and for programs alike. */
#ifndef JOBCTL_REPORT_H
#define JOBCTL_REPORT_H

#include "process.h"
#include "symbol.h"
#include "target.h"

enum {
    REPORT_PROBLEMS_MAX = 32,
    REPORT_NAMED_MAX = 64,          /* functions whose names are looked for */
    REPORT_LOOP_BLOCKED_MS = 100,   /* a callback that runs for longer makes everybody else wait */
    REPORT_TASK_LONG_MS = 1000,     /* tasks may take their time; which one does is worth saying */
};

enum report_doing { REPORT_BETWEEN, REPORT_RUNS, REPORT_WAITS };

struct report_thread {
    const struct reader_thread *line;
    const struct reader_thread *before;   /* the same thread an interval ago; NULL: not there, or nobody asked */
    enum report_doing doing;
    uint64_t for_ns;                      /* how long it has been doing it; 0 between */
    bool has_kernel;                      /* its number means the same to us as to the process, and it lives */
    struct process_thread kernel;
    struct symbol function;               /* address 0: runs nothing of the user's */
};

/* Sums over the threads of a runtime. */
struct report_tasks {
    uint64_t in_flight;                   /* submitted by loops, and not yet done: they wait, run, or their end is on its way */
    uint64_t running;                     /* pool threads that run something now */
    uint64_t refused;                     /* times that a pool was full */
};

/* One pool, as its record and those of its loops and threads say together. */
struct report_pool {
    const struct reader_pool *pool;
    uint64_t submitted, begun, refused, shed;
    bool is_whole;                        /* each of its loops and threads was in the segment */
    uint64_t waiting;                     /* submitted and not begun; 0 unless it is whole */
    unsigned threads, running;            /* that there are, and that run a task */
    uint64_t waited_ns;                   /* the longest of what its threads' last tasks had waited */
    bool has_rate;
    uint64_t rate;                        /* tasks begun in a second since the look before */
    uint64_t wait_ns;                     /* how long a task that comes now waits, at that rate; UINT64_MAX: nothing moves */
};

struct report_runtime {
    const struct target_segment *segment;
    struct report_tasks tasks;
    struct report_thread *threads;        /* snapshot.thread_count */
    struct report_pool *pools;            /* those that are open */
    size_t pool_count;
};

struct report_problem {
    const char *kind;                     /* stable, for programs */
    uint32_t tid;                         /* 0: the whole process */
    char text[400];
};

struct report {
    struct target target, before;
    uint64_t interval_ns;                 /* 0: one look only */
    unsigned runtime_count;               /* that belong to the process and could be read */
    struct report_runtime runtimes[TARGET_SEGMENTS_MAX];
    unsigned named_count;
    struct symbol_budget names;
    unsigned problem_count;
    struct report_problem problems[REPORT_PROBLEMS_MAX];
};

/* Looks once, or twice with an interval between. As target_read(); on 0 there may still be no runtime that could be read. */
int report_open(pid_t pid, uint64_t interval_ns, struct report *report);
void report_close(struct report *report);

/* How often in a second since the look before; false: not known. */
bool report_rate(const struct report *report, const struct report_thread *thread, unsigned counter,
                 uint64_t *per_second);

const char *report_doing_name(enum report_doing doing);

#endif
