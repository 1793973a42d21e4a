/* turn.c — a turn of the loop, and how it sleeps and is woken.
 *
 * A turn: submit and wait; completions in batches with a budget; mail; due timers; who has a backlog; what was deferred. All callbacks run
 * here, on one thread, so nothing that they touch needs a lock.
 *
 * Mail and backlogs have so much time a turn, TURN_MAILS_NS, however many they are: timers come between. What is deferred runs whole: what
 * was sent in this turn goes before the loop sleeps, also beside a flood.
 *
 * Whether the loop sleeps is a state of its mailbox (queue/mailbox.c argues why no mail is lost): a poster signals the engine only
 * when it found the loop asleep, so a hand-over to a loop that is awake costs no system call. The wait has no safety time-out.
 */
#include "base/annotate.h"
#include "base/bits.h"
#include "loop/loop.h"
#include "loop/submit.h"

enum {
    SPIN_MAX_NS = 20000,   /* a task there and back in 0.4 us instead of 50 when both sides look this long */
    SPIN_MIN_NS = 1000,
    SPIN_PROBE_NS = 100000, /* longer than a CPU takes to wake: see spin() */
    SPIN_PROBE_MIN = 16,   /* sleeps between two probes; doubled by each that finds nothing */
    SPIN_PROBE_MAX = 1024,
    SPIN_ROUND = 16,       /* looks between two readings of the clock */

    CALLBACKS_TOGETHER_MAX = 32,
    CALLBACKS_SHORT_NS = 4000,
};

void mail_queue_init(struct mail_queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void mail_queue_push(struct mail_queue *queue, struct job_mail *mail)
{
    mail->job_next = NULL;
    *queue->last = mail;
    queue->last = &mail->job_next;
}

static struct job_mail *mail_queue_pop(struct mail_queue *queue)
{
    struct job_mail *mail = queue->first;
    if (!mail)
        return NULL;
    queue->first = mail->job_next;
    if (!queue->first)
        queue->last = &queue->first;
    return mail;
}

void loop_defer_mail(struct job_loop *loop, struct job_mail *mail)
{
    mail_queue_push(&loop->deferred, mail);
}

void loop_make_due(struct job_loop *loop, struct job_mail *mail)
{
    mail_queue_push(&loop->due, mail);
}

void loop_stall_mail(struct job_loop *loop, struct job_mail *mail)
{
    mail_queue_push(&loop->stalled, mail);
}

void loop_unstall(struct job_loop *loop)
{
    if (!loop->stalled.first)
        return;
    *loop->deferred.last = loop->stalled.first;
    loop->deferred.last = loop->stalled.last;
    mail_queue_init(&loop->stalled);
}

void loop_wake(struct mailbox *mailbox)
{
    struct job_loop *loop = container_of(mailbox, struct job_loop, mailbox);
    if (root_is_forked(loop->root))   /* the descriptor is the parent's as well, whose loop counts the signals */
        return;
    loop->engine->type->wake(loop->engine);
}

void loop_deliver_stop(struct job_mail *mail)
{
    struct job_loop *loop = container_of(mail, struct job_loop, stop_mail);
    uint32_t taken = LOOP_STOP_TAKEN;
    /* Pairs with cas_acq_rel in job_loop_stop: the mail is free. Else it was REQUESTED again, or is still, which this thread alone ends. */
    if (!cas_acq_rel(&loop->stop, &taken, LOOP_RUN))
        store_release(&loop->stop, LOOP_STOP);   /* as above */
}

static void take_mails(struct job_loop *loop)
{
    struct job_mail *last = NULL;
    struct job_mail *first = mailbox_take(&loop->mailbox, &last);
    if (!first)
        return;
    *loop->mails.last = first;
    loop->mails.last = &last->job_next;
}

/* Fetches what surrounds the mail after the next: a chain of a thousand has left the first cache since it was put in order. */
static void fetch_ahead(const struct mail_queue *queue)
{
    if (!queue->first || !queue->first->job_next)
        return;
    const char *mail = (const char *)queue->first->job_next;
    prefetch_for_write(mail);
    prefetch_for_write(mail + CACHE_LINE);   /* of a task: what only its loop touches */
}

/* By the time of the last callback. A loop that closes only ends things. */
static bool has_time(const struct job_loop *loop, uint64_t begin_ns)
{
    return loop->now_ns - begin_ns < TURN_MAILS_NS || loop->is_closing;
}

static void deliver_mails(struct job_loop *loop)
{
    take_mails(loop);
    unsigned count = 0;
    uint64_t begin = loop->now_ns;
    struct job_mail *mail;
    while (count < TURN_MAILS_MAX && has_time(loop, begin) && (mail = mail_queue_pop(&loop->mails))) {
        count++;
        fetch_ahead(&loop->mails);
        mail->job_deliver(mail);
    }
    if (count)
        line_count(loop->line, COUNTER_MAILS, count);
}

/* What becomes due from here on waits for the next turn, behind what is left of this one. */
static void run_due(struct job_loop *loop)
{
    struct job_mail **end = loop->due.last;
    uint64_t begin = loop->now_ns;
    bool is_last = false;
    struct job_mail *mail;
    while (!is_last && has_time(loop, begin) && (mail = mail_queue_pop(&loop->due))) {
        is_last = &mail->job_next == end;
        mail->job_deliver(mail);
    }
}

/* What is deferred from here on waits for the next turn, so that it cannot starve the rest. */
static void run_deferred(struct job_loop *loop)
{
    struct mail_queue now;
    mail_queue_init(&now);
    if (!loop->deferred.first)
        return;
    now.first = loop->deferred.first;
    now.last = loop->deferred.last;
    mail_queue_init(&loop->deferred);
    struct job_mail *mail;
    while ((mail = mail_queue_pop(&now)))
        mail->job_deliver(mail);
}

void loop_callback_begins(struct job_loop *loop, uint64_t function, const char *kind, const void *object)
{
    annotate_use(object, 1);
    line_object(loop->line, kind, object);
    line_run(loop->line, function, loop->now_ns);
}

/* Reads the clock for the callbacks since the last reading. A reading costs as much as the shortest callbacks (29 ns), so as long as
 * they are short several share one; the first reading that finds them long makes the next ones single again. What the longest one
 * took is therefore exact above CALLBACKS_SHORT_NS, and never too small. */
static void time_callbacks(struct job_loop *loop)
{
    uint64_t now = loop->root->now_ns();
    uint64_t took = now - loop->now_ns;
    loop->now_ns = now;
    loop->callbacks_untimed = 0;
    unsigned more = (unsigned)min_size(loop->callbacks_together * 2, CALLBACKS_TOGETHER_MAX);
    loop->callbacks_together = took > CALLBACKS_SHORT_NS ? 1 : more;
    atomic_u64 *longest = &loop->line->counters[COUNTER_LONGEST_CALLBACK_NS];
    if (took > load_relaxed(longest))   /* single writer */
        store_relaxed(longest, took);
    loop_watch_lanes(loop);
}

void loop_callback_ended(struct job_loop *loop)
{
    line_run(loop->line, 0, loop->now_ns);
    if (++loop->callbacks_untimed >= loop->callbacks_together)
        time_callbacks(loop);
}

/* Accepted: behind short callbacks that have no reading of their own yet, what the caller did since is counted with them; a reading before
 * it as well would be one more for each delivery. */
void loop_look_at_clock(struct job_loop *loop)
{
    if (loop->callbacks_untimed > 0)
        time_callbacks(loop);
    else
        loop->now_ns = loop->root->now_ns();
}

/* The time is right before it is compared with deadlines, and what was not a callback is not counted as one. */
static void time_rest(struct job_loop *loop)
{
    if (loop->callbacks_untimed > 0)
        time_callbacks(loop);
}

static bool has_ready(const struct job_loop *loop)
{
    return loop->ready_next < loop->ready_count;
}

bool loop_has_mail(struct job_loop *loop)
{
    return has_ready(loop) || loop->mails.first || loop->due.first || loop->deferred.first ||
           !mailbox_is_empty(&loop->mailbox);
}

/* Looks at the mailbox for a while; not with a clock that stands still: it is virtual, and nobody else posts. */
static bool look_for_mail(struct job_loop *loop, uint64_t limit_ns)
{
    uint64_t begin = loop->root->now_ns(), now = begin, before;
    do {
        before = now;
        for (unsigned i = 0; i < SPIN_ROUND; i++) {
            if (!mailbox_is_empty(&loop->mailbox))
                return true;
            cpu_relax();
        }
        now = loop->root->now_ns();
    } while (now != before && now - begin < limit_ns);
    return false;
}

static bool expects_mail(struct job_loop *loop)
{
    if (loop->tasks_out > 0)
        return true;
    if (loop->messages_lately == 0)
        return false;
    loop->messages_lately--;
    return true;
}

/* Looks before sleeping, as long as that has paid lately: a hand-over that is seen costs 0.4 us, one that wakes a sleeping CPU 50. When it
 * has not paid, a rare and longer look finds out whether it would: once loop and pool thread both sleep at every hand-over, each is woken
 * later than the other one looks, and neither would ever find anything by looking 20 us. Only while tasks are out, or when messages came
 * lately; what comes from the kernel is not delayed by more than the look. */
static bool spin(struct job_loop *loop)
{
    if (!loop->may_spin || !expects_mail(loop))
        return false;
    bool is_probe = loop->spin_ns < SPIN_MIN_NS;
    if (is_probe && loop->spin_skips > 0) {
        loop->spin_skips--;
        return false;
    }
    if (look_for_mail(loop, is_probe ? SPIN_PROBE_NS : loop->spin_ns)) {
        loop->spin_ns = is_probe ? SPIN_MAX_NS : min_size(loop->spin_ns * 2, SPIN_MAX_NS);
        loop->spin_interval = 0;
        return true;
    }
    loop->spin_ns /= 2;
    if (is_probe) {
        size_t interval = max_size(2 * (size_t)loop->spin_interval, SPIN_PROBE_MIN);
        loop->spin_interval = (unsigned)min_size(interval, SPIN_PROBE_MAX);
        loop->spin_skips = loop->spin_interval;
    }
    return false;
}

/* Waits if there is nothing to do, and copies completions. A negative errno: the engine failed for good. */
static int wait_for_completions(struct job_loop *loop, uint64_t until_ns)
{
    uint64_t deadline = 0;
    if (!loop_has_mail(loop)) {
        deadline = min_size(deadlines_next_ns(loop), until_ns);
        if (deadline <= loop->now_ns || spin(loop) || !mailbox_sleep(&loop->mailbox))
            deadline = 0;
    }
    if (has_ready(loop))
        return 0;
    if (deadline > 0) {
        loop_leave_lanes(loop);
        line_wait(loop->line, loop->is_closing ? JOB_WAIT_DRAIN : JOB_WAIT_KERNEL, loop->now_ns);
        line_count(loop->line, COUNTER_WAITS, 1);
    }
    int count = loop->engine->type->wait(loop->engine, deadline, loop->ready, COMPLETIONS_BATCH);
    uint64_t before = loop->now_ns;
    loop->now_ns = loop->engine->now_ns = loop->root->now_ns();
    if (deadline > 0) {
        mailbox_awake(&loop->mailbox);
        line_count(loop->line, COUNTER_IDLE_NS, loop->now_ns - before);
        line_wake(loop->root, loop->line, loop->now_ns);
    }
    loop->ready_next = 0;
    loop->ready_count = count < 0 ? 0 : (unsigned)count;
    return count < 0 ? count : 0;
}

static void run_completions(struct job_loop *loop)
{
    unsigned count = 0;
    while (has_ready(loop) && count < TURN_COMPLETIONS_MAX) {
        const struct completion *completion = &loop->ready[loop->ready_next++];
        count++;
        op_delivered(completion);
        completion->op->completed(completion->op, completion);
    }
    if (count == 0)
        return;
    line_count(loop->line, COUNTER_COMPLETIONS, count);
    loop_unstall(loop);
}

static void publish(struct job_loop *loop)
{
    struct engine *engine = loop->engine;
    store_relaxed(&loop->line->counters[COUNTER_STALE], engine->stale);   /* counters: no order */
    store_relaxed(&loop->line->counters[COUNTER_STARVED], engine->starved);
    store_relaxed(&loop->line->counters[COUNTER_OVERFLOWS], engine->overflows);
    store_relaxed(&loop->line->counters[COUNTER_WOKEN], loop->mailbox.wakes_owed);
    store_relaxed(&loop->published.handles, loop->handle_count);
    store_relaxed(&loop->published.ops, engine->in_flight);
    line_count(loop->line, COUNTER_TURNS, 1);
    if (loop->tasks_uncounted != 0)
        (void)fetch_add_relaxed(&loop->root->tasks, (uint64_t)loop->tasks_uncounted);   /* ledger: orders nothing */
    loop->tasks_uncounted = 0;
}

static void count_turn(struct job_loop *loop, uint64_t took_ns)
{
    unsigned bucket = took_ns > 0 ? 63 - (unsigned)__builtin_clzll(took_ns) : 0;
    bucket = bucket < JOB_LOOP_TURN_BUCKETS ? bucket : JOB_LOOP_TURN_BUCKETS - 1;
    counter_add(&loop->turn_counts[bucket], 1);
}

int loop_turn(struct job_loop *loop, uint64_t until_ns)
{
    int err = wait_for_completions(loop, until_ns);
    if (err < 0)
        return err;
    uint64_t begin_ns = loop->now_ns;
    run_completions(loop);
    deliver_mails(loop);
    time_rest(loop);
    deadlines_fire(loop);
    run_due(loop);
    run_deferred(loop);
    time_rest(loop);
    count_turn(loop, loop->now_ns - begin_ns);
    loop_watch_lanes(loop);
    publish(loop);
    return 0;
}
