/* inbox.c — the mailbox's stack of one word, with a sleeper that has a name, an end, and a count of what waits.
 *
 * States of the head word: 0: empty, owner awake. A sleeper with the lowest bit set: empty, owner asleep under that name. CLOSED: for
 * ever. Else the newest of a chain that ends in NULL.
 *
 *   a sender:   P1 claim room   P2 link the node to the head (to NULL instead of a sleeper)   P3 compare-and-swap the head to the node;
 *               if it is CLOSED: refused   P4 if it was a sleeper: call its wake, once
 *   the owner:  S1 exchange the head for 0, turn what was there round, hand it out   S2 give the room back   S3 compare-and-swap 0 to
 *               its sleeper; if there is something: S1   S4 sleep
 *   it moves:   M1 compare-and-swap its sleeper to 0; if it is gone, the wake is on its way, and the sleeper lives until it has come
 *   it closes:  C1 exchange the head for CLOSED; what was there is the last
 *
 * Why nothing is lost: as in queue/mailbox.c, "there is something" and "the owner sleeps" are values of one word. "Closed" is a third
 * one, so each push is either taken by the owner's exchange, at the latest by C1, or refused: none can slip in behind the last look.
 * Why a slow waker is harmless: after P3 it touches the sleeper alone, which it read from the word that it has just replaced. The inbox
 * may be another thread's by then, with another sleeper. The narrowest moment is M1: it either takes the sleeper out, or knows of the wake.
 *
 * What was taken is turned round before the first of it is handed out, and so many steps at a time as the owner can afford: a million
 * messages that have waited cost 10 to 50 ms, in which a loop would do nothing else (docs/decisions/041).
 *
 * Room. A sender that is refused: W1 puts itself into the list   W2 sets has_waiters   W3 looks at `used` once more. Who makes room: R1
 * subtracts from `used`   R2 looks at has_waiters. All four are sequentially consistent, so either W3 sees the room or R2 the waiter.
 * A waiter is woken when half of the limit is free and its own message fits, so not at every message; once, by whoever takes it
 * out of the list under the lock.
 * Rejected: the name of the sleeper beside the head (who wakes could read that of the next owner); credits as a sum and its undo (a sum
 * that is too large for a moment refuses others); a lock-free list of waiters (to leave it from the middle).
 * Accepted: a lock, but only between one that was refused and one that makes room for it.
 */
#include "queue/inbox.h"

#include <errno.h>

#include "base/annotate.h"

static const uintptr_t closed_mark = 2;   /* no node has this address */

static const uint64_t one_message = (uint64_t)1 << INBOX_BYTES_BITS;

static bool is_sleeper(uintptr_t head)
{
    return (head & 1) != 0;
}

static uint64_t messages_of(uint64_t used)
{
    return used >> INBOX_BYTES_BITS;
}

static uint64_t bytes_of(uint64_t used)
{
    return used & (one_message - 1);
}

void inbox_init(struct inbox *inbox, uint32_t limit_messages, uint64_t limit_bytes, atomic_u64 *used)
{
    assert(limit_messages > 0 && limit_messages < 1U << (64 - INBOX_BYTES_BITS));
    assert(limit_bytes < one_message);
    *inbox = (struct inbox){.limit_messages = limit_messages, .limit_bytes = limit_bytes};
    inbox->used = used ? used : &inbox->own_used;
    (void)pthread_mutex_init(&inbox->lock, NULL);   /* cannot fail without attributes */
    list_init(&inbox->waiters);
}

void inbox_fini(struct inbox *inbox)
{
    assert(list_is_empty(&inbox->waiters));
    (void)pthread_mutex_destroy(&inbox->lock);
}

bool inbox_is_closed(const struct inbox *inbox)
{
    return load_acquire(&inbox->head) == closed_mark;   /* pairs with exchange_seq_cst in inbox_close */
}

int inbox_claim(struct inbox *inbox, uint64_t bytes)
{
    if (inbox_is_closed(inbox))
        return -EPIPE;
    if (bytes > inbox->limit_bytes)
        return -EMSGSIZE;
    uint64_t used = load_relaxed(inbox->used);   /* the exchange below decides */
    do {
        if (messages_of(used) >= inbox->limit_messages || bytes_of(used) + bytes > inbox->limit_bytes)
            return -EAGAIN;
    } while (!cas_relaxed(inbox->used, &used, used + one_message + bytes));   /* a sum; the push orders */
    return 0;
}

int inbox_claim_beyond(struct inbox *inbox)
{
    if (inbox_is_closed(inbox))
        return -EPIPE;
    uint64_t before = fetch_add_relaxed(inbox->used, one_message);   /* a sum; the push orders */
    assert(before + one_message > before);
    return 0;
}

/* Has half of the limit become free, and does the waiter's own message fit? */
static bool has_room(const struct inbox *inbox, uint64_t used, uint64_t bytes)
{
    return messages_of(used) <= inbox->limit_messages / 2 && bytes_of(used) <= inbox->limit_bytes / 2 &&
           bytes_of(used) + bytes <= inbox->limit_bytes;
}

static void wake_waiters(struct inbox *inbox)
{
    (void)pthread_mutex_lock(&inbox->lock);
    uint64_t used = load_seq_cst(inbox->used);   /* pairs with fetch_sub_seq_cst in inbox_release: W3 */
    bool is_closed = load_seq_cst(&inbox->head) == closed_mark;   /* pairs with exchange_seq_cst in inbox_close */
    list_each_safe(node, &inbox->waiters) {
        struct inbox_waiter *waiter = container_of(node, struct inbox_waiter, node);
        if (!is_closed && !has_room(inbox, used, waiter->bytes))
            continue;
        list_remove(node);
        mailbox_post(waiter->mailbox, &waiter->mail);   /* under the lock: inbox_unwait() knows that it is over */
    }
    /* pairs with load_seq_cst in inbox_release: who makes room later sees it */
    store_seq_cst(&inbox->has_waiters, !list_is_empty(&inbox->waiters));
    (void)pthread_mutex_unlock(&inbox->lock);
}

void inbox_release(struct inbox *inbox, uint32_t messages, uint64_t bytes)
{
    uint64_t part = messages * one_message + bytes;
    uint64_t before = fetch_sub_seq_cst(inbox->used, part);   /* pairs with load_seq_cst in wake_waiters: R1 */
    assert(messages_of(before) >= messages && bytes_of(before) >= bytes);
    if (!has_room(inbox, before - part, 0))
        return;
    if (load_seq_cst(&inbox->has_waiters))   /* pairs with store_seq_cst in inbox_wait: R2 */
        wake_waiters(inbox);
}

void inbox_wait(struct inbox *inbox, struct inbox_waiter *waiter)
{
    (void)pthread_mutex_lock(&inbox->lock);
    list_init(&waiter->node);
    list_push_back(&inbox->waiters, &waiter->node);
    store_seq_cst(&inbox->has_waiters, 1);   /* pairs with load_seq_cst in inbox_release: W2 before W3 */
    (void)pthread_mutex_unlock(&inbox->lock);
    JOB_MARK(inbox_waits_for_room);
    wake_waiters(inbox);
}

bool inbox_unwait(struct inbox *inbox, struct inbox_waiter *waiter)
{
    (void)pthread_mutex_lock(&inbox->lock);
    bool was_waiting = !list_is_empty(&waiter->node);
    list_remove(&waiter->node);
    (void)pthread_mutex_unlock(&inbox->lock);
    return was_waiting;
}

bool inbox_push(struct inbox *inbox, struct inbox_node *node)
{
    uintptr_t head = load_relaxed(&inbox->head);   /* the exchange below decides */
    annotate_give(node);
    do {
        if (head == closed_mark) {
            JOB_MARK(inbox_push_finds_closed);
            return false;
        }
        node->next = is_sleeper(head) ? NULL : (struct inbox_node *)head;
    } while (!cas_acq_rel(&inbox->head, &head, (uintptr_t)node));   /* pairs with exchange_acq_rel in inbox_take */
    if (is_sleeper(head)) {
        JOB_MARK(inbox_push_wakes);
        struct inbox_sleeper *sleeper = (struct inbox_sleeper *)(head & ~(uintptr_t)1);
        sleeper->wake(sleeper);
    }
    return true;
}

bool inbox_turn(struct inbox_turning *turning, size_t most)
{
    struct inbox_node *node = turning->rest, *first = turning->first;
    for (; node && most > 0; most--) {
        struct inbox_node *older = node->next;
        annotate_take(node);
        node->next = first;
        first = node;
        node = older;
    }
    turning->rest = node;
    turning->first = first;
    return !node;
}

struct inbox_node *inbox_take(struct inbox *inbox)
{
    uintptr_t head = load_relaxed(&inbox->head);   /* only the owner takes: what is there stays */
    assert(!is_sleeper(head));
    if (head == 0 || head == closed_mark)
        return NULL;
    head = exchange_acq_rel(&inbox->head, 0);   /* pairs with cas_acq_rel in inbox_push: the messages' bytes */
    return (struct inbox_node *)head;
}

bool inbox_arm(struct inbox *inbox, struct inbox_sleeper *sleeper)
{
    uintptr_t empty = 0;
    assert(!is_sleeper((uintptr_t)sleeper));
    return cas_acq_rel(&inbox->head, &empty, (uintptr_t)sleeper | 1);   /* pairs with cas_acq_rel in inbox_push: the sleeper is whole */
}

bool inbox_disarm(struct inbox *inbox, struct inbox_sleeper *sleeper)
{
    uintptr_t asleep = (uintptr_t)sleeper | 1;
    if (cas_acq_rel(&inbox->head, &asleep, 0))   /* pairs with cas_acq_rel in inbox_push: one of the two has the sleeper */
        return true;
    JOB_MARK(inbox_wake_on_its_way);
    return false;
}

struct inbox_node *inbox_close(struct inbox *inbox, bool *was_armed)
{
    uintptr_t head = exchange_seq_cst(&inbox->head, closed_mark);   /* pairs with cas_acq_rel in inbox_push, load_seq_cst in wake_waiters */
    assert(head != closed_mark);
    *was_armed = is_sleeper(head);
    if (load_seq_cst(&inbox->has_waiters))   /* pairs with store_seq_cst in inbox_wait: who comes later sees that it is closed */
        wake_waiters(inbox);
    return head == 0 || is_sleeper(head) ? NULL : (struct inbox_node *)head;
}

uint32_t inbox_messages(const struct inbox *inbox)
{
    return (uint32_t)messages_of(load_relaxed(inbox->used));   /* a figure: no order */
}

uint64_t inbox_bytes(const struct inbox *inbox)
{
    return bytes_of(load_relaxed(inbox->used));   /* a figure: no order */
}
