/* fake_completion.c — completions on their way: held for some steps, overtaken by others, spilled when the queue is full.
 *
 * Those of one request keep their order: data is never reordered within a stream.
 */
#include <stdlib.h>
#include <string.h>

#include "base/annotate.h"
#include "testkit/fake.h"

enum { LATE_STEPS = 6 };

unsigned fake_ready(const struct fake_ring *ring)
{
    return ring->cq_tail - __atomic_load_n(&ring->cq_head, __ATOMIC_ACQUIRE);   /* the engine's word */
}

static struct fake_completion *hold(struct fake_ring *ring, struct fake_request *request, uint64_t key, int res)
{
    struct fake_completion *completion = fake_alloc(sizeof *completion);
    list_init(&completion->node);
    completion->request = request;
    completion->cqe.user_data = key;
    completion->cqe.res = res;
    completion->due = ring->step;
    if (dice_hits(&ring->dice, ring->faults.late)) {
        fake_world.counts.late++;
        completion->due += 1 + dice_below(&ring->dice, LATE_STEPS);
    }
    list_push_back(&ring->held, &completion->node);
    return completion;
}

struct fake_completion *fake_complete(struct fake_ring *ring, struct fake_request *request, int res, bool is_more)
{
    if (request->has_ended)
        fake_die("a request completes after its end: a bug of the fake");
    struct fake_completion *completion = hold(ring, request, request->sqe.user_data, res);
    completion->cqe.flags = is_more ? IORING_CQE_F_MORE : 0;
    request->held++;
    if (res >= 0)
        ring->fruitless = 0;
    request->has_ended = !is_more;
    return completion;
}

void fake_complete_key(struct fake_ring *ring, uint64_t key, int res)
{
    (void)hold(ring, NULL, key, res);
}

static void fill(struct fake_completion *completion, const struct fake_ring *ring)
{
    if (completion->is_buffer)
        fake_buffers_verify(fake_buffers_at(ring, completion->cqe.flags >> IORING_CQE_BUFFER_SHIFT));
    if (completion->len > 0) {
        annotate_unpoison(completion->target, completion->len);   /* the kernel sees no poison */
        memcpy(completion->target, completion->bytes, completion->len);
    }
}

static void release(struct fake_ring *ring, struct fake_completion *completion)
{
    struct fake_request *request = completion->request;
    free(completion->bytes);
    free(completion);
    if (!request || --request->held > 0 || !request->has_ended)
        return;
    ring->last_key = request->sqe.user_data;
    list_remove(&request->node);
    fake_request_free(request);
}

/* Into the queue, which has room. */
static void put(struct fake_ring *ring, struct fake_completion *completion)
{
    fill(completion, ring);
    ring->cqes[ring->cq_tail & ring->cq_mask] = completion->cqe;
    __atomic_store_n(&ring->cq_tail, ring->cq_tail + 1, __ATOMIC_RELEASE);   /* liburing's peek loads it: the entry is there */
    fake_world.counts.completed++;
    release(ring, completion);
}

static void flush_backlog(struct fake_ring *ring)
{
    struct list *node;
    while (fake_ready(ring) < ring->cq_entries && (node = list_pop_front(&ring->backlog)))
        put(ring, container_of(node, struct fake_completion, node));
}

/* The request's earlier completions come first, and the dice may let others overtake. */
static bool is_due(struct fake_ring *ring, const struct fake_completion *completion)
{
    struct fake_request *request = completion->request;
    if (request && request->blocked_at == ring->step)
        return false;
    if (completion->due > ring->step)
        return false;
    if (!dice_hits(&ring->dice, ring->faults.reorder))
        return true;
    fake_world.counts.reordered++;
    return false;
}

static void add_stale(struct fake_ring *ring)
{
    if (!dice_hits(&ring->dice, ring->faults.stale))
        return;
    fake_world.counts.stale++;
    uint64_t key = dice_below(&ring->dice, 2) ? ring->last_key : dice_next(&ring->dice) | 1ULL << 63;
    if (key >> 32 == 0)
        return;   /* not an op's: the kernel doubles nothing that ours does not count */
    const int results[] = {0, 1, 4096, -ECANCELED, -EIO};
    fake_complete_key(ring, key, results[dice_below(&ring->dice, 5)]);
}

void fake_post(struct fake_ring *ring)
{
    /* What the engine has taken is no more to be read. */
    for (unsigned head = __atomic_load_n(&ring->cq_head, __ATOMIC_ACQUIRE); ring->scribbled != head; ring->scribbled++)
        memset(&ring->cqes[ring->scribbled & ring->cq_mask], 0xC9, sizeof *ring->cqes);
    add_stale(ring);
    flush_backlog(ring);
    list_each_safe(node, &ring->held) {
        struct fake_completion *completion = container_of(node, struct fake_completion, node);
        if (!is_due(ring, completion)) {
            if (completion->request)
                completion->request->blocked_at = ring->step;
            continue;
        }
        list_remove(node);
        if (list_is_empty(&ring->backlog) && fake_ready(ring) < ring->cq_entries) {
            put(ring, completion);
            continue;
        }
        fake_world.counts.overflowed++;
        list_push_back(&ring->backlog, node);
    }
}
