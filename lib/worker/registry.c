/* registry.c — workers by their id: to stop, to post, to look at, from any thread.
 *
 * A list under one lock of the runtime. A worker leaves it before its loop goes, so what is found under the lock is alive while the lock is
 * held. Nothing slow happens under it: a stop is a mail, a look some loads and one reading of a clock, and whoever posts takes a sender of
 * its own there, and copies when the lock is free again. A forked child has no workers, and must not try the lock: whoever held it at the
 * fork is not there.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "memory/arena.h"
#include "worker/record.h"

uint64_t registry_new_id(struct root *root)
{
    return fetch_add_relaxed(&root->worker_ids, 1) + 1;   /* a number: orders nothing */
}

static void lock(struct root *root)
{
    (void)pthread_mutex_lock(&root->workers_lock);
}

static void unlock(struct root *root)
{
    (void)pthread_mutex_unlock(&root->workers_lock);
}

static struct stats_worker *show(const struct worker_record *record)
{
    struct job_inside *me = job_inside_current();
    bool is_nested = me && me->record->root == record->root;
    return stats_worker_claim(record->root->stats, &(struct stats_worker_facts){
                                                       .name = record->name,
                                                       .id = record->id,
                                                       .parent = is_nested ? me->record->id : 0,
                                                       .line = record->loop->line,
                                                       .arena = record->arena ? record->arena->shown : NULL,
                                                       .has_arena = record->arena,
                                                       .queue = record->in->shown,
                                                   });
}

int registry_add(struct worker_record *record, struct job_end *to, const struct job_post *start)
{
    struct job_message *message;
    int err = sender_fill(&to->out, start, to->in, NULL, &message);
    if (err < 0)
        return err;
    record->shown = show(record);   /* before the thread goes on */
    lock(record->root);
    err = sender_push(&to->out, start, message);   /* under the lock: who finds it by its id posts behind its start message */
    if (err == 0)
        list_push_back(&record->root->workers, &record->node);
    unlock(record->root);
    return err;
}

bool registry_remove(struct worker_record *record)
{
    lock(record->root);
    list_remove(&record->node);
    record->loop = NULL;
    stats_worker_enter(record->shown, STATS_WORKER_ENDS);
    stats_worker_leave_loop(record->shown);
    bool was_stopped = record->is_stopping;
    unlock(record->root);
    return was_stopped;
}

/* Under the lock. */
static bool stop(struct worker_record *record)
{
    if (!record->loop)
        return false;
    JOB_MARK(worker_is_stopped);
    record->is_stopping = true;
    stats_worker_enter(record->shown, STATS_WORKER_STOPS);
    job_loop_stop(record->loop);
    return true;
}

bool registry_stop(struct worker_record *record)
{
    lock(record->root);
    bool is_alive = stop(record);
    unlock(record->root);
    return is_alive;
}

uint64_t registry_running(struct worker_record *record)
{
    lock(record->root);
    uint64_t function = record->loop ? load_relaxed(&record->loop->line->running) : 0;   /* a figure for people: no order */
    unlock(record->root);
    return function;
}

/* Under the lock; NULL: no such worker. */
static struct worker_record *find(struct root *root, uint64_t id)
{
    list_each(node, &root->workers) {
        struct worker_record *record = container_of(node, struct worker_record, node);
        if (record->id == id && record->loop)
            return record;
    }
    return NULL;
}

int job_worker_stop_by_id(struct job_runtime *runtime, uint64_t id)
{
    struct root *root = (struct root *)runtime;   /* its first member */
    if (!root)
        return -EINVAL;
    if (root_is_forked(root))
        return -EPERM;
    lock(root);
    struct worker_record *record = find(root, id);
    bool is_first = record && !record->is_stopping;
    bool is_alive = record && stop(record);
    if (is_alive && is_first)
        mailbox_post(record->parent, &record->stop_mail);   /* before T4, so it is delivered before the exit mail, which frees the record */
    unlock(root);
    return is_alive ? 0 : -ESRCH;
}

/* To the next one who posts to it: a sender that ends would have to walk along all of them. */
static void give_places_back(struct root *root, uint64_t id, struct sender *sender)
{
    if (!sender->free)
        return;
    lock(root);
    struct worker_record *record = find(root, id);
    if (record)
        sender_lend(sender, &record->into);
    unlock(root);
}

int job_worker_post_to(struct job_runtime *runtime, uint64_t id, const struct job_post *post)
{
    struct root *root = (struct root *)runtime;   /* its first member */
    struct job_inside *me = job_inside_current();
    if (!root || !post || (me && me->record->root == root && me->record->id == id))
        return -EINVAL;
    if (root_is_forked(root))
        return -EPERM;
    struct sender mine;
    lock(root);
    struct worker_record *record = find(root, id);
    if (record)
        sender_branch(&mine, &record->into);
    unlock(root);
    if (!record)
        return -ESRCH;
    int err = sender_post(&mine, post, NULL, NULL);
    give_places_back(root, id, &mine);
    sender_fini(&mine);
    return err == -EPIPE ? -ESRCH : err;
}

static uint64_t cpu_ns(pthread_t thread)
{
    clockid_t clock;
    struct timespec now;
    if (pthread_getcpuclockid(thread, &clock) != 0 || clock_gettime(clock, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Its time asleep, with the sleep that has not ended. */
static uint64_t idle_ns(const struct stats_line *line, uint64_t now_ns)
{
    uint64_t idle = load_relaxed(&line->counters[COUNTER_IDLE_NS]);   /* figures: each word for itself */
    uint64_t since = load_relaxed(&line->since_ns);
    uint32_t wait = load_relaxed(&line->wait);
    bool is_asleep = wait == JOB_WAIT_KERNEL || wait == JOB_WAIT_DRAIN;
    return is_asleep ? idle + time_since(since, now_ns) : idle;
}

static void read_stats(const struct worker_record *record, struct job_worker_stats *stats)
{
    const struct stats_line *line = record->loop->line;
    uint64_t now = record->root->now_ns();
    uint64_t lived = now - line->started_ns;
    *stats = (struct job_worker_stats){
        .id = record->id,
        .started_ns = line->started_ns,
        .idle_ns = idle_ns(line, now),
        .cpu_ns = cpu_ns(record->thread),
        .turns = load_relaxed(&line->counters[COUNTER_TURNS]),   /* figures: each word for itself */
        .waits = load_relaxed(&line->counters[COUNTER_WAITS]),
        .longest_callback_ns = load_relaxed(&line->counters[COUNTER_LONGEST_CALLBACK_NS]),
        .queued_messages = inbox_messages(&record->in->inbox),
        .queued_bytes = inbox_bytes(&record->in->inbox),
        .is_stopping = record->is_stopping,
    };
    stats->active_ns = lived > stats->idle_ns ? lived - stats->idle_ns : 0;
    memcpy(stats->name, record->name, sizeof stats->name);
    struct job_arena_stats memory;
    if (record->arena) {
        job_arena_stats(record->arena, &memory);
        stats->memory_used_bytes = memory.used_bytes;
        stats->memory_limit_bytes = memory.limit_bytes;
    }
}

int job_worker_stats(struct job_runtime *runtime, uint64_t id, struct job_worker_stats *stats)
{
    struct root *root = (struct root *)runtime;   /* its first member */
    if (!root || !stats)
        return -EINVAL;
    if (root_is_forked(root))
        return -EPERM;
    lock(root);
    struct worker_record *record = find(root, id);
    if (record)
        read_stats(record, stats);
    unlock(root);
    return record ? 0 : -ESRCH;
}

size_t job_worker_list(struct job_runtime *runtime, uint64_t *ids, size_t max)
{
    struct root *root = (struct root *)runtime;   /* its first member */
    size_t count = 0;
    if (!root || root_is_forked(root))
        return 0;
    lock(root);
    list_each(node, &root->workers) {
        if (ids && count < max)
            ids[count] = container_of(node, struct worker_record, node)->id;
        count++;
    }
    unlock(root);
    return count;
}
