/* memory_wait.c — what was refused memory and is told when there is some: streams that owe room, readers of files.
 *
 * One waiter a loop stands for all that wait on it (memory/starved.c argues why none sleeps beside free memory). It is woken by what is
 * freed after the look that failed, so whoever asks for more than there will ever be tries again once a free and not for ever; and by so
 * many spare bytes as were refused to the most modest of those who were refused bytes.
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

/* Who waits already was refused more: it and the new one are woken by less from now on. What was freed since its look counts for it, also
 * while it is out of sight. False: its mail is on its way, which wakes both. */
static bool take_along(struct job_arena *arena, struct starved *starved, struct shortage *shortage)
{
    shortage->frees = starved->shortage.frees;
    arena_unstarve(arena, starved);
    return !starved->is_registered;
}

void memory_wait(struct job_loop *loop, struct memory_wait *wait, uint64_t refused_bytes)
{
    struct starved *starved = &loop->memory_starved;
    struct job_arena *arena = loop->arena;
    bool is_waiting = starved->is_registered;
    struct shortage shortage = {
        .frees = load_seq_cst(&arena->frees),   /* pairs with fetch_add_seq_cst in arena_note_freed: the caller looks after this */
        .refused_bytes = refused_bytes,
    };
    if (list_is_empty(&wait->node))
        list_push_back(&loop->memory_waiters, &wait->node);
    if (is_waiting && (starved->shortage.refused_bytes <= refused_bytes || !take_along(arena, starved, &shortage)))
        return;
    starved->mail.job_deliver = memory_came;
    starved->mailbox = &loop->mailbox;
    starved->bytes = slot_class_bytes(0);
    arena_starve(arena, starved, &shortage);
    if (is_waiting)
        arena_wake_starved(arena);   /* the others do not look once more */
}

void memory_wait_forget(struct memory_wait *wait)
{
    list_remove(&wait->node);
}
