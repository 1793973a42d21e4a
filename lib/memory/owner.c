/* owner.c — the owner word of checked builds: each hand-over changes it, each use looks at it.
 *
 * Whoever moves or looks owns the buf at that moment, or is the very mistake that is looked for; so the word needs no atomic.
 *
 * Poison is laid on whole granules (8 bytes) inside a piece's window. The shadow of a granule at its edge is shared with the neighbour
 * piece, which may live on another thread.
 */
#include "memory/owner.h"

#include "base/bits.h"

enum { GRANULE = 8 };

void owner_poison_piece(const struct job_buf *segment, bool is_given)
{
    uint8_t *memory = segment->slot->memory;
    if (segment->is_frozen)   /* others read it */
        return;
    size_t from = round_up(segment->low, GRANULE), to = segment->high / GRANULE * GRANULE;
    if (from >= to)
        return;
    if (is_given)
        annotate_poison(memory + from, to - from);
    else
        annotate_unpoison(memory + from, to - from);
}

void owner_poison(const struct job_buf *buf, bool is_given)
{
    for (const struct job_buf *segment = buf; segment; segment = segment->next)
        owner_poison_piece(segment, is_given);
}

#ifdef JOB_CHECKED

static const char *const names[] = {
    [BUF_FREE] = "nobody (it is free)", [BUF_CODE] = "code",        [BUF_SEGMENT] = "the buf before it",
    [BUF_TASK] = "a task",              [BUF_QUEUE] = "a send queue", [BUF_OP] = "an op in flight",
    [BUF_KERNEL] = "the kernel",            [BUF_MESSAGE] = "a message",
};

static _Noreturn void used_by_other(const struct job_buf *buf, enum buf_owner user, const char *function)
{
    assert_failed_text("buf %p generation %u belongs to %s, used by %s in %s()", (const void *)buf, buf->slot->generation,
                       names[buf->owner], names[user], function);
}

void owner_expect(const struct job_buf *buf, enum buf_owner user, const char *function)
{
    if (buf && buf->owner != user)
        used_by_other(buf, user, function);
}

void owner_expect_live(const struct job_buf *segment, const char *function)
{
    if (segment->owner == BUF_FREE || segment->owner == BUF_KERNEL)
        used_by_other(segment, BUF_CODE, function);
}

void owner_move(struct job_buf *buf, enum buf_owner from, enum buf_owner to, const char *function)
{
    if (!buf || buf->owner == to)
        return;
    owner_expect(buf, from, function);
    buf->owner = (uint8_t)to;
    if (annotate_has_asan())
        owner_poison(buf, to != BUF_CODE);
}

static uint64_t sum_of(const uint8_t *bytes, size_t len)
{
    uint64_t sum = 14695981039346656037U;   /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ bytes[i]) * 1099511628211U;
    return sum;
}

void owner_seal(const struct job_buf *segment)
{
    struct slot *slot = segment->slot;
    if (!buf_is_alone(segment))   /* another piece may have been sealed: there is one seal a slot */
        return;
    slot->frozen_at = (uint32_t)(segment->data - slot->memory);
    slot->frozen_len = segment->len;
    slot->frozen_sum = sum_of(segment->data, segment->len);
}

void owner_unseal(struct slot *slot, const char *function)
{
    if (slot->frozen_len > 0 && sum_of(slot->memory + slot->frozen_at, slot->frozen_len) != slot->frozen_sum)
        assert_failed_text("buf %p generation %u was frozen, and written to by code; found in %s()", (const void *)&slot->home,
                           slot->generation, function);
    slot->frozen_len = 0;
}

void owner_lend(struct slot *slot)
{
    assert(slot->home.owner == BUF_FREE);
    slot->home.owner = BUF_KERNEL;
    slot->home.slot = slot;   /* for whoever kept a pointer to the descriptor */
    annotate_poison(slot->memory, slot->size);
}

void owner_unlend(struct slot *slot)
{
    assert(slot->home.owner == BUF_KERNEL);
    annotate_unpoison(slot->memory, slot->size);
    slot->home.owner = BUF_FREE;
}

void owner_verify(const struct slot *slot, size_t from, size_t to, const char *function)
{
    if (slot->home.owner == BUF_KERNEL)
        annotate_unpoison(slot->memory, slot->size);   /* its time is over */
    if (quarantine_is_intact(slot->memory, from, to))
        return;
    assert_failed_text("buf %p generation %u belongs to %s, written to by code; found in %s()", (const void *)&slot->home,
                       slot->generation, names[slot->home.owner], function);
}

#endif
