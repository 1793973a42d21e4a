/* watchdog.c — a thread that looks, now and then, at what the other threads say of themselves in their lines.
 *
 * Loops and pool threads pay nothing for it while they work: they write into their lines what they call and since when anyway, for jobctl.
 * The watchdog reads that, in the same process. A call that is seen for the first time is looked at again when its limit has passed; so it
 * is reported within moments after that.
 *
 * It sleeps without an end while all of them sleep. States of root->watch: OFF (there is none), AWAKE, ASLEEP.
 *   the watchdog: S1 store ASLEEP   S2 look: whoever runs makes it AWAKE again   S3 sleep while ASLEEP
 *   a thread that has slept, wherever (line_wake()): R1 say in the line that it runs   R2 a fence   R3 read the word: ASLEEP: R4 exchange
 *                            it for AWAKE; who gets that wakes the watchdog
 * Why nobody runs unwatched: between R1 and R3, and between S1 and S2, stands a fence: either R3 sees ASLEEP or S2 sees the runner. A
 * loop that no thread runs says so (JOB_WAIT_NOT_RUN), and begins by R1 to R4. Woken, the watchdog waits for a limit before it looks: a
 * thread that wakes a thousand times a second wakes it ten times. Rejected: a timer that is re-armed at each callback (a system call
 * each); looking all the time (an idle process would wake).
 * Accepted: words of a line are not of one moment; what is reported was seen twice.
 */
#include "job/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/backtrace.h"
#include "base/root.h"
#include "base/self.h"
#include "base/sys.h"
#include "base/thread.h"
#include "stats/line.h"
#include "stats/stats.h"

enum { STACK_SHOWN = 16 };   /* frames in the log: as many as a line holds */

/* What a thread was seen to do. */
struct call {
    uint32_t generation;
    uint64_t function, since_ns;
};

struct seen {
    struct call call;
    unsigned reports;
    uint64_t next_ns;             /* how long it must take for the next report */
};

struct job_watchdog {
    /* fixed after open */
    struct root *root;
    uint64_t callback_limit_ns, task_limit_ns;   /* TIME_NEVER: not watched */
    void (*held)(void *arg, const struct job_held *held);
    void *arg;
    pthread_t thread;
    bool has_signal;
    /* any thread */
    atomic_u32 is_ending;
    /* its thread */
    struct seen seen[STATS_THREADS_MAX];
    struct backtrace backtrace;
    char text[LOG_TEXT_MAX];
};

static uint64_t limit_of(const struct job_watchdog *watchdog, uint32_t kind)
{
    if (kind == LINE_LOOP)
        return watchdog->callback_limit_ns;
    return kind == LINE_POOL_THREAD ? watchdog->task_limit_ns : TIME_NEVER;
}

static bool is_same(const struct call *a, const struct call *b)
{
    return a->generation == b->generation && a->function == b->function && a->since_ns == b->since_ns;
}

static struct call read_call(const struct stats_line *line)
{
    return (struct call){   /* each word for itself; see the head of this file */
        .generation = load_relaxed(&line->generation),
        .function = load_relaxed(&line->running),
        .since_ns = load_relaxed(&line->since_ns),
    };
}

static void put(struct job_watchdog *watchdog, const char *text)
{
    size_t len = strlen(watchdog->text);
    (void)snprintf(watchdog->text + len, sizeof watchdog->text - len, "%s", text);
}

static void put_address(struct job_watchdog *watchdog, const char *before, uint64_t address)
{
    char name[96];
    backtrace_name(address, name, sizeof name);
    put(watchdog, before);
    put(watchdog, name);
}

/* NULL: the stack in `backtrace` is that of the call that is reported. */
static const char *take_stack(struct job_watchdog *watchdog, const struct stats_line *line, const struct call *call)
{
    if (!watchdog->has_signal)
        return "not wanted";
    const char *why = backtrace_take(&watchdog->backtrace, (int)load_relaxed(&line->tid), &line->running);
    if (!why && watchdog->backtrace.witnessed != call->function)
        why = "it has just ended";
    return why;
}

/* Into `text`. `why` there is no stack, or NULL. */
static void describe(struct job_watchdog *watchdog, const struct job_held *held, bool is_task, const char *why)
{
    (void)snprintf(watchdog->text, sizeof watchdog->text, "%s %s (thread %u) has been held for %llu ms by %s %s: ",
                   is_task ? "pool thread" : "loop", held->thread, held->tid,
                   (unsigned long long)(held->held_ns / 1000000), is_task ? "a" : "a callback of a", held->kind);
    put_address(watchdog, "", held->function);
    put(watchdog, why ? "; no stack: " : "; stack:");
    if (why)
        put(watchdog, why);
    for (unsigned i = 0; i < held->depth && i < STACK_SHOWN; i++)
        put_address(watchdog, " ", (uint64_t)(uintptr_t)held->stack[i]);
}

static void report(struct job_watchdog *watchdog, const struct stats_line *line, const struct seen *seen,
                   uint64_t held_ns)
{
    const char *kind = load_relaxed(&line->object_kind);   /* figures for people, all of them */
    bool is_task = load_relaxed(&line->kind) == LINE_POOL_THREAD;
    char name[sizeof line->name];
    memcpy(name, line->name, sizeof name);
    name[sizeof name - 1] = '\0';
    struct job_held held = {
        .thread = name,
        .kind = is_task ? "task" : kind ? kind : "handle",
        .object = load_relaxed(&line->object),
        .function = seen->call.function,
        .since_ns = seen->call.since_ns,
        .held_ns = held_ns,
        .tid = load_relaxed(&line->tid),
        .reports = seen->reports,
        .stack = watchdog->backtrace.frames,
        .text = watchdog->text,
    };
    const char *why = take_stack(watchdog, line, &seen->call);
    held.depth = why ? 0 : watchdog->backtrace.depth;
    describe(watchdog, &held, is_task, why);
    log_write(&watchdog->root->log, JOB_LOG_WARNING, "%s", watchdog->text);
    if (watchdog->held)
        watchdog->held(watchdog->arg, &held);
}

/* Reports what has become due. Returns how long it may take until the next look at this call. */
static uint64_t judge(struct job_watchdog *watchdog, const struct stats_line *line, struct seen *seen,
                      uint64_t limit_ns)
{
    struct call call = read_call(line);
    if (call.function == 0)
        return limit_ns;
    if (!is_same(&seen->call, &call))
        *seen = (struct seen){.call = call, .next_ns = limit_ns};
    uint64_t held = time_since(call.since_ns, watchdog->root->now_ns());
    if (held < seen->next_ns)
        return seen->next_ns - held;
    struct call again = read_call(line);
    if (!is_same(&again, &call))
        return limit_ns;
    seen->reports++;
    seen->next_ns = held * 2;
    report(watchdog, line, seen, held);
    return held;
}

/* Looks at all threads. Returns how long the next look may wait; TIME_NEVER: nobody runs. */
static uint64_t look(struct job_watchdog *watchdog)
{
    uint64_t least = TIME_NEVER;
    for (unsigned i = 0; i < STATS_THREADS_MAX; i++) {
        const struct stats_line *line = &watchdog->root->stats->lines[i];
        uint64_t limit = limit_of(watchdog, load_acquire(&line->kind));   /* pairs with store_release in line_claim */
        if (limit == TIME_NEVER || load_relaxed(&line->wait) != JOB_WAIT_NONE)   /* behind S1, an exchange */
            continue;
        uint64_t wait = judge(watchdog, line, &watchdog->seen[i], limit);
        least = wait < least ? wait : least;
    }
    return least;
}

static bool is_ending(const struct job_watchdog *watchdog)
{
    return load_acquire(&watchdog->is_ending) != 0;   /* pairs with store_seq_cst in job_watchdog_close */
}

/* S1 to S3. */
static void sleep_until_somebody_runs(struct job_watchdog *watchdog)
{
    atomic_u32 *word = &watchdog->root->watch;
    store_seq_cst(word, WATCH_ASLEEP);   /* pairs with cas_acq_rel in root_wake_watchdog */
    while (!is_ending(watchdog) && look(watchdog) == TIME_NEVER &&
           load_acquire(word) == WATCH_ASLEEP)   /* pairs with cas_acq_rel in root_wake_watchdog */
        (void)sys_futex_wait(word, WATCH_ASLEEP, TIME_NEVER);
    store_relaxed(word, WATCH_AWAKE);    /* a hint to runners */
}

static void *watchdog_main(void *arg)
{
    struct job_watchdog *watchdog = arg;
    uint64_t callback_limit = watchdog->callback_limit_ns, task_limit = watchdog->task_limit_ns;
    sys_thread_name("job/watchdog");
    while (!is_ending(watchdog)) {
        uint64_t wait = look(watchdog);
        if (wait == TIME_NEVER) {
            sleep_until_somebody_runs(watchdog);
            wait = callback_limit < task_limit ? callback_limit : task_limit;
        }
        (void)sys_futex_wait(&watchdog->is_ending, 0, wait);
    }
    thread_ends(watchdog->root);
    return NULL;
}

static int take_signal(struct job_watchdog *watchdog, int signal)
{
    if (signal == -1)
        return 0;
    signal = signal ? signal : SIGRTMAX - 3;
    int err = backtrace_open(&watchdog->backtrace, signal);
    if (err < 0)
        return err;
    watchdog->has_signal = true;
    store_relaxed(&watchdog->root->watch_signal, (uint32_t)signal);   /* who begins to run unblocks it */
    return 0;
}

/* False: a thread may still be in the handler, so the memory must stay. */
static bool give_back_signal(struct job_watchdog *watchdog)
{
    if (!watchdog->has_signal)
        return true;
    store_relaxed(&watchdog->root->watch_signal, 0);   /* as in take_signal() */
    return backtrace_close(&watchdog->backtrace);
}

int job_watchdog_open(struct job_runtime *runtime, struct job_watchdog **out,
                      const struct job_watchdog_options *options)
{
    static const struct job_watchdog_options defaults = {0};
    if (!runtime || !out)
        return -EINVAL;
    options = options ? options : &defaults;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    if (!root->stats)
        return -ENOTSUP;
    struct job_watchdog *watchdog = alloc_zeroed(root, sizeof *watchdog);
    if (!watchdog)
        return -ENOMEM;
    watchdog->root = root;
    watchdog->callback_limit_ns = options->callback_limit_ns ? options->callback_limit_ns : CALLBACK_LIMIT_DEFAULT_NS;
    watchdog->task_limit_ns = options->task_limit_ns ? options->task_limit_ns : TIME_NEVER;
    watchdog->held = options->held;
    watchdog->arg = options->arg;
    uint32_t off = WATCH_OFF;
    int err = cas_acq_rel(&root->watch, &off, WATCH_AWAKE) ? 0 : -EBUSY;   /* pairs with itself: there is one */
    if (err < 0)
        goto free_watchdog;
    err = take_signal(watchdog, options->signal);
    if (err < 0)
        goto switch_off;
    err = thread_start(root, &watchdog->thread, NULL, watchdog_main, watchdog);
    if (err < 0)
        goto give_back;
    (void)fetch_add_relaxed(&root->users, 1);   /* ledger: orders nothing */
    *out = watchdog;
    return 0;
give_back:
    (void)give_back_signal(watchdog);   /* nobody was asked yet */
switch_off:
    store_release(&root->watch, WATCH_OFF);   /* pairs with cas_acq_rel above */
free_watchdog:
    alloc_free(root, watchdog);
    return err;
}

static void leave_to_handler(struct job_watchdog *watchdog)
{
    log_write(&watchdog->root->log, JOB_LOG_ERROR, "watchdog: a thread has not left its signal's handler: the memory is leaked");
    (void)fetch_sub_relaxed(&watchdog->root->allocations, 1);   /* ledger: it is not the runtime's any more */
}

int job_watchdog_close(struct job_watchdog **pointer)
{
    if (!pointer)
        return -EINVAL;
    struct job_watchdog *watchdog = *pointer;
    if (!watchdog)
        return 0;
    struct root *root = watchdog->root;
    if (root_is_forked(root))
        return -EPERM;
    if (pthread_equal(pthread_self(), watchdog->thread))
        return -EDEADLK;
    store_seq_cst(&watchdog->is_ending, 1);   /* pairs with load_acquire in is_ending */
    (void)sys_futex_wake(&watchdog->is_ending, 1);
    root_runs(root);                          /* it may sleep on the other word */
    (void)pthread_join(watchdog->thread, NULL);
    bool is_free = give_back_signal(watchdog);
    store_release(&root->watch, WATCH_OFF);   /* pairs with cas_acq_rel in job_watchdog_open */
    (void)fetch_sub_relaxed(&root->users, 1); /* ledger: orders nothing */
    *pointer = NULL;
    if (is_free)
        alloc_free(root, watchdog);
    else
        leave_to_handler(watchdog);
    return 0;
}
