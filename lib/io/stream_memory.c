/* stream_memory.c — streams that were refused memory, and are told when there is some.
 *
 * One waiter a loop stands for all its streams (memory/starved.c argues why none sleeps beside free memory). It is woken by what is freed
 * after the look that failed, not by what is spare, so a stream that asks for more than there will ever be tries again once a free and
 * not for ever.
 */
#include "io/stream.h"
#include "memory/arena.h"
#include "memory/slot.h"

static struct list *node_of(struct job_stream *stream)
{
    return (struct list *)stream->job_waits;
}

static void memory_came(struct job_mail *mail)
{
    struct starved *starved = container_of(mail, struct starved, mail);
    struct job_loop *loop = container_of(starved, struct job_loop, memory_starved);
    struct list *node;
    starved->is_registered = false;
    while ((node = list_pop_front(&loop->memory_waiters))) {
        struct job_stream *stream = (struct job_stream *)((char *)node - offsetof(struct job_stream, job_waits));
        if (stream_has(stream, STREAM_OWES_ROOM))
            stream_later(stream, STREAM_LATER_ROOM);
        if (stream->job_expected > 0)
            stream_later(stream, STREAM_LATER_RESUME);
    }
}

void stream_wait_for_memory(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    struct starved *starved = &loop->memory_starved;
    if (list_is_empty(node_of(stream)))
        list_push_back(&loop->memory_waiters, node_of(stream));
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

void stream_memory_forget(struct job_stream *stream)
{
    list_remove(node_of(stream));
}
