/* record.h — what parent, thread and registry share of one worker. */
#ifndef JOB_WORKER_RECORD_H
#define JOB_WORKER_RECORD_H

#include <pthread.h>

#include "base/list.h"
#include "base/root.h"
#include "job/worker.h"
#include "loop/loop.h"
#include "message/end.h"

enum { ERROR_TEXT_MAX = 1024 };   /* a traceback fits */

/* The thread's side. */
struct job_inside {
    struct worker_record *record;
    struct job_port port;
    const struct job_inside_events *events;
    void *data;
    bool is_ending;                  /* it has failed or said so: it hears and posts no more */
    struct job_call begin;
    struct job_message *start;
};

struct worker_record {
    /* fixed before the thread starts */
    struct root *root;
    uint64_t id;
    char name[32];
    job_worker_main_fn *main;
    struct mailbox *parent;          /* where exit_mail goes */
    struct job_mail *exit_mail;      /* the thread's last word */
    struct job_mail stop_mail;       /* another than the parent has asked it to stop; posted once, before exit_mail */
    struct job_end *end;             /* the thread's, until it has a port of it */
    struct job_arena *arena;         /* its own, or NULL */
    struct box *in;                  /* what waits for it; a reference */
    struct stats_worker *shown;      /* its record in the statistics segment, or NULL */
    struct sender into;              /* for those who know its id; under root->workers_lock */
    int nice;
    uint64_t stop_timeout_ns;
    pthread_t thread;                /* written before `node` is in the list */
    /* under root->workers_lock */
    struct list node;
    struct job_loop *loop;           /* NULL when it ends: nobody may stop or look at it any more */
    bool is_stopping;
    /* the thread, and the parent after exit_mail */
    int code;
    bool has_code;
    int err;
    char text[ERROR_TEXT_MAX];
    uint64_t joins_since_ns;         /* the parent: it waits for the thread's end; 0: not yet */
    bool is_left;                    /* its loop could not be closed whole: record and arena are leaked with it */
    unsigned left_count;             /* of handles and operations that had not ended */
    struct job_hung left;            /* the first of them */
    /* control messages, by record_online() and record_failed(): without bytes, so without the room at a message's end */
    _Alignas(struct job_message) unsigned char online[sizeof(struct job_message)];
    _Alignas(struct job_message) unsigned char failed[sizeof(struct job_message)];
    struct job_inside inside;
};

static inline struct job_message *record_online(struct worker_record *record)
{
    return (struct job_message *)(void *)record->online;
}

static inline struct job_message *record_failed(struct worker_record *record)
{
    return (struct job_message *)(void *)record->failed;
}

/* inside.c: the thread. */
void *worker_thread(void *record);
/* Its loop's `hung`: notes what is left behind. */
void worker_leaves(void *record, const struct job_hung *hung);

/* registry.c. root->workers_lock is taken inside. */
uint64_t registry_new_id(struct root *root);
/* Posts the start message; from then on the worker's id is known. On error nothing has changed. */
int registry_add(struct worker_record *record, struct job_end *to, const struct job_post *start);

/* The worker ends: from here on its id is unknown. Returns whether it was asked to stop. */
bool registry_remove(struct worker_record *record);

/* False: it has ended. */
bool registry_stop(struct worker_record *record);

/* The callback that it runs now, for who asks why it does not end; 0: none. */
uint64_t registry_running(struct worker_record *record);

#endif
