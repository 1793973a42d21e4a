/* rpc.h — the state of an rpc, and what its files do for each other. All of it is the loop thread's.
 *
 *   rpc.c         its life, the overdue, and what comes by its port
 *   rpc_call.c    calls of this end
 *   rpc_answer.c  calls of the other end
 */
#ifndef JOB_MESSAGE_RPC_H
#define JOB_MESSAGE_RPC_H

#include "job/rpc.h"
#include "loop/deadline.h"
#include "loop/handle.h"
#include "message/end.h"
#include "stats/segment.h"

enum rpc_call_state { RPC_CALL_IDLE, RPC_CALL_OPEN, RPC_CALL_ENDED };

/* The number of a call is its slot's, and how often that was used: so an answer that is late finds another number there. */
struct rpc_slot {
    struct job_rpc_call *call;    /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct rpc {
    struct job_rpc *handle;
    char name[32];
    uint64_t overdue_ns;
    unsigned calls_max;
    struct list young;            /* open calls, oldest first, not overdue */
    struct list overdue;
    struct list ended;            /* canceled, `done` is to come */
    struct list held;             /* stamps of the other end's calls */
    struct deadline look;         /* when the oldest young one is overdue */
    struct job_mail mail;
    bool is_due;                  /* the mail is on its way */
    bool wants_room, has_room;    /* a call found no slot; there is one now, and `writable` is to come */
    uint32_t first_free;
    struct job_rpc_stats stats;
    struct stats_rpc *shown;      /* its record in the statistics segment, or NULL */
    struct rpc_slot slots[];
};

static const uint32_t no_slot = UINT32_MAX;

static inline struct rpc *rpc_of(const struct job_rpc *handle)
{
    return handle->job_state;
}

static inline struct job_loop *rpc_loop(const struct rpc *rpc)
{
    return rpc->handle->handle.job_loop;
}

/* rpc.c */

/* May the user call it? 0, -EINVAL, -EPERM, -ECANCELED. */
int rpc_check(const struct job_rpc *handle);

/* Something changed by which it keeps its loop alive, or not. */
void rpc_see_to_idle(struct rpc *rpc);

/* Its counts have changed: into the segment, before a callback that may not return. */
void rpc_show(const struct rpc *rpc);

/* The mail comes at the end of this turn. */
void rpc_owe_mail(struct rpc *rpc);

/* There is a young call: it will be looked at when it is overdue. */
void rpc_watch(struct rpc *rpc);

/* rpc_call.c */

/* The message is the answer of a call that is open, which ends; or it is late. */
void rpc_answered(struct rpc *rpc, struct job_message *message);

/* All open calls end: now, or by mail. */
void rpc_fail_calls(struct rpc *rpc, int status);
void rpc_cancel_calls(struct rpc *rpc);

/* Tells of those that have ended. */
void rpc_tell_ended(struct rpc *rpc);

/* rpc_answer.c */
void rpc_asked(struct rpc *rpc, struct job_message *message);
void rpc_drop_held(struct rpc *rpc);

#endif
