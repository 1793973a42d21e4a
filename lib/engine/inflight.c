/* inflight.c — entries in an array that doubles, free ones linked by index. */
#include "engine/inflight.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "base/limits.h"

static void link_free(struct inflight *table, uint32_t from, uint32_t to)
{
    for (uint32_t i = to; i-- > from;) {
        table->entries[i].generation = 1;   /* 0 is no generation: a zero key finds nothing */
        table->entries[i].next_free = table->first_free;
        table->first_free = i + 1;
    }
}

static int grow(struct inflight *table, uint32_t capacity)
{
    struct inflight_entry *entries = alloc_zeroed(table->root, capacity * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    if (table->capacity > 0)
        memcpy(entries, table->entries, table->capacity * sizeof *entries);
    alloc_free(table->root, table->entries);
    table->entries = entries;
    uint32_t from = table->capacity;
    table->capacity = capacity;
    link_free(table, from, capacity);
    return 0;
}

int inflight_init(struct inflight *table, struct root *root, uint32_t capacity)
{
    *table = (struct inflight){.root = root};
    return grow(table, capacity);
}

void inflight_fini(struct inflight *table)
{
    assert(table->count == 0);
    alloc_free(table->root, table->entries);
    table->entries = NULL;
}

int inflight_add(struct inflight *table, struct op *op)
{
    if (table->first_free == 0) {
        uint32_t capacity = (uint32_t)min_size((size_t)table->capacity * 2, INFLIGHT_MAX);
        if (capacity == table->capacity || grow(table, capacity) < 0)
            return -EAGAIN;
    }
    op->index = table->first_free - 1;
    struct inflight_entry *entry = &table->entries[op->index];
    assert(!entry->op);
    table->first_free = entry->next_free;
    entry->op = op;
    table->count++;
    return 0;
}

void inflight_renew(struct inflight *table, const struct op *op)
{
    struct inflight_entry *entry = &table->entries[op->index];
    assert(entry->op == op);
    if (++entry->generation == 0)
        entry->generation = 1;
}

void inflight_remove(struct inflight *table, struct op *op)
{
    inflight_renew(table, op);
    struct inflight_entry *entry = &table->entries[op->index];
    entry->op = NULL;
    entry->next_free = table->first_free;
    table->first_free = op->index + 1;
    table->count--;
}

uint64_t inflight_key(const struct inflight *table, const struct op *op)
{
    return (uint64_t)table->entries[op->index].generation << 32 | op->index;
}

struct op *inflight_find(const struct inflight *table, uint64_t key)
{
    uint32_t index = (uint32_t)key;
    if (index >= table->capacity || table->entries[index].generation != (uint32_t)(key >> 32))
        return NULL;
    return table->entries[index].op;
}
