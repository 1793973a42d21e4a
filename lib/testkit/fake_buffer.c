/* fake_buffer.c — memory that the engine has lent: poisoned when it is lent, verified when it is filled.
 *
 * Between the two nobody may write there but the kernel. An id may be lent once at a time, and no two buffers may overlap.
 */
#include <errno.h>
#include <string.h>

#include "base/annotate.h"
#include "testkit/fake.h"

enum { POISON = 0xDD };   /* as in a free slot: the engine looks at what is around the bytes that were filled */

int fake_buffers_register(struct fake_ring *ring, const struct io_uring_buf_reg *reg)
{
    if (ring->buffers.shared)
        return -EEXIST;
    if (reg->ring_entries == 0 || (reg->ring_entries & (reg->ring_entries - 1)) || reg->ring_entries > 32768)
        return -EINVAL;
    if (reg->ring_addr == 0 || reg->ring_addr % 4096)
        return -EINVAL;
    ring->buffers = (struct fake_buffers){
        .shared = (struct io_uring_buf_ring *)(uintptr_t)reg->ring_addr,
        .count = reg->ring_entries,
        .lent = fake_alloc(reg->ring_entries * sizeof(struct fake_buffer)),
    };
    return 0;
}

static void check_overlap(const struct fake_buffers *buffers, const struct fake_buffer *fresh)
{
    for (unsigned id = 0; id < buffers->count; id++) {
        const struct fake_buffer *other = &buffers->lent[id];
        if (other != fresh && other->is_lent && fresh->bytes < other->bytes + other->len &&
            other->bytes < fresh->bytes + fresh->len)
            fake_die("two lent buffers overlap");
    }
}

static void look_at(struct fake_buffers *buffers, const struct io_uring_buf *entry)
{
    if (entry->bid >= buffers->count)
        fake_die("buffer id %u is out of range", entry->bid);
    struct fake_buffer *buffer = &buffers->lent[entry->bid];
    if (buffer->is_lent)
        fake_die("buffer %u is lent twice", entry->bid);
    if (entry->addr == 0 || entry->len == 0)
        fake_die("buffer %u is empty", entry->bid);
    *buffer = (struct fake_buffer){
        .bytes = (uint8_t *)(uintptr_t)entry->addr, .len = entry->len, .is_lent = true};
    check_overlap(buffers, buffer);
    annotate_unpoison(buffer->bytes, buffer->len);   /* the kernel sees no poison; this one watches by itself */
    memset(buffer->bytes, POISON, buffer->len);
}

void fake_buffers_look(struct fake_ring *ring)
{
    struct fake_buffers *buffers = &ring->buffers;
    if (!buffers->shared)
        return;
    uint16_t tail = __atomic_load_n(&buffers->shared->tail, __ATOMIC_ACQUIRE);   /* the engine's word */
    if ((uint16_t)(tail - buffers->head) > buffers->count)
        fake_die("more buffers are lent than the ring holds");
    for (; buffers->seen != tail; buffers->seen++)
        look_at(buffers, &buffers->shared->bufs[buffers->seen & (buffers->count - 1)]);
}

bool fake_buffers_pick(struct fake_ring *ring, unsigned *id)
{
    struct fake_buffers *buffers = &ring->buffers;
    fake_buffers_look(ring);
    if (buffers->head == buffers->seen)
        return false;
    struct io_uring_buf *entry = &buffers->shared->bufs[buffers->head++ & (buffers->count - 1)];
    *id = entry->bid;
    struct fake_buffer *buffer = &buffers->lent[entry->bid];
    if ((uint64_t)(uintptr_t)buffer->bytes != entry->addr)
        fake_die("the entry of buffer %u was changed while it was lent", entry->bid);
    return true;
}

const struct fake_buffer *fake_buffers_at(const struct fake_ring *ring, unsigned id)
{
    return &ring->buffers.lent[id];
}

/* It goes back to the engine: untouched since it was lent. */
void fake_buffers_verify(const struct fake_buffer *buffer)
{
    for (uint32_t i = 0; i < buffer->len; i++) {
        if (buffer->bytes[i] != POISON)
            fake_die("byte %u of a buffer was written while it was lent", i);
    }
    ((struct fake_buffer *)(uintptr_t)buffer)->is_lent = false;
}
