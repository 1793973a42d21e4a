/* helper.h — one thread a runtime for what is too slow for a loop: committing memory ahead of need, giving it back.
 *
 * It starts with the first job and ends with the runtime. Jobs are intrusive: posting allocates nothing and waits for
 * nobody.
 */
#ifndef JOB_QUEUE_HELPER_H
#define JOB_QUEUE_HELPER_H

#include "base/atomic.h"
#include "base/list.h"
#include "queue/mailbox.h"

struct helper;
struct root;

struct helper_job {
    /* fixed after init */
    void (*run)(struct helper_job *job); /* on the helper's thread */
    struct helper *helper;
    /* any thread */
    atomic_u32 is_posted; /* from a post until `run` begins */
    struct job_mail mail;
    /* the helper's thread */
    struct list node; /* among those that wait for their time */
    uint64_t due_ns;
};

/* 0, or -ENOMEM. */
int helper_open(struct root *root, struct helper **helper);

/* Runs what was posted, ends the thread, frees. No other thread uses the helper any more; all jobs were forgotten or
 * are done. NULL is fine. */
void helper_close(struct helper **helper);

void helper_job_init(struct helper_job *job, struct helper *helper, void (*run)(struct helper_job *job));

/* Runs the job soon, once; nothing when it is posted already. Any thread. Where no thread can be had the job never
 * runs: nothing here may be needed for more than speed. A NULL helper never runs anything. */
void helper_post(struct helper *helper, struct helper_job *job);

/* Runs the job once more, `after_ns` from now, unless it is waiting for its time already. In a job only. */
void helper_again(struct helper *helper, struct helper_job *job, uint64_t after_ns);

/* Returns when the job does not run and will not. Any thread but the helper's; nobody posts the job any more. */
void helper_forget(struct helper *helper, struct helper_job *job);

#endif
