/* heap.c — a pairing heap of intrusive nodes (Fredman, Sedgewick, Sleator, Tarjan, 1986).
 *
 * Inserting is O(1), removing O(log n) amortised. It holds what is due within a tick, which is little, so that its nodes are far apart in
 * memory does not matter; that it needs no array does: setting a deadline cannot fail.
 */
#include "loop/heap.h"

static bool is_before(const struct deadline *a, const struct deadline *b)
{
    return a->key_ns != b->key_ns ? a->key_ns < b->key_ns : a->order < b->order;
}

/* Both are roots; the later one becomes the first child of the other. Either may be NULL. */
static struct deadline *meld(struct deadline *a, struct deadline *b)
{
    if (!a || !b)
        return a ? a : b;
    if (is_before(b, a)) {
        struct deadline *earlier = b;
        b = a;
        a = earlier;
    }
    b->back = a;
    b->next = a->child;
    if (b->next)
        b->next->back = b;
    a->child = b;
    return a;
}

static struct deadline *cut_first(struct deadline **list)
{
    struct deadline *first = *list;
    if (!first)
        return NULL;
    *list = first->next;
    first->next = first->back = NULL;
    return first;
}

/* The children of a node that goes become one heap: in pairs from the left, then all of them from the right. */
static struct deadline *meld_siblings(struct deadline *list)
{
    struct deadline *pairs = NULL;
    while (list) {
        struct deadline *a = cut_first(&list);
        struct deadline *pair = meld(a, cut_first(&list));
        pair->next = pairs;
        pairs = pair;
    }
    struct deadline *heap = NULL;
    while (pairs)
        heap = meld(heap, cut_first(&pairs));
    return heap;
}

static void unlink_from_siblings(struct deadline *deadline)
{
    if (deadline->back->child == deadline)
        deadline->back->child = deadline->next;
    else
        deadline->back->next = deadline->next;
    if (deadline->next)
        deadline->next->back = deadline->back;
}

void heap_insert(struct deadline **first, struct deadline *deadline)
{
    deadline->child = deadline->next = deadline->back = NULL;
    *first = meld(*first, deadline);
}

void heap_remove(struct deadline **first, struct deadline *deadline)
{
    struct deadline *children = meld_siblings(deadline->child);
    if (*first == deadline) {
        assert(!deadline->back && !deadline->next);
        *first = children;
    } else {
        unlink_from_siblings(deadline);
        *first = meld(*first, children);
    }
    deadline->child = NULL;
}
