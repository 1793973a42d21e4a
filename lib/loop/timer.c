/* timer.c — one-shot timers: a 4-ary heap of pointers in user space, one deadline in the engine's wait.
 *
 * A heap of four children a node is half as deep as a binary one and its children share a cache line. The array has room for every
 * timer that is open, so arming and disarming cannot fail. Arming a kernel time-out for each timer would cost 750 ns, and 370 to
 * cancel it.
 */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "loop/handle.h"

enum { ARITY = 4, CAPACITY_FIRST = 64, NOT_ARMED = 0 };   /* job_heap_index is the place + 1 */

static bool is_before(const struct job_timer *a, const struct job_timer *b)
{
    return a->job_deadline_ns != b->job_deadline_ns ? a->job_deadline_ns < b->job_deadline_ns
                                                    : a->job_order < b->job_order;
}

static void place(struct timer_heap *heap, unsigned index, struct job_timer *timer)
{
    heap->items[index] = timer;
    timer->job_heap_index = index + 1;
}

static void sift_up(struct timer_heap *heap, unsigned index, struct job_timer *timer)
{
    while (index > 0) {
        unsigned parent = (index - 1) / ARITY;
        if (!is_before(timer, heap->items[parent]))
            break;
        place(heap, index, heap->items[parent]);
        index = parent;
    }
    place(heap, index, timer);
}

static void sift_down(struct timer_heap *heap, unsigned index, struct job_timer *timer)
{
    for (;;) {
        unsigned first = index * ARITY + 1;
        if (first >= heap->count)
            break;
        unsigned least = first;
        for (unsigned child = first + 1; child < first + ARITY && child < heap->count; child++) {
            if (is_before(heap->items[child], heap->items[least]))
                least = child;
        }
        if (!is_before(heap->items[least], timer))
            break;
        place(heap, index, heap->items[least]);
        index = least;
    }
    place(heap, index, timer);
}

static void heap_insert(struct timer_heap *heap, struct job_timer *timer)
{
    assert(heap->count < heap->capacity);
    sift_up(heap, heap->count++, timer);
}

static void heap_remove(struct timer_heap *heap, struct job_timer *timer)
{
    unsigned index = timer->job_heap_index - 1;
    assert(index < heap->count && heap->items[index] == timer);
    timer->job_heap_index = NOT_ARMED;
    struct job_timer *last = heap->items[--heap->count];
    if (last == timer)
        return;
    if (index > 0 && is_before(last, heap->items[(index - 1) / ARITY]))
        sift_up(heap, index, last);
    else
        sift_down(heap, index, last);
}

static int heap_reserve(struct job_loop *loop)
{
    struct timer_heap *heap = &loop->timers;
    if (heap->open < heap->capacity)
        return 0;
    unsigned capacity = heap->capacity ? heap->capacity * 2 : CAPACITY_FIRST;
    struct job_timer **items = alloc_zeroed(loop->root, capacity * sizeof(struct job_timer *));
    if (!items)
        return -ENOMEM;
    if (heap->count > 0)
        memcpy(items, heap->items, heap->count * sizeof(struct job_timer *));
    alloc_free(loop->root, heap->items);
    heap->items = items;
    heap->capacity = capacity;
    return 0;
}

void timers_init(struct timer_heap *heap)
{
    *heap = (struct timer_heap){0};
}

void timers_fini(struct job_loop *loop)
{
    alloc_free(loop->root, loop->timers.items);
    loop->timers.items = NULL;
}

uint64_t timers_next_ns(const struct timer_heap *heap)
{
    return heap->count ? heap->items[0]->job_deadline_ns : UINT64_MAX;
}

static void disarm(struct job_timer *timer)
{
    struct job_loop *loop = timer->handle.job_loop;
    heap_remove(&loop->timers, timer);
    handle_set_idle(&timer->handle, true);
}

void timers_fire(struct job_loop *loop)
{
    /* What is armed from now on has a later order: a timer of 0 ns that arms itself anew waits for the next turn. */
    uint64_t now = loop->now_ns;
    uint64_t order_end = loop->timers.order;
    for (unsigned count = 0; loop->timers.count > 0 && count < TURN_TIMERS_MAX; count++) {
        struct job_timer *timer = loop->timers.items[0];
        if (timer->job_deadline_ns > now || timer->job_order >= order_end)
            break;
        disarm(timer);
        line_count(loop->line, COUNTER_TIMERS, 1);
        LOOP_CALL(loop, timer->job_fired, (timer));
    }
}

static void timer_closing(struct job_handle *handle)
{
    job_timer_stop(container_of(handle, struct job_timer, handle));
}

static void timer_closed(struct job_handle *handle)
{
    struct job_timer *timer = container_of(handle, struct job_timer, handle);
    handle->job_loop->timers.open--;
    if (timer->job_on_closed)
        LOOP_CALL(handle->job_loop, timer->job_on_closed, (timer));
}

static const struct handle_kind timer_kind = {"timer", timer_closing, timer_closed};

int job_timer_open(struct job_loop *loop, struct job_timer *timer, void (*fired)(struct job_timer *timer))
{
    if (!loop || !timer || !fired)
        return -EINVAL;
    int err = loop_check_thread(loop);
    if (err < 0)
        return err;
    err = heap_reserve(loop);
    if (err < 0)
        return err;
    err = handle_open(loop, &timer->handle, sizeof *timer, &timer_kind);
    if (err < 0)
        return err;
    handle_set_idle(&timer->handle, true);   /* it keeps the loop alive while it is armed */
    timer->job_fired = fired;
    loop->timers.open++;
    return 0;
}

int job_timer_start(struct job_timer *timer, uint64_t timeout_ns)
{
    if (!timer)
        return -EINVAL;
    if (!handle_is_open(&timer->handle))
        return -ECANCELED;
    struct job_loop *loop = timer->handle.job_loop;
    if (loop_check_thread(loop) < 0)
        return -EPERM;
    if (timer->job_heap_index != NOT_ARMED)
        disarm(timer);
    /* Not the loop's cached time: a timer armed at the end of a long callback would be early. */
    uint64_t deadline = loop->root->now_ns() + timeout_ns;
    timer->job_deadline_ns = deadline < timeout_ns ? UINT64_MAX - 1 : deadline;   /* a sum that wrapped: as late as can be */
    timer->job_order = loop->timers.order++;
    heap_insert(&loop->timers, timer);
    handle_set_idle(&timer->handle, false);
    return 0;
}

void job_timer_stop(struct job_timer *timer)
{
    if (timer && timer->job_heap_index != NOT_ARMED && handle_is_here(&timer->handle, "job_timer_stop"))
        disarm(timer);
}

bool job_timer_is_armed(const struct job_timer *timer)
{
    return timer && timer->job_heap_index != NOT_ARMED;
}

void job_timer_close(struct job_timer *timer, void (*closed)(struct job_timer *timer))
{
    if (!timer || !handle_is_open(&timer->handle))
        return;
    timer->job_on_closed = closed;
    (void)handle_close(&timer->handle);
}
