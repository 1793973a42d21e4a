/* deadline.c — a pairing heap of intrusive nodes (Fredman, Sedgewick, Sleator, Tarjan, 1986).
 *
 * Setting is O(1), and that is what a connection does; taking the first one out is O(log n) amortised. Whoever guards something that goes
 * on all the time does not move its deadline each time: it lets it pass, looks how late it has really become, and sets it anew.
 */
#include "loop/deadline.h"

#include "loop/loop.h"

/* Both are roots; the later one becomes the first child of the other. Either may be NULL. */
static struct deadline *meld(struct deadline *a, struct deadline *b)
{
    if (!a || !b)
        return a ? a : b;
    if (b->at_ns < a->at_ns) {
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

void deadline_clear(struct job_loop *loop, struct deadline *deadline)
{
    if (deadline->at_ns == 0)
        return;
    struct deadline *children = meld_siblings(deadline->child);
    if (loop->first_deadline == deadline) {
        assert(!deadline->back && !deadline->next);
        loop->first_deadline = children;
    } else {
        unlink_from_siblings(deadline);
        loop->first_deadline = meld(loop->first_deadline, children);
    }
    deadline->at_ns = 0;
    deadline->child = deadline->next = deadline->back = NULL;
}

void deadline_set(struct job_loop *loop, struct deadline *deadline, uint64_t at_ns)
{
    assert(deadline->passed);
    deadline_clear(loop, deadline);
    deadline->at_ns = at_ns ? at_ns : 1;
    loop->first_deadline = meld(loop->first_deadline, deadline);
}

uint64_t deadlines_next_ns(const struct job_loop *loop)
{
    return loop->first_deadline ? loop->first_deadline->at_ns : UINT64_MAX;
}

void deadlines_fire(struct job_loop *loop)
{
    uint64_t now = loop->now_ns;   /* what is set from here on lies behind it, or waits for the next turn */
    for (unsigned count = 0; deadlines_next_ns(loop) <= now && count < TURN_TIMERS_MAX; count++) {
        struct deadline *first = loop->first_deadline;
        deadline_clear(loop, first);
        first->passed(first);
    }
}
