/* deque.c — a work-stealing deque (Chase and Lev, 2005, with the orders of Lê and others, 2013), of fixed size.
 *
 * States: items stand at top … bottom-1, indices only grow, place = index mod length.
 *   the owner pushes:  write the slot, then bottom + 1 (release)
 *   the owner takes:   D1 store bottom - 1 (sequentially consistent)   D2 read top; more than one item: the bottom one is its own;
 *                      exactly one: compare-and-swap top, as a thief would; none: restore bottom
 *   a thief:           T1 read top   T2 read bottom (both sequentially consistent)   T3 read the slot   T4 compare-and-swap top
 * Why no item is taken twice: the one dangerous moment is the last item, which owner and thief both see. D1 comes before D2 and T1 before
 * T2 in one total order; so either the thief sees the lowered bottom, or the owner sees the raised top; when both went for the last one,
 * the exchange on top decides. Why no slot is overwritten under a thief: a push is refused while bottom - top is the length, and a thief
 * that reads a slot which was re-used meanwhile fails T4, since top has moved on.
 * The owner reads top, which thieves write, only when the deque looks full by the last top that it saw: reading it at every push moved the
 * line to and fro between two CPUs at every task (docs/decisions/002).
 * Rejected: an array that grows (reclaiming the old one is where such deques had their bugs; what does not fit goes to the pool's inbox).
 * Accepted: none; indices may wrap.
 */
#include "queue/deque.h"

#include "base/bits.h"

enum { SLOTS_A_LINE = CACHE_LINE / sizeof(void *) };

void deque_init(struct deque *deque, void **slots, uint64_t length, uint64_t start)
{
    assert(is_power_of_two(length));
    *deque = (struct deque){.top_seen = start, .bottom_seen = start, .mask = length - 1, .slots = slots};
    store_relaxed(&deque->top, start);   /* no other thread knows it yet */
    store_relaxed(&deque->bottom, start);
}

bool deque_push(struct deque *deque, void *item)
{
    uint64_t bottom = load_relaxed(&deque->bottom);   /* only this thread changes it */
    if (bottom - deque->top_seen > deque->mask) {
        deque->top_seen = load_acquire(&deque->top);   /* pairs with cas_seq_cst in deque_steal: the slot is read before it is re-used */
        if (bottom - deque->top_seen > deque->mask)
            return false;
    }
    store_relaxed(&deque->slots[bottom & deque->mask], item);
    store_release(&deque->bottom, bottom + 1);   /* pairs with load_seq_cst in deque_steal: the slot is visible first */
    if (bottom % SLOTS_A_LINE == 0)   /* thieves have read the line that comes after the next; without this the store would wait for it */
        prefetch_for_write(&deque->slots[(bottom + 2 * SLOTS_A_LINE) & deque->mask]);
    return true;
}

void *deque_take(struct deque *deque)
{
    uint64_t bottom = load_relaxed(&deque->bottom);   /* only this thread changes it */
    if (bottom == load_relaxed(&deque->top))   /* only the owner adds: empty stays empty, and costs no fence */
        return NULL;
    bottom--;
    store_seq_cst(&deque->bottom, bottom);   /* D1; pairs with load_seq_cst in deque_steal */
    uint64_t top = load_seq_cst(&deque->top);   /* D2; pairs with cas_seq_cst in deque_steal */
    int64_t before = (int64_t)(bottom - top);   /* how many are older than the one that we want; indices may wrap */
    if (before < 0) {
        store_relaxed(&deque->bottom, bottom + 1);   /* thieves were faster; bottom as before */
        return NULL;
    }
    void *item = load_relaxed(&deque->slots[bottom & deque->mask]);
    if (before > 0)
        return item;
    JOB_MARK(deque_last_item);
    bool is_ours = cas_seq_cst(&deque->top, &top, top + 1);   /* pairs with cas_seq_cst in deque_steal */
    store_relaxed(&deque->bottom, bottom + 1);
    return is_ours ? item : NULL;
}

/* Fetches what the next thieves will touch: some slots, unless the owner writes beside them, and behind them an item. */
static void fetch_ahead(struct deque *deque, uint64_t top, uint64_t bottom)
{
    if (bottom - top <= DEQUE_AHEAD)
        return;
    if (bottom - top > 2 * DEQUE_AHEAD + SLOTS_A_LINE)
        __builtin_prefetch(&deque->slots[(top + 2 * DEQUE_AHEAD) & deque->mask]);
    prefetch_for_write(load_relaxed(&deque->slots[(top + DEQUE_AHEAD) & deque->mask]));   /* only an address, perhaps stale */
}

void *deque_steal(struct deque *deque)
{
    uint64_t top = load_seq_cst(&deque->top);   /* T1; pairs with store_seq_cst in deque_take */
    for (;;) {
        uint64_t bottom = load_seq_cst(&deque->bottom);   /* T2; pairs with store_seq_cst in deque_take, store_release in deque_push */
        if ((int64_t)(bottom - top) <= 0)
            return NULL;
        void *item = load_relaxed(&deque->slots[top & deque->mask]);   /* believed only if the exchange succeeds */
        JOB_MARK(deque_thief_has_read);
        if (cas_seq_cst(&deque->top, &top, top + 1))   /* T4; pairs with cas_seq_cst in deque_take, load_acquire in deque_push */
            return item;
        /* `top` is what another thief made of it: every failure is somebody's success. */
    }
}

void *deque_poll(struct deque *deque)
{
    uint64_t top = load_seq_cst(&deque->top);   /* T1; pairs with cas_seq_cst below */
    for (;;) {
        uint64_t bottom = load_acquire(&deque->bottom_seen);   /* pairs with store_release below: the slots are visible to whom it was */
        if ((int64_t)(bottom - top) <= 0) {
            bottom = load_seq_cst(&deque->bottom);   /* T2; pairs with store_release in deque_push */
            if ((int64_t)(bottom - top) <= 0)
                return NULL;
            store_release(&deque->bottom_seen, bottom);   /* pairs with load_acquire above; an older one than there was does no harm */
        }
        void *item = load_relaxed(&deque->slots[top & deque->mask]);   /* believed only if the exchange succeeds */
        if (cas_seq_cst(&deque->top, &top, top + 1)) {   /* T4; pairs with load_acquire in deque_push */
            fetch_ahead(deque, top, bottom);
            return item;
        }
    }
}

uint64_t deque_count(struct deque *deque)
{
    uint64_t top = load_seq_cst(&deque->top);                       /* pairs with cas_seq_cst in deque_steal */
    int64_t count = (int64_t)(load_seq_cst(&deque->bottom) - top);   /* pairs with store_release in deque_push */
    return count > 0 ? (uint64_t)count : 0;
}
