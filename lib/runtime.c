/* runtime.c — opens all that a runtime consists of, in order, closes it in reverse, and names what is left. */
#include "job/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/features.h"
#include "base/root.h"
#include "base/sys.h"
#include "io/process.h"
#include "job/pool.h"
#include "memory/arena.h"
#include "message/topic.h"
#include "queue/helper.h"
#include "stats/names.h"
#include "stats/segment.h"
#include "worker/spare_arena.h"

struct job_runtime {
    struct root root;   /* what the layers below know of a runtime */
};

_Static_assert(offsetof(struct job_runtime, root) == 0, "a runtime is a root");

static void find_features(struct root *root)
{
    const char *list = secure_getenv("JOB_DISABLE");
    features_init(&root->features);
    const char *unknown = list ? features_parse_disabled(&root->features, list) : NULL;
    if (unknown)
        log_write(&root->log, JOB_LOG_WARNING, "JOB_DISABLE: unknown feature at \"%s\"", unknown);
    feature_found(&root->features, FEATURE_SPIN);
    feature_found(&root->features, FEATURE_COPYBREAK);
    if (sys_slice() > 0)
        feature_found(&root->features, FEATURE_SLICES);
}

/* It is the runtime's own: not among what must be closed before. */
static int open_own(struct job_runtime *runtime, struct job_pool **pool, const char *name, unsigned threads)
{
    struct job_pool_options options = {
        .blocking = true, .workers = threads, .queue_limit = CALLS_QUEUED_MAX, .name = name};
    if (threads > POOL_WORKERS_MAX)
        return -EINVAL;   /* JOB_POOL_INLINE as well: a loop would sleep in the kernel */
    int err = job_pool_open(runtime, pool, &options);
    if (err == 0)
        (void)fetch_sub_relaxed(&runtime->root.users, 1);   /* ledger */
    return err;
}

static int close_own(struct job_runtime *runtime, struct job_pool **pool)
{
    if (!*pool)
        return 0;   /* a close that failed later was tried before */
    (void)fetch_add_relaxed(&runtime->root.users, 1);   /* ledger */
    int err = job_pool_close(pool);
    if (err < 0)
        (void)fetch_sub_relaxed(&runtime->root.users, 1);   /* ledger */
    return err;
}

/* The one that runs what users submit comes first: it alone may refuse, to the `done` of a task of its own; then nothing has changed. */
static int close_pools(struct job_runtime *runtime)
{
    int err = close_own(runtime, &runtime->root.calls);
    return err < 0 ? err : close_own(runtime, &runtime->root.names);
}

static int open_pools(struct job_runtime *runtime, unsigned threads)
{
    int err = open_own(runtime, &runtime->root.calls, "calls", threads);
    if (err < 0)
        return err;
    err = open_own(runtime, &runtime->root.names, "names", NAMES_THREADS);
    if (err < 0)
        (void)close_pools(runtime);   /* nobody has used them */
    return err;
}

int job_runtime_open(struct job_runtime **out, const struct job_runtime_options *options)
{
    static const struct job_runtime_options defaults = {0};
    if (!out)
        return -EINVAL;
    options = options ? options : &defaults;
    struct job_runtime *runtime = aligned_alloc(CACHE_LINE, sizeof *runtime);
    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof *runtime);
    struct root *root = &runtime->root;
    root->log = (struct log){.hook = options->log, .arg = options->log_arg};
    root->pid = getpid();
    root->now_ns = sys_clock_monotonic_ns;
    (void)pthread_mutex_init(&root->travel, NULL);   /* cannot fail without attributes */
    (void)pthread_mutex_init(&root->workers_lock, NULL);
    list_init(&root->workers);
    (void)pthread_mutex_init(&root->topics_lock, NULL);
    list_init(&root->topics);
    (void)pthread_mutex_init(&root->signals_lock, NULL);
    list_init(&root->signals);
    (void)pthread_mutex_init(&root->orphans_lock, NULL);
    list_init(&root->orphans);
    find_features(root);
    atomic_u32 *guard;
    int err = sys_fork_guard(&guard);
    if (err < 0)
        goto free_runtime;
    root->guard = guard;
    const char *name = options->name ? options->name : program_invocation_short_name;
    err = options->no_stats ? 0 : stats_open(root, name, &root->stats);
    if (err < 0)
        goto release_guard;
    err = helper_open(root, &root->helper);
    if (err < 0)
        goto close_stats;
    struct job_arena_options arena_options = {.limit_bytes = options->memory_limit_bytes, .name = "default"};
    err = arena_open(root, &runtime->root.arena, &arena_options);
    if (err < 0)
        goto close_helper;
    err = open_pools(runtime, options->blocking_threads);
    if (err < 0)
        goto close_arena;
    *out = runtime;
    return 0;
close_arena:
    (void)arena_close(&root->arena);   /* nobody has used it */
close_helper:
    helper_close(&root->helper);
close_stats:
    stats_close(root, &root->stats);
release_guard:
    (void)sys_release(guard, SYS_GUARD_BYTES);
free_runtime:
    free(runtime);
    return err;
}

struct job_arena *job_runtime_arena(struct job_runtime *runtime)
{
    return runtime ? runtime->root.arena : NULL;
}

struct job_pool *job_runtime_calls(struct job_runtime *runtime)
{
    return runtime ? runtime->root.calls : NULL;
}

void job_runtime_counts(const struct job_runtime *runtime, struct job_counts *counts)
{
    if (!counts)
        return;
    *counts = (struct job_counts){0};
    if (!runtime)
        return;
    const struct root *root = &runtime->root;   /* counts: each word for itself */
    *counts = (struct job_counts){
        .bufs = load_relaxed(&root->bufs),
        .views = load_relaxed(&root->views),
        .wraps = load_relaxed(&root->wraps),
        .regions = load_relaxed(&root->regions),
        .tasks = load_relaxed(&root->tasks),
        .handles = load_relaxed(&root->handles),
        .fds = load_relaxed(&root->fds),
        .threads = load_relaxed(&root->threads),
        .allocations = load_relaxed(&root->allocations),
        .copied_bytes = load_relaxed(&root->copied_bytes),
        .ends = load_relaxed(&root->ends) + load_relaxed(&root->senders) + load_relaxed(&root->topic_opens),
        .dropped_messages = load_relaxed(&root->dropped),
    };
}

/* Logs each kind that still lives. The arena's and the segment's own blocks are not among them: they are closed here. */
static bool names_what_is_left(struct job_runtime *runtime)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    uint64_t boxes = counts.ends == 0 ? load_relaxed(&runtime->root.boxes) : 0;   /* ends have some: then they alone are named */
    const struct { const char *kind; uint64_t count; } left[] = {
        {"bufs", counts.bufs},       {"regions", counts.regions}, {"tasks", counts.tasks},
        {"handles", counts.handles}, {"loops, pools or arenas", load_relaxed(&runtime->root.users)},
        {"ends of channels", load_relaxed(&runtime->root.ends)},
        {"senders", load_relaxed(&runtime->root.senders)},
        {"topics", load_relaxed(&runtime->root.topic_opens)},
        {"pieces of foreign memory", counts.wraps},
        {"queues of messages that were kept or received", boxes},
        {"news that were retained", load_relaxed(&runtime->root.news)},
    };
    bool is_any = false;
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        if (left[i].count == 0)
            continue;
        is_any = true;
        log_write(&runtime->root.log, JOB_LOG_ERROR, "runtime cannot be closed: %llu %s live",
                  (unsigned long long)left[i].count, left[i].kind);
    }
    topics_tell_open(&runtime->root);
    return is_any;
}

int job_runtime_close(struct job_runtime **runtime_pointer)
{
    if (!runtime_pointer)
        return -EINVAL;
    struct job_runtime *runtime = *runtime_pointer;
    if (!runtime)
        return 0;
    if (root_is_forked(&runtime->root))
        return -EPERM;
    if (names_what_is_left(runtime))
        return -EBUSY;
    int err = close_pools(runtime);
    if (err < 0)
        return err;
    orphans_close(&runtime->root);
    spare_arenas_close(&runtime->root);
    err = arena_close(&runtime->root.arena);
    if (err < 0)
        return err;
    helper_close(&runtime->root.helper);
    stats_close(&runtime->root, &runtime->root.stats);
    assert(load_relaxed(&runtime->root.allocations) == 0);   /* no other thread uses the runtime */
    assert(load_relaxed(&runtime->root.threads) == 0);
    (void)sys_release((void *)(uintptr_t)runtime->root.guard, SYS_GUARD_BYTES);
    (void)pthread_mutex_destroy(&runtime->root.travel);
    (void)pthread_mutex_destroy(&runtime->root.workers_lock);
    (void)pthread_mutex_destroy(&runtime->root.topics_lock);
    (void)pthread_mutex_destroy(&runtime->root.signals_lock);
    (void)pthread_mutex_destroy(&runtime->root.orphans_lock);
    *runtime_pointer = NULL;
    free(runtime);
    return 0;
}

const char *job_version(void)
{
    return job_version_text;
}
