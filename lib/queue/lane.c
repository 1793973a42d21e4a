/* lane.c — a ck_ring with one producer and many consumers, and the word by which a full one tells when there is room.
 *
 * States of is_room_wanted: 0, 1.
 *   the loop, refused:   W1 store is_room_wanted = 1   W2 look at the ring; at least half free: W3 take the 1 back by exchange; who gets
 *                        it answers
 *   a consumer:          C1 take an item (a compare-and-swap on the ring's head)   C2 look at is_room_wanted and at the ring; wanted and
 *                        half free: C3 take the 1 by exchange; who gets it posts room_mail
 * Why the loop is not forgotten: W1 and C1 are read-modify-writes that are totally ordered with the looks behind them. The consumer
 * whose C1 made the ring half empty either looks after W1 (and sees the 1) or has taken before W1 (and W2 sees the room). Exactly one
 * side gets the 1, so the mail is posted at most once a request. The narrowest moment: C2 saw 0, then W1, W2: the item is gone by then.
 * Rejected: a mail at the first free place: the loop would be woken for each task while the pool is busy. Accepted: none.
 */
#include "queue/lane.h"

#include "base/alloc.h"
#include "base/bits.h"

struct lane *lane_open(struct root *root, unsigned capacity)
{
    assert(is_power_of_two(capacity));
    struct lane *lane = alloc_lines(root, sizeof *lane);
    if (!lane)
        return NULL;
    lane->root = root;
    lane->capacity = capacity;
    lane->references = 1;
    lane->buffer = alloc_zeroed(root, 2 * (size_t)capacity * sizeof *lane->buffer);
    if (!lane->buffer) {
        alloc_free(root, lane);
        return NULL;
    }
    ck_ring_init(&lane->ring, 2 * capacity);   /* a ck_ring holds one less than its size */
    return lane;
}

void lane_release(struct lane *lane)
{
    if (fetch_sub_acq_rel(&lane->references, 1) > 1)   /* pairs with itself: the last one sees the other's accesses ended */
        return;
    struct root *root = lane->root;
    alloc_free(root, lane->buffer);
    alloc_free(root, lane);
}

static unsigned length(struct lane *lane)
{
    return ck_ring_size(&lane->ring);
}

bool lane_push(struct lane *lane, void *item)
{
    if (length(lane) >= lane->capacity)
        return false;
    bool is_pushed = ck_ring_enqueue_spmc(&lane->ring, lane->buffer, item);
    assert(is_pushed);
    counter_add(&lane->submitted, 1);
    return true;
}

static bool is_half_free(struct lane *lane)
{
    return length(lane) <= lane->capacity / 2;
}

void *lane_pop(struct lane *lane)
{
    void *item = NULL;
    if (!ck_ring_dequeue_spmc(&lane->ring, lane->buffer, &item))   /* C1 */
        return NULL;
    if (load_seq_cst(&lane->is_room_wanted) && is_half_free(lane) &&     /* C2; pairs with exchange_seq_cst in lane_want_room */
        exchange_seq_cst(&lane->is_room_wanted, 0)) {                    /* C3; pairs with exchange_seq_cst in lane_want_room */
        JOB_MARK(lane_consumer_makes_room);
        mailbox_post(lane->home, &lane->room_mail);
    }
    return item;
}

bool lane_is_empty(struct lane *lane)
{
    return length(lane) == 0;
}

bool lane_want_room(struct lane *lane)
{
    (void)exchange_seq_cst(&lane->is_room_wanted, 1);   /* W1; pairs with load_seq_cst in lane_pop */
    JOB_MARK(lane_looks_for_room);
    /* W2, W3. Nothing was taken since: the mail comes from a consumer. Not ours any more: the mail is on its way. */
    return is_half_free(lane) && exchange_seq_cst(&lane->is_room_wanted, 0) == 1;   /* pairs with exchange_seq_cst in lane_pop */
}
