/* defer.c — functions to call on a loop: from any thread, or at the end of the turn.
 *
 * The caller supplies the memory. job_state says whether the call waits, so that posting it twice is an error and not a broken list.
 */
#include <errno.h>

#include "loop/loop.h"

enum { CALL_IDLE, CALL_WAITING };

static void deliver_call(struct job_mail *mail)
{
    struct job_call *call = container_of(mail, struct job_call, job_mail);
    void (*run)(struct job_call *call) = call->run;
    store_release(&call->job_state, CALL_IDLE);   /* pairs with cas_acq_rel in call_prepare: it may be posted again from here on */
    LOOP_CALL(self()->loop, run, (call));
}

static int call_prepare(struct job_loop *loop, struct job_call *call)
{
    if (!loop || !call || !call->run)
        return -EINVAL;
    if (root_is_forked(loop->root))
        return -EPERM;
    uint32_t idle = CALL_IDLE;
    if (!cas_acq_rel(&call->job_state, &idle, CALL_WAITING))   /* pairs with store_release in deliver_call */
        return -EALREADY;
    call->job_mail.job_deliver = deliver_call;
    return 0;
}

int job_loop_call(struct job_loop *loop, struct job_call *call)
{
    int err = call_prepare(loop, call);
    if (err == 0)
        mailbox_post(&loop->mailbox, &call->job_mail);
    return err;
}

int job_loop_defer(struct job_loop *loop, struct job_call *call)
{
    if (loop && loop_check_thread(loop) < 0)
        return -EPERM;
    int err = call_prepare(loop, call);
    if (err == 0)
        loop_defer_mail(loop, &call->job_mail);
    return err;
}
