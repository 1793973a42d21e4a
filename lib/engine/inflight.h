/* inflight.h — the table of ops in flight: index and generation instead of pointers.
 *
 * What the kernel gets as user_data is an index and a generation. A completion that is late, doubled or unknown finds another generation
 * or a free entry, is counted and ignored, and no memory that may be gone is touched.
 */
#ifndef JOB_ENGINE_INFLIGHT_H
#define JOB_ENGINE_INFLIGHT_H

#include "base/root.h"
#include "engine/op.h"

struct inflight_entry {
    struct op *op;              /* NULL: free */
    uint32_t generation;
    uint32_t next_free;         /* index + 1 */
};

struct inflight {
    struct root *root;
    struct inflight_entry *entries;
    uint32_t capacity;
    uint32_t first_free;        /* index + 1, 0: none */
    uint32_t count;
};

_Static_assert(sizeof(struct inflight_entry) == 16, "16 bytes an op");

/* 0, or -ENOMEM. */
int inflight_init(struct inflight *table, struct root *root, uint32_t capacity);
void inflight_fini(struct inflight *table);

/* Enters an op; op->index is its place. 0; -EAGAIN: INFLIGHT_MAX are in flight, or there is no memory to grow. */
int inflight_add(struct inflight *table, struct op *op);
void inflight_remove(struct inflight *table, struct op *op);

/* A new generation of the same entry: completions of the former are stale from here on. */
void inflight_renew(struct inflight *table, const struct op *op);

uint64_t inflight_key(const struct inflight *table, const struct op *op);

/* The op of a key, or NULL: stale. */
struct op *inflight_find(const struct inflight *table, uint64_t key);

#endif
