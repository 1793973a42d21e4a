/* ring_buffers.c — lends slots of the arena to the kernel and takes them back as bufs.
 *
 * The ring is refilled at the end of a turn from the loop's cache, never with the buf that was just delivered. When the arena has no
 * spare slot the loop registers as starving and tries once more (memory/starved.c argues why no wake-up is lost).
 */
#include "engine/ring_buffers.h"

#include <errno.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "memory/arena.h"
#include "memory/owner.h"

enum { RECEIVE_GROUP = 0 };   /* one buffer group a ring */

static void starved_mail(struct job_mail *mail)
{
    struct starved *starved = container_of(mail, struct starved, mail);
    starved->is_registered = false;   /* the next wait() refills */
}

static size_t shared_bytes(const struct ring_buffers *buffers)
{
    return buffers->capacity * sizeof(struct io_uring_buf);
}

static int share_with_kernel(struct ring_buffers *buffers)
{
    void *memory = mmap(NULL, shared_bytes(buffers), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)memory, .ring_entries = buffers->capacity, .bgid = RECEIVE_GROUP};
    int err = io_uring_register_buf_ring(buffers->ring, &reg, 0);
    if (err < 0) {
        (void)munmap(memory, shared_bytes(buffers));
        return err;
    }
    buffers->shared = memory;
    io_uring_buf_ring_init(buffers->shared);
    return 0;
}

int ring_buffers_open(struct ring_buffers *buffers, struct root *root, struct job_arena *arena, struct io_uring *ring,
                      struct mailbox *mailbox, unsigned count, unsigned class)
{
    *buffers = (struct ring_buffers){
        .root = root, .arena = arena, .ring = ring, .count = count, .wanted = count, .class = class};
    buffers->capacity = count < RECEIVE_SLOTS_GROWN ? RECEIVE_SLOTS_GROWN : count;
    buffers->starved = (struct starved){
        .mail.job_deliver = starved_mail, .mailbox = mailbox, .bytes = slot_class_bytes(class)};
    size_t bytes = count * slot_class_bytes(class);
    int err = arena_hold(arena, bytes);
    if (err < 0)
        return err;
    buffers->held = bytes;
    err = -ENOMEM;
    buffers->slots = alloc_zeroed(root, buffers->capacity * sizeof(struct slot *));
    buffers->free_ids = alloc_zeroed(root, buffers->capacity * sizeof(uint16_t));
    if (!buffers->slots || !buffers->free_ids)
        goto fail;
    for (unsigned id = buffers->capacity; id-- > 0;)
        buffers->free_ids[buffers->free_count++] = (uint16_t)id;
    err = share_with_kernel(buffers);
    if (err < 0)
        goto fail;
    return 0;
fail:
    ring_buffers_close(buffers);
    return err;
}

void ring_buffers_close(struct ring_buffers *buffers)
{
    arena_unstarve(buffers->arena, &buffers->starved);
    for (unsigned id = 0; buffers->slots && id < buffers->capacity; id++) {
        if (buffers->slots[id])
            ring_buffers_put(buffers, id);
    }
    if (buffers->shared)
        (void)munmap(buffers->shared, shared_bytes(buffers));
    alloc_free(buffers->root, buffers->slots);
    alloc_free(buffers->root, buffers->free_ids);
    arena_unhold(buffers->arena, buffers->held);
    buffers->shared = NULL;
    buffers->slots = NULL;
    buffers->free_ids = NULL;
}

/* True: the loop has what it holds; what it wants beyond that is no reason to starve. Else *shortage says why. */
static bool lend_some(struct ring_buffers *buffers, struct shortage *shortage)
{
    int added = 0;
    while (buffers->available + (unsigned)added < buffers->wanted) {
        bool is_needed = buffers->available + (unsigned)added < buffers->count;   /* else it only wants more */
        if (!is_needed && arena_spare(buffers->arena) < buffers->arena->limit / RECEIVE_GROWN_SPARE)
            break;   /* an idle loop gives nothing back: who reads files waits for what is spare */
        struct slot *slot = slot_take_spare(buffers->arena, buffers->class, is_needed, shortage);
        if (!slot)
            break;
        assert(buffers->free_count > 0);
        unsigned id = buffers->free_ids[--buffers->free_count];
        assert(!buffers->slots[id]);
        buffers->slots[id] = slot;
        size_t room;
        uint8_t *bytes = slot_room(slot, &room);
        owner_lend(slot);
        io_uring_buf_ring_add(buffers->shared, bytes, (unsigned)room, (unsigned short)id,
                              io_uring_buf_ring_mask(buffers->capacity), added++);
    }
    if (added > 0)
        io_uring_buf_ring_advance(buffers->shared, added);
    buffers->available += (unsigned)added;
    return buffers->available >= buffers->count;
}

void ring_buffers_refill(struct ring_buffers *buffers)
{
    struct shortage shortage;
    if (!buffers->is_used || buffers->available >= buffers->wanted || lend_some(buffers, &shortage) ||
        buffers->starved.is_registered)
        return;
    arena_starve(buffers->arena, &buffers->starved, &shortage);
    (void)lend_some(buffers, &shortage);   /* L2: a look after registering */
}

void ring_buffers_use(struct ring_buffers *buffers, bool is_running)
{
    if (buffers->is_used)
        return;
    buffers->is_used = true;
    if (is_running)
        ring_buffers_refill(buffers);
}

void ring_buffers_grow(struct ring_buffers *buffers)
{
    size_t share = buffers->arena->limit / RECEIVE_GROWN_SHARE;
    unsigned most = (unsigned)min_size(share / slot_class_bytes(buffers->class), buffers->capacity);
    if (buffers->wanted < most)
        buffers->wanted = (unsigned)min_size((size_t)buffers->wanted * 2, most);
}

/* The slot that was lent under `id`, or NULL. */
static struct slot *take_back(struct ring_buffers *buffers, unsigned id)
{
    if (id >= buffers->capacity || !buffers->slots[id])
        return NULL;
    struct slot *slot = buffers->slots[id];
    buffers->slots[id] = NULL;
    buffers->free_ids[buffers->free_count++] = (uint16_t)id;
    assert(buffers->available > 0);
    buffers->available--;
    return slot;
}

struct job_buf *ring_buffers_take(struct ring_buffers *buffers, unsigned id, size_t len)
{
    struct slot *slot = take_back(buffers, id);
    if (!slot)
        return NULL;
    size_t room;
    size_t begin = (size_t)(slot_room(slot, &room) - slot->memory);
    owner_check_untouched(slot, 0, begin);   /* the kernel has filled `len` bytes of the room and nothing else */
    owner_check_untouched(slot, begin + len, slot->size);
    owner_unlend(slot);
    return slot_buf(slot, len);
}

/* What it holds is not looked at: the receive may have been cancelled behind its data. */
void ring_buffers_put(struct ring_buffers *buffers, unsigned id)
{
    struct slot *slot = take_back(buffers, id);
    if (!slot)
        return;
    owner_unlend(slot);
    slot_put(slot);
}
