/* memory_wait.c — what was refused memory and is told when there is some: streams that owe room, readers of files.
 *
 * One waiter a loop stands for all that wait on it (memory/starved.c argues why none sleeps beside free memory). It is woken by what is
 * freed after the look that failed, not by what is spare, so whoever asks for more than there will ever be tries again once a free and
 * not for ever.
 */
#include "io/memory_wait.h"

#include "loop/loop.h"
#include "memory/arena.h"
#include "memory/slot.h"

static void memory_came(struct job_mail *mail)
{
    struct starved *starved = container_of(mail, struct starved, mail);
    struct job_loop *loop = container_of(starved, struct job_loop, memory_starved);
    struct list now, *node;
    starved->is_registered = false;
    list_init(&now);
    list_splice_back(&now, &loop->memory_waiters);   /* who waits again waits for the next time */
    while ((node = list_pop_front(&now))) {
        struct memory_wait *wait = container_of(node, struct memory_wait, node);
        wait->came(wait);
    }
}

void memory_wait(struct job_loop *loop, struct memory_wait *wait)
{
    struct starved *starved = &loop->memory_starved;
    if (list_is_empty(&wait->node))
        list_push_back(&loop->memory_waiters, &wait->node);
    if (starved->is_registered)
        return;
    starved->mail.job_deliver = memory_came;
    starved->mailbox = &loop->mailbox;
    starved->bytes = slot_class_bytes(0);
    struct shortage shortage = {
        .frees = load_seq_cst(&loop->arena->frees),   /* pairs with fetch_add_seq_cst in arena_note_freed: the caller looks after this */
        .refused_bytes = UINT64_MAX,
    };
    arena_starve(loop->arena, starved, &shortage);
}

void memory_wait_forget(struct memory_wait *wait)
{
    list_remove(&wait->node);
}
