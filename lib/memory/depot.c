/* depot.c — lock-free lists of free slots that every thread can take from.
 *
 * A depot is a stack of slot indices under one 64-bit word, tag and index. Push and pop are one compare-and-swap; a pop may take
 * several at once by walking the links and exchanging the head for the link of the last. The walk reads links that others may be
 * changing; the tag, which every change of the head increments, makes the exchange fail then (so a link that was stale is never
 * believed). The records are never unmapped, so the reads are always of valid memory.
 *
 * Rejected: a return stack for each owner, taken whole by whoever runs dry. While somebody holds a stack that he took, the others see
 * nothing and would say -ENOMEM with memory at hand (docs/decisions/001).
 * Accepted: 2^32 changes of the head while one thread stands between its load and its exchange, all ending at the same index.
 */
#include "memory/depot.h"

#include "memory/arena.h"

static uint32_t head_index(uint64_t head)
{
    return (uint32_t)head;
}

static uint64_t head_make(uint64_t before, uint32_t index)
{
    return ((before >> 32) + 1) << 32 | index;
}

void depot_push(struct job_arena *arena, struct slot *first, struct slot *last)
{
    struct depot *depot = &arena->depots[first->class];
    uint64_t head = load_relaxed(&depot->head);   /* a guess; the exchange below decides */
    do {
        store_relaxed(&last->next, head_index(head));   /* published by the exchange */
    } while (!cas_seq_cst(&depot->head, &head, head_make(head, first->index + 1)));   /* pairs with load_acquire in depot_pop */
}

unsigned depot_pop(struct job_arena *arena, unsigned class, struct slot **slots, unsigned max)
{
    struct depot *depot = &arena->depots[class];
    uint64_t head = load_acquire(&depot->head);   /* pairs with cas_seq_cst in depot_push: the links are visible */
    for (;;) {
        unsigned count = 0;
        uint32_t index = head_index(head);
        while (index != 0 && count < max) {
            struct slot *slot = arena_slot(arena, index - 1);
            slots[count++] = slot;
            index = load_acquire(&slot->next);   /* pairs with cas_seq_cst in depot_push; perhaps stale: the tag decides */
        }
        if (count == 0)
            return 0;
        if (cas_seq_cst(&depot->head, &head, head_make(head, index)))   /* pairs with cas_seq_cst in depot_push */
            return count;
        JOB_MARK(depot_pop_raced);
    }
}

struct slot *depot_take_all(struct job_arena *arena, unsigned class)
{
    struct depot *depot = &arena->depots[class];
    uint64_t head = load_acquire(&depot->head);   /* pairs with cas_seq_cst in depot_push: the links are visible */
    while (head_index(head) != 0) {
        if (cas_seq_cst(&depot->head, &head, head_make(head, 0)))   /* pairs with cas_seq_cst in depot_push */
            return arena_slot(arena, head_index(head) - 1);
    }
    return NULL;
}
