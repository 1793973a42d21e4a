/* lane.c — a deque whose owner, a loop, never takes, and the word by which a full one tells when there is room.
 *
 * States of is_room_wanted: 0, 1.
 *   the loop, refused:   W1 store is_room_wanted = 1   W2 look at the deque; at least half free: W3 take the 1 back by exchange; who gets
 *                        it answers
 *   a consumer:          C1 take an item (a compare-and-swap on the deque's top)   C2 look at is_room_wanted and at the deque; wanted and
 *                        half free: C3 take the 1 by exchange; who gets it posts room_mail
 * Why the loop is not forgotten: W1 and C1 are read-modify-writes that are totally ordered with the looks behind them. The consumer
 * whose C1 made the ring half empty either looks after W1 (and sees the 1) or has taken before W1 (and W2 sees the room). Exactly one
 * side gets the 1, so the mail is posted at most once a request. The narrowest moment: C2 saw 0, then W1, W2: the item is gone by then.
 * Rejected: a mail at the first free place: the loop would be woken for each task while the pool is busy; ck_ring's SPMC form, whose
 * producer reads the consumers' index at every enqueue (docs/decisions/002).
 * Accepted: a mail without room. A consumer's look at C2 may belong to a request that the loop has answered itself at W3; the loop fills
 * the lane and asks again, and C3 takes the 1 of the new request. The loop looks how much room there is, and asks once more.
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
    lane->capacity = capacity;
    lane->slots = alloc_zeroed(root, (size_t)capacity * sizeof *lane->slots);
    if (!lane->slots) {
        alloc_free(root, lane);
        return NULL;
    }
    deque_init(&lane->deque, lane->slots, capacity, 0);
    return lane;
}

void lane_free(struct root *root, struct lane *lane)
{
    alloc_free(root, lane->slots);
    alloc_free(root, lane);
}

unsigned lane_count(struct lane *lane)
{
    return (unsigned)deque_count(&lane->deque);
}

bool lane_push(struct lane *lane, void *item)
{
    return deque_push(&lane->deque, item);
}

static bool is_half_free(struct lane *lane)
{
    return lane_count(lane) <= lane->capacity / 2;
}

void *lane_pop(struct lane *lane)
{
    void *item = deque_poll(&lane->deque);   /* C1 */
    if (!item)
        return NULL;
    if (load_seq_cst(&lane->is_room_wanted) && is_half_free(lane) &&     /* C2; pairs with exchange_seq_cst in lane_want_room */
        exchange_seq_cst(&lane->is_room_wanted, 0)) {                    /* C3; pairs with exchange_seq_cst in lane_want_room */
        JOB_MARK(lane_consumer_makes_room);
        mailbox_post(lane->home, &lane->room_mail);
    }
    return item;
}

bool lane_want_room(struct lane *lane)
{
    (void)exchange_seq_cst(&lane->is_room_wanted, 1);   /* W1; pairs with load_seq_cst in lane_pop */
    JOB_MARK(lane_looks_for_room);
    /* W2, W3. Nothing was taken since: the mail comes from a consumer. Not ours any more: the mail is on its way. */
    return is_half_free(lane) && exchange_seq_cst(&lane->is_room_wanted, 0) == 1;   /* pairs with exchange_seq_cst in lane_pop */
}
