/* box.c — the life of a box, its messages' memory, and posting into it.
 *
 * Messages are places of 256 bytes in slots of the arena, so that they count against its limit. Whoever posts keeps a list of its own to
 * fill; when it is empty it takes all that receivers have given back, in one exchange, and only then another slot. Slots go back with the
 * box. Many who post may hoard what one of them could use, until they close: each at most as many as the box may hold at once.
 */
#include "message/box.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/bits.h"
#include "memory/arena.h"

_Static_assert(sizeof(struct message_block) <= MESSAGE_BYTES, "a block begins with one place");
_Static_assert((int)STATS_QUEUE_BYTES_BITS == (int)INBOX_BYTES_BITS, "the segment shows what an inbox counts");
_Static_assert(offsetof(struct job_message, node) == 0, "a message is a node of an inbox");

struct box *box_open(struct root *root, const struct job_channel_options *options)
{
    struct box *box = alloc_lines(root, sizeof *box);
    if (!box)
        return NULL;
    uint32_t messages_max = options->messages_max ? options->messages_max : PORT_MESSAGES_DEFAULT;
    uint64_t bytes_max = options->bytes_max ? options->bytes_max : PORT_BYTES_DEFAULT;
    box->shown = stats_queue_claim(root->stats, &(struct stats_queue_facts){
                                                    .kind = STATS_QUEUE_OPEN,
                                                    .name = options->name ? options->name : "channel",
                                                    .limit_messages = messages_max,
                                                    .limit_bytes = bytes_max});
    inbox_init(&box->inbox, messages_max, bytes_max, box->shown ? &box->shown->used : NULL);
    box->root = root;
    box->arena = root->arena;
    box->references = 1;
    box->close.kind = MESSAGE_CLOSE;
    box->close.box = box;
    (void)fetch_add_relaxed(&root->boxes, 1);   /* ledger: orders nothing */
    return box;
}

void box_retain(struct box *box)
{
    uint32_t before = fetch_add_relaxed(&box->references, 1);   /* we hold one already: nothing to order */
    assert(before > 0);
}

void box_release(struct box *box)
{
    annotate_give(box);
    if (fetch_sub_acq_rel(&box->references, 1) > 1)   /* pairs with itself: the last one sees all that the others did */
        return;
    annotate_take(box);
    assert(inbox_is_closed(&box->inbox));
    for (struct message_block *block = box->blocks, *next; block; block = next) {
        next = block->next;
        slot_put(block->slot);
    }
    inbox_fini(&box->inbox);
    stats_queue_release(box->shown);
    (void)fetch_sub_relaxed(&box->root->boxes, 1);   /* ledger */
    alloc_free(box->root, box);
}

void box_put_spares(struct box *box, struct job_message *first, struct job_message *last)
{
    struct job_message *head = load_relaxed(&box->spare);   /* the exchange below decides */
    if (annotate_has_tsan()) {
        for (struct job_message *message = first; message != last; message = message_of(message->node.next))
            annotate_give(message);
        annotate_give(last);
    }
    do {
        last->node.next = head ? &head->node : NULL;
    } while (!cas_release(&box->spare, &head, first));   /* pairs with exchange_acquire in take_spares: we are through with them */
}

static struct job_message *take_spares(struct box *box)
{
    if (!load_relaxed(&box->spare))   /* a look: the exchange takes what there is */
        return NULL;
    return exchange_acquire(&box->spare, NULL);   /* pairs with cas_release in box_put_spares */
}

static struct job_message *add_block(struct box *box)
{
    struct slot *slot = slot_take(box->arena, 0);
    if (!slot)
        return NULL;
    struct message_block *block = (struct message_block *)(void *)slot->memory;
    block->slot = slot;
    struct message_block *head = load_relaxed(&box->blocks);   /* the exchange below decides */
    do {
        block->next = head;
    } while (!cas_acq_rel(&box->blocks, &head, block));   /* pairs with fetch_sub_acq_rel in box_release: the last one sees all blocks */
    struct job_message *first = NULL;
    for (size_t at = slot->size - MESSAGE_BYTES; at > 0; at -= MESSAGE_BYTES) {
        struct job_message *message = (struct job_message *)(void *)(slot->memory + at);
        message->node.next = first ? &first->node : NULL;
        message->box = box;
        first = message;
    }
    return first;
}

static struct job_message *take_message(struct sender *sender)
{
    if (!sender->free)
        sender->free = take_spares(sender->box);
    if (!sender->free)
        sender->free = add_block(sender->box);
    struct job_message *message = sender->free;
    if (!message)
        return NULL;
    annotate_take(message);
    sender->free = message_of(message->node.next);
    return message;
}

static void put_message(struct sender *sender, struct job_message *message)
{
    message->node.next = sender->free ? &sender->free->node : NULL;
    sender->free = message;
}

void sender_init(struct sender *sender, struct box *box)
{
    *sender = (struct sender){.box = box};
    box_retain(box);
    (void)fetch_add_relaxed(&box->senders, 1);   /* it cannot be zero after the first: the caller has one, or owns the box */
}

void sender_branch(struct sender *sender, struct sender *from)
{
    sender_init(sender, from->box);
    struct job_message *message = from->free;
    if (!message)
        return;
    annotate_take(message);
    from->free = message_of(message->node.next);
    message->node.next = NULL;
    annotate_give(message);
    sender->free = message;
}

void sender_lend(struct sender *sender, struct sender *to)
{
    if (to->free)
        return;
    to->free = sender->free;
    sender->free = NULL;
}

/* The places that it has not filled, for the others. It has taken all that there were, or a whole slot. */
static void leave_places(struct sender *sender)
{
    struct job_message *last = sender->free;
    if (!last)
        return;
    annotate_take(last);
    while (last->node.next) {
        last = message_of(last->node.next);
        annotate_take(last);
    }
    box_put_spares(sender->box, sender->free, last);
    sender->free = NULL;
}

void sender_fini(struct sender *sender)
{
    struct box *box = sender->box;
    if (load_relaxed(&box->senders) > 1)   /* a look: whoever is alone stays so, and the places go with the box */
        leave_places(sender);
    if (fetch_sub_acq_rel(&box->senders, 1) == 1)      /* pairs with itself: the others' messages are pushed before `close` */
        (void)inbox_push(&box->inbox, &box->close.node);   /* never refused for lack of room; closed already: nobody wants to know */
    box_release(box);
    sender->box = NULL;
}

/* An answer counts as a message, but not its bytes: nobody waits for them to become fewer. */
static int claim(struct box *box, uint64_t *charge, const struct stamp *stamp)
{
    if (!stamp || stamp->kind != MESSAGE_ANSWER)
        return inbox_claim(&box->inbox, *charge);
    if (*charge > box->inbox.limit_bytes)
        return -EMSGSIZE;
    *charge = 0;
    return inbox_claim_beyond(&box->inbox);
}

int sender_fill(struct sender *sender, const struct job_post *post, const struct box *own, const struct stamp *stamp,
                struct job_message **out)
{
    struct box *box = sender->box;
    uint64_t charge;
    int err = post_check(post, box, own, &charge);
    if (err < 0)
        return err;
    err = claim(box, &charge, stamp);
    if (err == -EAGAIN)
        sender->refused_bytes = charge;
    if (err < 0)
        return err;
    struct job_message *message = take_message(sender);
    if (!message) {
        err = -ENOMEM;
        goto release;
    }
    message->charge = charge;
    err = message_fill(message, post, stamp);
    if (err < 0)
        goto put;
    *out = message;
    return 0;
put:
    put_message(sender, message);
release:
    inbox_release(&box->inbox, 1, charge);
    return err;
}

int sender_push(struct sender *sender, const struct job_post *post, struct job_message *message)
{
    struct inbox *inbox = &sender->box->inbox;
    uint64_t charge = message->charge;   /* pushed, it is the receiver's */
    post_clear(post);
    if (inbox_push(inbox, &message->node))
        return 0;
    post_restore(post, message);
    message_unfill(message);
    put_message(sender, message);
    inbox_release(inbox, 1, charge);
    return -EPIPE;
}

int sender_post(struct sender *sender, const struct job_post *post, const struct box *own, const struct stamp *stamp)
{
    struct job_message *message;
    int err = sender_fill(sender, post, own, stamp, &message);
    return err < 0 ? err : sender_push(sender, post, message);
}
