/* piece.h — a descriptor's share of a slot: its window, and the count that it is part of. */
#ifndef JOB_MEMORY_PIECE_H
#define JOB_MEMORY_PIECE_H

#include "memory/arena.h"
#include "memory/buf.h"
#include "memory/slot.h"

/* A further piece of the slot, of which the caller owns one; it may live on another thread than the first. NULL: no memory. */
struct job_buf *piece_new(struct slot *slot);

/* The descriptor and its share of the slot go back; the slot too if it was the last piece. Any thread. */
void piece_drop(struct job_buf *segment);

static inline uint32_t piece_offset(const struct job_buf *segment)
{
    return (uint32_t)(segment->data - segment->slot->memory);
}

/* What may be written in front of the bytes, and behind them. The window of a view says nothing: others have its bytes too. */
static inline size_t piece_headroom(const struct job_buf *segment)
{
    return segment->is_frozen ? 0 : piece_offset(segment) - segment->low;
}

static inline size_t piece_room(const struct job_buf *segment)
{
    return segment->is_frozen ? 0 : segment->high - piece_offset(segment) - segment->len;
}

static inline struct root *buf_root(const struct job_buf *buf)
{
    return buf->slot->arena->root;
}

static inline void buf_count_views(const struct job_buf *buf, int64_t n)
{
    (void)fetch_add_relaxed(&buf_root(buf)->views, (uint64_t)n);   /* ledger: orders nothing */
}

static inline void buf_count(const struct job_buf *buf, int64_t n)
{
    (void)fetch_add_relaxed(&buf_root(buf)->bufs, (uint64_t)n);   /* ledger: orders nothing */
}

#endif
