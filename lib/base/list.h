/* list.h — an intrusive doubly linked list with a head; a node that is in no list points at itself. */
#ifndef JOB_BASE_LIST_H
#define JOB_BASE_LIST_H

#include "base/assert.h"

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

/* `node` is each in turn; the body leaves it where it is. */
#define list_each(node, head) for (struct list *node = (head)->next; node != (head); node = node->next)

/* The same, but `node` may go, and its memory with it; the one behind it may not. */
#define list_each_safe(node, head)                                                                                     \
    for (struct list *node = (head)->next, *node##_next;                                                               \
         node != (head) && (node##_next = node->next, true); node = node##_next)

static inline void list_push_back(struct list *head, struct list *node)
{
    assert(list_is_empty(node));
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_push_back(head->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline struct list *list_first(const struct list *head)
{
    return list_is_empty(head) ? NULL : head->next;
}

static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = list_first(head);
    if (node)
        list_remove(node);
    return node;
}

static inline unsigned list_count(const struct list *head)
{
    unsigned count = 0;
    list_each(node, head)
        count++;
    return count;
}

/* Moves all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
