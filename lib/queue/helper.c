/* helper.c — a thread that takes jobs from a mailbox and runs some of them again after a while.
 *
 * States of `state`: NONE; STARTING (one poster is creating the thread); RUNNING; FAILED (for good: jobs stay in the
 * mailbox, which nobody reads). The thread sleeps as a mailbox owner does (queue/mailbox.c argues why no mail is lost);
 * its wake is an event count: the poster raises `wakes` before it wakes the futex, and the thread has read `wakes`
 * before it said that it sleeps, so a wake between the two ends the sleep that follows.
 */
#include "queue/helper.h"

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/root.h"
#include "base/self.h"
#include "base/sleeper.h"
#include "base/sys.h"
#include "base/thread.h"
#include "stats/line.h"

#include <errno.h>
#include <pthread.h>

enum helper_state { HELPER_NONE, HELPER_STARTING, HELPER_RUNNING, HELPER_FAILED };

struct helper {
    /* fixed after open */
    struct root *root;
    /* any thread */
    struct mailbox mailbox;
    atomic_u32 state; /* enum helper_state */
    atomic_u32 wakes; /* the futex */
    /* the helper's thread */
    struct list waiting; /* jobs that run again, in no order: there are as many as arenas */
    struct helper_job end;
    bool is_ending;
    /* who opened and closes it */
    pthread_t thread;
};

static void helper_wake(struct mailbox *mailbox)
{
    struct helper *helper = container_of(mailbox, struct helper, mailbox);
    (void)fetch_add_seq_cst(&helper->wakes, 1); /* pairs with load_seq_cst in helper_sleep */
    (void)sys_futex_wake(&helper->wakes, 1);
}

static void helper_end(struct helper_job *job)
{
    job->helper->is_ending = true;
}

int helper_open(struct root *root, struct helper **out)
{
    struct helper *helper = alloc_lines(root, sizeof *helper);
    if (!helper)
        return -ENOMEM;
    helper->root = root;
    mailbox_init(&helper->mailbox, helper_wake);
    list_init(&helper->waiting);
    helper_job_init(&helper->end, helper, helper_end);
    *out = helper;
    return 0;
}

void helper_close(struct helper **pointer)
{
    struct helper *helper = *pointer;
    if (!helper)
        return;
    if (load_acquire(&helper->state) == HELPER_RUNNING) { /* pairs with store_release in helper_start */
        helper_post(helper, &helper->end);
        (void)pthread_join(helper->thread, NULL);
    }
    *pointer = NULL;
    alloc_free(helper->root, helper);
}

static void deliver_job(struct job_mail *mail)
{
    struct helper_job *job = container_of(mail, struct helper_job, mail);
    /* An exchange and no store: a poster that still finds 1 comes before it, and `run` must see what that one has done. */
    (void)exchange_acq_rel(&job->is_posted, 0);   /* pairs with itself in helper_post: from here on it may be posted anew */
    job->run(job);
}

void helper_job_init(struct helper_job *job, struct helper *helper, void (*run)(struct helper_job *job))
{
    *job = (struct helper_job){.run = run, .helper = helper, .mail.job_deliver = deliver_job};
    list_init(&job->node);
}

static void run_mails(struct helper *helper)
{
    struct job_mail *last, *mail = mailbox_take(&helper->mailbox, &last);
    while (mail) {
        struct job_mail *next = mail->job_next; /* the job may be gone, or posted anew, when it has run */
        mail->job_deliver(mail);
        mail = next;
    }
}

/* Runs what is due; returns the time of the next, TIME_NEVER: none. */
static uint64_t run_due(struct helper *helper)
{
    struct list due;
    uint64_t now = helper->root->now_ns(), next = TIME_NEVER;
    list_init(&due);
    list_each_safe(node, &helper->waiting) {
        struct helper_job *job = container_of(node, struct helper_job, node);
        if (job->due_ns > now) {
            next = job->due_ns < next ? job->due_ns : next;
            continue;
        }
        list_remove(node);
        list_push_back(&due, node);
    }
    struct list *node;
    while ((node = list_pop_front(&due))) {
        struct helper_job *job = container_of(node, struct helper_job, node);
        job->run(job);
        if (!list_is_empty(&job->node)) /* again */
            next = job->due_ns < next ? job->due_ns : next;
    }
    return next;
}

static void helper_sleep(struct helper *helper, uint64_t until_ns)
{
    uint32_t wakes = load_seq_cst(
        &helper->wakes); /* pairs with fetch_add_seq_cst in helper_wake: read before we say that we sleep */
    if (!mailbox_sleep(&helper->mailbox))
        return;
    uint64_t now = helper->root->now_ns();
    uint64_t timeout = time_left(until_ns, now);
    struct stats_line *line = self()->line;
    if (line)
        line_wait(line, JOB_WAIT_COMMIT, now);
    (void)sys_futex_wait(&helper->wakes, wakes, timeout); /* spurious, interrupted: the caller looks again */
    if (line)
        line_wait(line, JOB_WAIT_NONE, helper->root->now_ns());
    mailbox_awake(&helper->mailbox);
}

static void *helper_main(void *arg)
{
    struct helper *helper = arg;
    sys_thread_name("job/helper");
    self()->root = helper->root;
    self()->line = line_claim(helper->root, LINE_HELPER, "helper"); /* NULL: nobody sees it */
    while (!helper->is_ending) {
        run_mails(helper);
        uint64_t next = run_due(helper);
        if (!helper->is_ending)
            helper_sleep(helper, next);
    }
    line_release(helper->root, self()->line);
    *self() = (struct self){0};
    thread_ends(helper->root);
    return NULL;
}

static void helper_start(struct helper *helper)
{
    uint32_t none = HELPER_NONE;
    if (!cas_acq_rel(&helper->state, &none, HELPER_STARTING)) /* pairs with itself: one poster creates the thread */
        return;
    int err = thread_start(helper->root, &helper->thread, NULL, helper_main, helper);
    if (err == 0) {
        store_release(&helper->state, HELPER_RUNNING); /* pairs with load_acquire in helper_close and helper_forget */
        return;
    }
    log_write(&helper->root->log, JOB_LOG_WARNING,
              "no helper thread: %s; memory is committed where it is first touched", job_strerror(err));
    store_release(&helper->state, HELPER_FAILED); /* pairs with load_acquire in helper_forget */
}

void helper_post(struct helper *helper, struct helper_job *job)
{
    if (!helper || exchange_acq_rel(&job->is_posted, 1)) /* pairs with exchange_acq_rel in deliver_job */
        return;
    helper_start(helper);
    mailbox_post(&helper->mailbox, &job->mail);
}

void helper_again(struct helper *helper, struct helper_job *job, uint64_t after_ns)
{
    if (!list_is_empty(&job->node))
        return;
    job->due_ns = helper->root->now_ns() + after_ns;
    list_push_back(&helper->waiting, &job->node);
}

struct forget {
    struct helper_job job;
    struct helper_job *target;
    struct sleeper forgetter;
};

static void forget_run(struct helper_job *job)
{
    struct forget *forget = container_of(job, struct forget, job);
    list_remove(&forget->target->node);
    annotate_give(&forget->forgetter);
    sleeper_wake(&forget->forgetter); /* from here on it may be gone */
}

void helper_forget(struct helper *helper, struct helper_job *job)
{
    if (!helper)
        return;
    uint32_t state;
    while ((state = load_acquire(&helper->state)) == HELPER_STARTING) /* pairs with store_release in helper_start */
        cpu_relax();
    if (state != HELPER_RUNNING)
        return; /* it never ran anything */
    struct forget forget = {.target = job};
    helper_job_init(&forget.job, helper, forget_run);
    helper_post(helper, &forget.job); /* behind the job, if that is posted */
    (void)sleeper_wait(&forget.forgetter, helper->root, TIME_NEVER, NULL, 0);
    annotate_take(&forget.forgetter);
}
