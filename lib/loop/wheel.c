/* wheel.c — a hierarchical wheel for what is far, a heap for what is near.
 *
 * Most deadlines are time-outs: they are cleared or set anew before they come, so setting and clearing must cost little and coming
 * may cost more. A tick is 2^20 ns. What is due in a later tick lies in a bucket, a list in no order: level 0 has a bucket for each
 * of the next ticks, level 1 one for 64 ticks, and so on; the level is the highest group of six bits in which the deadline's tick differs
 * from the present one. When the present tick reaches a bucket, its deadlines are spread over finer ones, at the end into the heap, which
 * is therefore small, and exact to the ns. Each deadline is moved at most once a level.
 *
 * Lazy: a deadline in a bucket that is set to a later time stays where it is, sorted by its old time (key_ns), and is sorted anew when
 * that comes; one that rests stays too, until it is set again or its bucket is opened. A connection that moves its idle time-out at every
 * byte, or arms and disarms one for each request, pays a store: the neighbours in the list are in other connections' memory.
 *
 * Nobody waits for a large bucket: it is spread in portions (WHEEL_MOVES_MAX), and nothing is taken meanwhile, so order holds.
 *
 * When to wake: the least deadline of the first bucket, if that has few; else the time at which the bucket is opened. So a loop with a
 * handful of timers wakes exactly when one is due. Measured against heaps: docs/decisions/030.
 */
#include "loop/wheel.h"

#include "base/assert.h"
#include "base/time.h"
#include "loop/heap.h"

enum { SCAN_MAX = LIMIT(16, 2) };   /* deadlines that are looked at to know when the next one comes; unmeasured */

static struct deadline *deadline_at(struct list *node)
{
    return container_of(node, struct deadline, link);
}

/* By key_ns: into the heap, or into the bucket that it has now. */
static void insert(struct wheel *wheel, struct deadline *deadline)
{
    uint64_t key = deadline->key_ns, tick = key >> WHEEL_TICK_BITS;
    if (tick <= wheel->tick) {
        heap_insert(&wheel->near, deadline);
        deadline->place = DEADLINE_IN_HEAP;
    } else {
        unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ wheel->tick)) / WHEEL_LEVEL_BITS;
        unsigned slot = (unsigned)(tick >> (level * WHEEL_LEVEL_BITS)) % WHEEL_SLOTS;
        list_init(&deadline->link);
        list_push_back(&wheel->buckets[level][slot], &deadline->link);
        wheel->occupied[level] |= UINT64_C(1) << slot;
        deadline->place = DEADLINE_IN_BUCKET;
    }
    if (key < wheel->next_ns)
        wheel->next_ns = key;
}

static void take_out(struct wheel *wheel, struct deadline *deadline)
{
    if (deadline->place == DEADLINE_IN_HEAP)
        heap_remove(&wheel->near, deadline);
    else
        list_remove(&deadline->link);
    deadline->place = DEADLINE_NOWHERE;
}

/* What the wheel knows of the next one may have been this one. */
static void forget_next(struct wheel *wheel, const struct deadline *deadline)
{
    if (deadline->key_ns == wheel->next_ns)
        wheel->is_next_known = false;
}

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    *wheel = (struct wheel){.tick = now_ns >> WHEEL_TICK_BITS, .next_ns = TIME_NEVER, .is_next_known = true};
    list_init(&wheel->opening);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->buckets[level][slot]);
    }
}

/* Of all times in [due, due + slack] the one with the most zeros at its end: others choose the same one. */
static uint64_t round_within(uint64_t at_ns, uint64_t slack_ns)
{
    if (slack_ns == 0 || at_ns == 0)
        return at_ns;
    uint64_t last = time_after(at_ns, slack_ns);
    unsigned zeros = 63U - (unsigned)__builtin_clzll((at_ns - 1) ^ last);
    return last >> zeros << zeros;
}

void wheel_set(struct wheel *wheel, struct deadline *deadline, uint64_t at_ns, uint64_t slack_ns)
{
    uint64_t at = round_within(at_ns, slack_ns);
    if (at <= wheel->after_ns)
        at = wheel->after_ns + 1;
    if (at == TIME_NEVER)
        at--;   /* that means none */
    deadline->at_ns = at;
    deadline->order = wheel->order++;
    if (deadline->place != DEADLINE_NOWHERE) {
        forget_next(wheel, deadline);
        if (deadline->place == DEADLINE_IN_BUCKET && at >= deadline->key_ns)
            return;   /* sorted anew when its old time comes */
        take_out(wheel, deadline);
    }
    deadline->key_ns = at;
    insert(wheel, deadline);
}

void wheel_clear(struct wheel *wheel, struct deadline *deadline)
{
    deadline->at_ns = 0;
    if (deadline->place == DEADLINE_NOWHERE)
        return;
    forget_next(wheel, deadline);
    take_out(wheel, deadline);
}

/* Sorts one by its present time that was left where its former one put it, or takes it out if it has none. */
static void sort_anew(struct wheel *wheel, struct deadline *deadline)
{
    if (deadline->at_ns == deadline->key_ns)
        return;
    take_out(wheel, deadline);
    deadline->key_ns = deadline->at_ns ? deadline->at_ns : TIME_NEVER;
    if (deadline->at_ns > 0)
        insert(wheel, deadline);
}

/* The first bucket behind the present tick that is not empty, and the tick at which it begins; NULL: there is none. */
static struct list *first_bucket(struct wheel *wheel, uint64_t *begin_tick)
{
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        unsigned shift = level * WHEEL_LEVEL_BITS;
        unsigned now = (unsigned)(wheel->tick >> shift) % WHEEL_SLOTS;
        uint64_t behind = now == WHEEL_SLOTS - 1 ? 0 : ~UINT64_C(0) << (now + 1), bits;
        while ((bits = wheel->occupied[level] & behind)) {
            unsigned slot = (unsigned)__builtin_ctzll(bits);
            struct list *bucket = &wheel->buckets[level][slot];
            if (!list_is_empty(bucket)) {
                *begin_tick = (wheel->tick >> shift >> WHEEL_LEVEL_BITS << WHEEL_LEVEL_BITS | slot) << shift;
                return bucket;
            }
            wheel->occupied[level] &= ~(UINT64_C(1) << slot);
        }
    }
    return NULL;
}

/* The least deadline of a bucket; when there are too many to look at, the time at which it begins. Those that have become later are sorted
 * anew, most of them into a later bucket, which cannot make another one the least; if none is left the answer is TIME_NEVER. */
static uint64_t least_in(struct wheel *wheel, struct list *bucket, uint64_t begin_ns, unsigned *looks)
{
    uint64_t least = TIME_NEVER;
    list_each_safe(node, bucket) {
        struct deadline *deadline = deadline_at(node);
        if ((*looks)-- == 0)
            return begin_ns;
        sort_anew(wheel, deadline);
        if (deadline->key_ns < least)
            least = deadline->key_ns;
    }
    return list_is_empty(bucket) ? TIME_NEVER : least;
}

static uint64_t find_next(struct wheel *wheel)
{
    if (wheel->near)
        return wheel->near->key_ns;
    unsigned looks = SCAN_MAX;
    struct list *bucket;
    uint64_t begin = 0;
    while ((bucket = first_bucket(wheel, &begin))) {
        uint64_t begin_ns = begin << WHEEL_TICK_BITS;
        uint64_t least = looks > 0 ? least_in(wheel, bucket, begin_ns, &looks) : begin_ns;
        if (least != TIME_NEVER)
            return least;
    }
    return TIME_NEVER;
}

uint64_t wheel_next_ns(struct wheel *wheel)
{
    if (!list_is_empty(&wheel->opening))
        return 0;
    if (!wheel->is_next_known) {
        wheel->next_ns = TIME_NEVER;   /* what is sorted anew meanwhile does not say anything yet */
        wheel->next_ns = find_next(wheel);
        wheel->is_next_known = true;
    }
    return wheel->next_ns;
}

static void spread(struct wheel *wheel, unsigned *moves)
{
    struct list *node;
    while (*moves > 0 && (node = list_pop_front(&wheel->opening))) {
        struct deadline *deadline = deadline_at(node);
        deadline->place = DEADLINE_NOWHERE;
        deadline->key_ns = deadline->at_ns;
        if (deadline->at_ns > 0)
            insert(wheel, deadline);
        --*moves;
    }
}

bool wheel_advance(struct wheel *wheel, uint64_t now_ns)
{
    uint64_t now = now_ns >> WHEEL_TICK_BITS, begin = 0;
    unsigned moves = WHEEL_MOVES_MAX;
    spread(wheel, &moves);
    struct list *bucket;
    while (list_is_empty(&wheel->opening) && now > wheel->tick) {
        bucket = first_bucket(wheel, &begin);
        if (!bucket || begin > now)
            break;
        wheel->tick = begin;
        wheel->is_next_known = false;
        list_splice_back(&wheel->opening, bucket);
        spread(wheel, &moves);
    }
    if (!list_is_empty(&wheel->opening))
        return false;
    if (now > wheel->tick)
        wheel->tick = now;
    if (wheel->next_ns <= now_ns)
        wheel->is_next_known = false;   /* the time at which a bucket begins stays known when its deadlines are cleared */
    return true;
}

struct deadline *wheel_take(struct wheel *wheel, uint64_t now_ns)
{
    assert(list_is_empty(&wheel->opening));
    struct deadline *deadline = wheel->near;
    if (!deadline || deadline->key_ns > now_ns) {
        if (wheel->is_next_known)
            assert(wheel->next_ns > now_ns);   /* else the loop would turn and never sleep */
        return NULL;
    }
    assert(deadline->at_ns == deadline->key_ns);
    wheel_clear(wheel, deadline);
    return deadline;
}
