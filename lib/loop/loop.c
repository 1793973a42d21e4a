/* loop.c — the life of a loop: open, run, stop, drain, close. What a turn does is in turn.c.
 *
 * The kernel's ring belongs to the thread that first runs the loop, and so does everything else here. A loop drains to zero before
 * it goes: closing a ring does not stop its I/O, so what is still in flight at the deadline is named, leaked and reported, never freed.
 *
 * A stop is a word, and for a loop that may sleep a mail that wakes it. job_loop_run() looks at the word behind each turn, so that a stop
 * waits for no mail that was there before.
 *
 *      RUN ──another thread: posts the mail──▶ REQUESTED ──run returns──▶ TAKEN ──the mail is delivered──▶ RUN
 *       └──a callback of the loop──▶ STOP ──run returns──▶ RUN   TAKEN ──any thread──▶ REQUESTED ──the mail is delivered──▶ STOP
 *
 * In REQUESTED and TAKEN the mail is out: it is in the mailbox or among those that were taken, or its poster is between the word and the
 * mailbox. So nobody posts it twice, and the loop does not go: drain() waits until it has been delivered, and its poster touches nothing
 * behind that but the engine's wake, which is waited for as well. Only the loop's thread leaves REQUESTED and STOP.
 * Rejected: the mail alone. It comes behind all mail that was there before, of which a turn delivers so much as there is time for.
 * Accepted: a loop that runs again and sleeps, with a second request, is woken as soon as the first one's poster has a CPU.
 */
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "base/container.h"
#include "base/sys.h"
#include "job/buf.h"
#include "loop/handle.h"
#include "loop/submit.h"
#include "memory/arena.h"
#include "memory/buf.h"
#include "memory/cache.h"
#include "memory/slot.h"
#include "stats/segment.h"

static int check_options(const struct job_loop_options *options)
{
    bool entries_ok = options->entries == 0 ||
                      (is_power_of_two(options->entries) && options->entries <= RING_ENTRIES_MAX);
    bool slots_ok = options->receive_slots == 0 ||
                    (is_power_of_two(options->receive_slots) && options->receive_slots <= RECEIVE_SLOTS_MAX);
    size_t bytes = options->receive_slot_bytes;
    bool bytes_ok = bytes == 0 || (bytes >= (1U << SLOT_MIN_BITS) && bytes <= (1U << SLOT_MAX_BITS) &&
                                   ((size_t)1 << (SLOT_MIN_BITS + 2 * slot_class_for(bytes))) == bytes);
    return entries_ok && slots_ok && bytes_ok ? 0 : -EINVAL;
}

/* For those whom a spinning loop waits for. */
static bool has_other_cpus(struct root *root)
{
    uint32_t quota_cpus = load_relaxed(&root->quota_cpus);   /* a hint: orders nothing */
    return quota_cpus > 1 && container_affinity_cpus() > 1;
}

static void loop_init(struct job_loop *loop, struct root *root, const struct job_loop_options *options)
{
    loop->root = root;
    loop->arena = options->arena ? options->arena : root->arena;
    const char *name = options->name ? options->name : "loop";
    strncpy(loop->name, name, sizeof loop->name - 1);
    loop->receive_slot_bytes = options->receive_slot_bytes ? options->receive_slot_bytes : RECEIVE_SLOT_BYTES_DEFAULT;
    loop->may_spin = !options->no_spin && feature_is_on(&root->features, FEATURE_SPIN) && has_other_cpus(root);
    loop->now_ns = root->now_ns();
    loop->hung = options->hung;
    loop->hung_arg = options->hung_arg;
    mailbox_init(&loop->mailbox, loop_wake);
    loop->stop_mail.job_deliver = loop_deliver_stop;
    list_init(&loop->handles);
    list_init(&loop->waits);
    list_init(&loop->lanes);
    list_init(&loop->fd_waiters);
    list_init(&loop->open_bufs);
    list_init(&loop->memory_waiters);
    mail_queue_init(&loop->mails);
    mail_queue_init(&loop->due);
    mail_queue_init(&loop->deferred);
    mail_queue_init(&loop->stalled);
    wheel_init(&loop->deadlines, loop->now_ns);
    loop->callbacks_together = 1;
}

int job_loop_open(struct job_runtime *runtime, struct job_loop **out, const struct job_loop_options *options)
{
    static const struct job_loop_options defaults = {0};
    if (!runtime || !out)
        return -EINVAL;
    options = options ? options : &defaults;
    int err = check_options(options);
    if (err < 0)
        return err;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    struct job_loop *loop = alloc_lines(root, sizeof *loop);
    if (!loop)
        return -ENOMEM;
    loop_init(loop, root, options);
    err = -ENOMEM;
    loop->line = line_claim(root, LINE_LOOP, loop->name);
    if (!loop->line)
        goto free_loop;
    line_wait(loop->line, JOB_WAIT_NOT_RUN, loop->now_ns);
    struct engine_options engine_options = {
        .name = loop->name,
        .arena = loop->arena,
        .mailbox = &loop->mailbox,
        .entries = options->entries ? options->entries : RING_ENTRIES_DEFAULT,
        .receive_slots = options->receive_slots ? options->receive_slots : RECEIVE_SLOTS_DEFAULT,
        .receive_class = slot_class_for(loop->receive_slot_bytes),
    };
    err = engine_ring.open(root, &engine_options, &loop->engine);
    if (err < 0)
        goto release_line;
    loop->engine->now_ns = loop->now_ns;
    uint32_t available = load_relaxed(&root->features.available);   /* the engine has probed its own; figures for people: no order */
    stats_set_features(root->stats, available, root->features.disabled);
    (void)fetch_add_relaxed(&root->users, 1);   /* ledger: orders nothing */
    *out = loop;
    return 0;
release_line:
    line_release(root, loop->line);
free_loop:
    alloc_free(root, loop);
    return err;
}

/* What the thread is while it runs the loop. */
struct entered {
    struct root *root;
    struct job_loop *loop;
    struct stats_line *line;
    sigset_t signals;
    uint64_t slice_ns;
};

/* What a write by users' code may raise here, and by a ring that issues an O_DIRECT write in this thread: neither must end the process. The
 * write's own error says the same: -EPIPE, -EFBIG. */
enum { WRITE_SIGNALS = 2 };
static const int write_signals[WRITE_SIGNALS] = {SIGPIPE, SIGXFSZ};

static void block_write_signals(sigset_t *before)
{
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < WRITE_SIGNALS; i++)
        sigaddset(&signals, write_signals[i]);
    (void)pthread_sigmask(SIG_BLOCK, &signals, before);   /* cannot fail: arguments are valid */
}

/* One that was left pending would end the process as soon as it is let through. */
static void drop_write_signals(const sigset_t *before)
{
    for (size_t i = 0; i < WRITE_SIGNALS; i++) {
        sigset_t signal;
        sigemptyset(&signal);
        sigaddset(&signal, write_signals[i]);
        if (sigismember(before, write_signals[i]))
            continue;
        while (sigtimedwait(&signal, NULL, &(struct timespec){0}) == write_signals[i]) {
        }
    }
}

static int enter(struct job_loop *loop, struct entered *before)
{
    int err = loop_check_thread(loop);
    if (err < 0)
        return err;
    struct self *me = self();
    if (self_unless_forked()->loop)
        return -EBUSY;
    err = cache_attach(loop->arena);
    if (err < 0)
        return err;
    uint64_t nobody = 0, serial = self_serial();
    if (!cas_relaxed(&loop->owner, &nobody, serial) && nobody != serial) {   /* orders nothing: of two that begin at once one is refused */
        cache_detach(loop->arena);
        return -EPERM;
    }
    block_write_signals(&before->signals);
    before->root = me->root;
    before->loop = me->loop;
    before->line = me->line;
    before->slice_ns = sys_slice();
    if (feature_is_on(&loop->root->features, FEATURE_SLICES))
        sys_set_slice(LOOP_SLICE_NS);
    loop->is_running = true;
    me->root = loop->root;
    me->loop = loop;
    me->line = loop->line;
    store_relaxed(&loop->line->tid, (uint32_t)sys_gettid());   /* a figure for people */
    loop->now_ns = loop->root->now_ns();
    line_wait(loop->line, JOB_WAIT_NONE, loop->now_ns);
    root_let_watchdog_ask(loop->root);   /* leave() gives back the mask that was */
    root_runs(loop->root);
    return 0;
}

static void leave(struct job_loop *loop, const struct entered *before)
{
    struct self *me = self();
    drop_write_signals(&before->signals);
    if (feature_is_on(&loop->root->features, FEATURE_SLICES))
        sys_set_slice(before->slice_ns);
    loop->is_running = false;
    loop_leave_lanes(loop);
    me->root = before->root;
    me->loop = before->loop;
    me->line = before->line;
    cache_detach(loop->arena);
    (void)pthread_sigmask(SIG_SETMASK, &before->signals, NULL);
}

/* Before the first turn only what has no mail that would end the sleep of one. */
static bool loop_take_stop(struct job_loop *loop, bool has_turned)
{
    uint32_t stop = load_acquire(&loop->stop);    /* pairs with cas_acq_rel in job_loop_stop: what the stopper did before is seen */
    if (stop != LOOP_STOP && (stop != LOOP_STOP_REQUESTED || !has_turned))
        return false;
    if (stop == LOOP_STOP_REQUESTED)
        JOB_MARK(loop_stops_before_its_mail);
    store_release(&loop->stop, stop == LOOP_STOP ? LOOP_RUN : LOOP_STOP_TAKEN);   /* pairs with cas_acq_rel in job_loop_stop */
    return true;
}

static bool stop_mail_is_out(struct job_loop *loop)
{
    uint32_t stop = load_relaxed(&loop->stop);    /* this thread alone ends both */
    return stop == LOOP_STOP_REQUESTED || stop == LOOP_STOP_TAKEN;
}

int job_loop_run(struct job_loop *loop)
{
    if (!loop)
        return -EINVAL;
    struct entered before;
    int err = enter(loop, &before);
    if (err < 0)
        return err;
    int result = 0;
    for (bool has_turned = false; result == 0; has_turned = true) {
        if (loop->failure < 0)
            result = loop->failure;
        else if (loop_take_stop(loop, has_turned))
            result = 1;
        else if (loop->alive > 0 || loop->tasks_out > 0 || loop_has_mail(loop) || stop_mail_is_out(loop))
            result = loop_turn(loop, TIME_NEVER);
        else
            break;
    }
    loop->failure = 0;
    line_wait(loop->line, JOB_WAIT_NOT_RUN, loop->now_ns);   /* not in leave(): a loop that was closed has no line any more */
    leave(loop, &before);
    return result;
}

void loop_fail(struct job_loop *loop, int err)
{
    if (loop->failure == 0)
        loop->failure = err;   /* the first one counts */
}

void job_loop_stop(struct job_loop *loop)
{
    if (!loop || root_is_forked(loop->root))
        return;
    bool is_here = self()->loop == loop;   /* in a callback: then it does not sleep */
    uint32_t stop = load_relaxed(&loop->stop), next;
    do {
        if (stop == LOOP_STOP || stop == LOOP_STOP_REQUESTED)
            return;
        next = is_here && stop == LOOP_RUN ? LOOP_STOP : LOOP_STOP_REQUESTED;
    } while (!cas_acq_rel(&loop->stop, &stop, next));   /* pairs with load_acquire in loop_take_stop; and the mail is free in RUN */
    if (stop == LOOP_STOP_TAKEN)
        JOB_MARK(loop_is_stopped_again);
    if (stop == LOOP_RUN && !is_here)
        mailbox_post(&loop->mailbox, &loop->stop_mail);
}

uint64_t job_loop_now(const struct job_loop *loop)
{
    return loop ? loop->now_ns : 0;
}

struct job_loop *job_loop_current(void)
{
    return self()->loop;
}

struct job_runtime *job_loop_runtime(const struct job_loop *loop)
{
    return loop ? (struct job_runtime *)loop->root : NULL;   /* it is the first member of one */
}

struct job_arena *job_loop_arena(const struct job_loop *loop)
{
    return loop ? loop->arena : NULL;
}

static struct job_handle *handle_of(struct list *node)
{
    return (struct job_handle *)((char *)node - offsetof(struct job_handle, job_node));
}

static void end_waits(struct job_loop *loop)
{
    while (!list_is_empty(&loop->waits)) {
        struct loop_wait *wait = container_of(loop->waits.next, struct loop_wait, node);
        list_remove(&wait->node);
        wait->loop_closes(wait);
    }
}

/* At the deadline. A thread that had no CPU until then still has some turns for what needs nothing but them: beside a task that does not
 * end, only its handle is left. Local files count among that: the loop closes them itself then (io/file.c). */
static bool is_worth_a_turn(struct job_loop *loop, unsigned *late)
{
    loop->is_late = true;
    return loop->engine->in_flight == 0 && (*late)++ < LATE_TURNS;
}

static int drain(struct job_loop *loop, uint64_t deadline_ns)
{
    loop->is_closing = true;
    loop->closing_ns = loop->root->now_ns();
    list_each(node, &loop->handles)
        (void)handle_close(handle_of(node));   /* unlinks nothing: `closed` comes from a turn */
    end_waits(loop);
    unsigned late = 0;
    /* A poster that found the loop asleep still has to signal it: the loop must not go before. */
    while (loop->handle_count > 0 || loop->tasks_out > 0 || loop_has_mail(loop) || stop_mail_is_out(loop) ||
           loop->mailbox.wakes_owed != loop->engine->type->woken(loop->engine)) {
        if (loop->root->now_ns() >= deadline_ns && !is_worth_a_turn(loop, &late))
            return -ETIMEDOUT;
        int err = loop_turn(loop, deadline_ns);
        if (err < 0)
            return err;
    }
    return 0;
}

/* Frees what a drained loop holds; after a failed drain only what nobody else can reach any more. */
static int dispose(struct job_loop *loop, int drained)
{
    buf_free_kept(&loop->spare_open);
    arena_unstarve(loop->arena, &loop->memory_starved);
    if (drained < 0) {
        loop_tell_hung(loop);
        return drained;
    }
    lanes_close(loop);
    (void)fetch_sub_relaxed(&loop->root->users, 1);   /* ledger */
    unsigned leaked = loop->engine->type->close(loop->engine);
    assert(leaked == 0);   /* each op belongs to a handle, and all handles are closed */
    return 0;
}

void loop_discard(struct job_loop **loop_pointer)
{
    struct job_loop *loop = *loop_pointer;
    if (!loop)
        return;
    assert(!load_relaxed(&loop->owner) && loop->handle_count == 0);   /* no other thread knows it */
    struct root *root = loop->root;
    *loop_pointer = NULL;
    (void)fetch_sub_relaxed(&root->users, 1);   /* ledger */
    unsigned leaked = loop->engine->type->close(loop->engine);
    assert(leaked == 0);   /* nothing was ever submitted */
    line_release(root, loop->line);
    alloc_free(root, loop);
}

int job_loop_close(struct job_loop **loop_pointer, uint64_t deadline_ns)
{
    if (!loop_pointer)
        return -EINVAL;
    struct job_loop *loop = *loop_pointer;
    if (!loop)
        return 0;
    struct entered before;
    int err = enter(loop, &before);
    if (err < 0)
        return err;
    int drained = drain(loop, time_after(loop->root->now_ns(), deadline_ns ? deadline_ns : CLOSE_DEADLINE_DEFAULT_NS));
    struct root *root = loop->root;
    err = dispose(loop, drained);
    leave(loop, &before);
    *loop_pointer = NULL;
    if (err < 0)
        return err;
    bool is_whole = loop->left_behind == 0;
    line_release(root, loop->line);
    alloc_free(root, loop);
    return is_whole ? 0 : -ETIMEDOUT;
}

void job_loop_stats(const struct job_loop *loop, struct job_loop_stats *stats)
{
    if (!loop || !stats)
        return;
    const atomic_u64 *counters = loop->line->counters;   /* a snapshot: each word for itself */
    uint64_t owner = load_relaxed(&loop->owner);           /* others get what the last turn has published */
    bool is_ours = owner != 0 && owner == self()->serial;
    *stats = (struct job_loop_stats){
        .turns = load_relaxed(&counters[COUNTER_TURNS]),
        .completions = load_relaxed(&counters[COUNTER_COMPLETIONS]),
        .mails = load_relaxed(&counters[COUNTER_MAILS]),
        .timers = load_relaxed(&counters[COUNTER_TIMERS]),
        .waits = load_relaxed(&counters[COUNTER_WAITS]),
        .wakes = load_relaxed(&counters[COUNTER_WOKEN]),
        .stale = load_relaxed(&counters[COUNTER_STALE]),
        .starved = load_relaxed(&counters[COUNTER_STARVED]),
        .overflows = load_relaxed(&counters[COUNTER_OVERFLOWS]),
        .copied_bytes = load_relaxed(&counters[COUNTER_COPIED_BYTES]),
        .longest_callback_ns = load_relaxed(&counters[COUNTER_LONGEST_CALLBACK_NS]),
        .handles = is_ours ? loop->handle_count : load_relaxed(&loop->published.handles),
        .ops = is_ours ? loop->engine->in_flight : load_relaxed(&loop->published.ops),
    };
}

void job_loop_turns(const struct job_loop *loop, struct job_loop_turns *turns)
{
    if (!turns)
        return;
    for (unsigned i = 0; i < JOB_LOOP_TURN_BUCKETS; i++)
        turns->counts[i] = loop ? load_relaxed(&loop->turn_counts[i]) : 0;   /* a snapshot: each word for itself */
}
