/* slot.h — a piece of arena memory of one size class, its out-of-band record, and where free ones come from.
 *
 * The record is never unmapped while the arena lives, so a thread that reads the link of a slot which another thread is just taking
 * reads stale but valid memory; the depot's tag then refuses the exchange.
 */
#ifndef JOB_MEMORY_SLOT_H
#define JOB_MEMORY_SLOT_H

#include "base/atomic.h"
#include "base/limits.h"
#include "memory/buf.h"

struct job_arena;
struct shortage;

enum {
    SLOT_RUN = SLOT_CLASSES,   /* the class of a run of adjacent chunks */
    SLOT_FOREIGN,              /* of memory that is not the arena's; memory/foreign.c */
};

struct slot {
    /* fixed while the slot exists */
    struct job_arena *arena;
    uint8_t *memory;
    uint32_t size;
    uint32_t index;             /* chunk and place in it */
    uint8_t class;
    /* any thread */
    atomic_u32 pieces;          /* bufs that own a part of it; the last one sends it home */
    atomic_u32 next;            /* index + 1 of the next in the depot, 0: none; stale once it was taken */
    uint32_t generation;        /* times that it was taken: whoever owns the slot */
    uint64_t frozen_sum;        /* checked builds: of the bytes that were frozen while it had one piece; memory/owner.c */
    uint32_t frozen_at, frozen_len;
    struct job_buf home;        /* the descriptor of the first piece */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct slot) == 128, "two cache lines a slot");

/* A free slot, or NULL: the limit is reached. Nobody owns a piece of it yet: slot_buf() or slot_put() follows. */
struct slot *slot_take(struct job_arena *arena, unsigned class);

/* As slot_take(), but leaves the arena's reserve to those who compute: for receive rings and conveniences. What is not needed takes
 * neither a slot that is too large nor the only chunk. NULL: *shortage says why. */
struct slot *slot_take_spare(struct job_arena *arena, unsigned class, bool is_needed, struct shortage *shortage);

/* Gives a slot without pieces back. Any thread. */
void slot_put(struct slot *slot);

/* Where the data of a fresh buf of this slot begins and how much fits: headroom and colour are before it. */
uint8_t *slot_room(const struct slot *slot, size_t *len);

/* Makes the slot's home descriptor a buf of one piece with `len` bytes at slot_room(). */
struct job_buf *slot_buf(struct slot *slot, size_t len);

/* The smallest class whose slots hold so many bytes; SLOT_RUN above the largest. */
unsigned slot_class_for(size_t bytes);

static inline size_t slot_class_bytes(unsigned class)
{
    return (size_t)1 << (SLOT_MIN_BITS + 2 * class);
}

#endif
