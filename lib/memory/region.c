/* region.c — counted shared bytes, touched only by sequentially consistent atomic operations on checked cells; and who waits for them.
 *
 * The struct and its cells are one block of the heap, charged to the runtime's arena: regions and bufs share one limit. When chunks have
 * all of it but are not full, a slot of theirs serves instead. One that may grow has reserved addresses, of which it uses as many as
 * it is large; one that processes share lies in a memory file, together with its struct, so that a child sees the same size at the same
 * address. Every owner holds a reference; the last release frees.
 */
#include "memory/region.h"

#include <string.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/assert.h"
#include "base/bits.h"
#include "base/limits.h"
#include "base/root.h"
#include "base/self.h"
#include "base/sleeper.h"
#include "base/sys.h"
#include "memory/arena.h"
#include "stats/line.h"

struct region {
    struct root *root;
    struct slot *slot;         /* that it lies in; NULL: on the heap, or mapped */
    size_t mapped_bytes;       /* 0: not mapped */
    size_t size_max;
    atomic_u32 references;
    bool is_shared;
    pthread_mutex_t growing;
    struct waitlist waitlist;
    struct job_region base;    /* what users have; the cells are behind it, so that an accessor adds to its address and loads none */
    uint8_t cells[];
};

enum { HEAD_BYTES = 4096 };   /* of a mapped one: its cells begin at a page */

_Static_assert(sizeof(struct region) <= HEAD_BYTES, "the head is a page");
_Static_assert(offsetof(struct region, cells) == offsetof(struct region, base) + sizeof(struct job_region) &&
                   offsetof(struct region, cells) == sizeof(struct region),
               "the cells follow what users have");

static struct region *region_of(const struct job_region *region)
{
    return region ? container_of((struct job_region *)(uintptr_t)region, struct region, base) : NULL;
}

static size_t block_bytes(size_t size)
{
    return round_up(sizeof(struct region) + size, CACHE_LINE);
}

/* What a mapped one counts for: the pages that it may touch. */
static size_t mapped_charge(size_t size)
{
    return HEAD_BYTES + round_up(size, HEAD_BYTES);
}

static struct region *in_slot(struct job_arena *arena, size_t bytes)
{
    unsigned class = slot_class_for(bytes);
    if (class == SLOT_RUN) {
        arena_count_failed(arena);
        return NULL;
    }
    struct slot *slot = slot_take(arena, class);
    if (!slot)
        return NULL;
    struct region *region = memset(slot->memory, 0, bytes);
    region->slot = slot;
    return region;
}

static int open_block(struct root *root, size_t size, struct region **out)
{
    struct region *region = NULL;
    bool is_charged = arena_charge(root->arena, block_bytes(size)) == 0;
    if (!is_charged)
        region = in_slot(root->arena, block_bytes(size));
    else if (!(region = alloc_lines(root, block_bytes(size))))
        arena_uncharge(root->arena, block_bytes(size));
    if (!region)
        return -ENOMEM;
    *out = region;
    return 0;
}

static int open_mapped(struct root *root, const struct job_region_options *options, struct region **out)
{
    void *mapped;
    size_t bytes = HEAD_BYTES + round_up(max_size(options->size, options->size_max), HEAD_BYTES);
    if (arena_charge(root->arena, mapped_charge(options->size)) < 0) {
        arena_count_failed(root->arena);
        return -ENOMEM;
    }
    int err = options->is_shared ? sys_memfd_inherited("job.region", bytes, &mapped) : sys_reserve_small(bytes, &mapped);
    if (err < 0) {
        arena_uncharge(root->arena, mapped_charge(options->size));
        return err;
    }
    struct region *region = (struct region *)(void *)((uint8_t *)mapped + HEAD_BYTES - sizeof *region);
    region->mapped_bytes = bytes;
    region->is_shared = options->is_shared;
    *out = region;
    return 0;
}

int job_region_open_with(struct job_runtime *runtime, const struct job_region_options *options, struct job_region **out)
{
    if (!runtime || !out || !options || options->size > TOTAL_BYTES_MAX || options->size_max > TOTAL_BYTES_MAX ||
        (options->size_max > 0 && options->size > options->size_max))
        return -EINVAL;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    struct region *region;
    bool is_mapped = options->is_shared || options->size_max > options->size;
    int err = is_mapped ? open_mapped(root, options, &region) : open_block(root, options->size, &region);
    if (err < 0)
        return err;
    region->root = root;
    region->base.job_size = options->size;
    region->size_max = max_size(options->size, options->size_max);
    region->references = 1;
    (void)pthread_mutex_init(&region->growing, NULL);   /* cannot fail without attributes */
    waitlist_init(&region->waitlist);
    (void)fetch_add_relaxed(&root->regions, 1);   /* ledger: orders nothing */
    *out = &region->base;
    return 0;
}

int job_region_open(struct job_runtime *runtime, size_t size, struct job_region **out)
{
    return job_region_open_with(runtime, &(struct job_region_options){.size = size}, out);
}

struct job_region *job_region_retain(struct job_region *region)
{
    if (!region || root_is_forked(region_of(region)->root))   /* a shared one's count is the parent's, and would outlive this child */
        return region;
    uint32_t before = fetch_add_relaxed(&region_of(region)->references, 1);   /* we hold one already: nothing to order */
    assert(before > 0);
    return region;
}

static void free_mapped(struct root *root, struct region *region)
{
    size_t charge = mapped_charge(region->base.job_size);
    (void)sys_release(region->cells - HEAD_BYTES, region->mapped_bytes);
    arena_uncharge(root->arena, charge);
}

void job_region_release(struct job_region **pointer)
{
    struct region *region = region_of(pointer ? *pointer : NULL);
    if (!region)
        return;
    *pointer = NULL;
    if (root_is_forked(region->root))   /* as in job_region_retain() */
        return;
    annotate_give(region);
    if (fetch_sub_acq_rel(&region->references, 1) > 1)   /* pairs with itself: the last one sees all writes */
        return;
    annotate_take(region);
    struct root *root = region->root;
    waitlist_fini(&region->waitlist);
    (void)pthread_mutex_destroy(&region->growing);
    (void)fetch_sub_relaxed(&root->regions, 1);   /* ledger */
    if (region->slot) {
        slot_put(region->slot);
    } else if (region->mapped_bytes > 0) {
        free_mapped(root, region);
    } else {
        size_t bytes = block_bytes(region->base.job_size);
        alloc_free(root, region);
        arena_uncharge(root->arena, bytes);
    }
}

struct root *region_root(const struct job_region *region)
{
    return region_of(region)->root;
}

struct waitlist *region_waitlist(struct job_region *region)
{
    return region_of(region)->is_shared ? NULL : &region_of(region)->waitlist;
}

size_t job_region_size(const struct job_region *region)
{
    return region ? load_acquire(&region->job_size) : 0;   /* pairs with store_release in job_region_grow */
}

int job_region_grow(struct job_region *base, size_t size)
{
    struct region *region = region_of(base);
    if (!region || size > region->size_max)
        return -EINVAL;
    if (root_is_forked(region->root))
        return -EPERM;
    int err = 0;
    (void)pthread_mutex_lock(&region->growing);
    size_t more = mapped_charge(max_size(size, base->job_size)) - mapped_charge(base->job_size);
    if (size < base->job_size)
        err = -EINVAL;
    else if (more > 0)
        err = arena_charge(region->root->arena, more);
    if (err == 0)
        store_release(&base->job_size, size);   /* pairs with load_acquire in job_region_size: the bytes are there, and zero */
    (void)pthread_mutex_unlock(&region->growing);
    return err;
}

/* A thread that sleeps until it is notified. */
struct region_sleeper {
    struct wait_node node;
    struct sleeper sleeper;
};

static void wake_sleeper(struct wait_node *node)
{
    sleeper_wake(&container_of(node, struct region_sleeper, node)->sleeper);
}

static int wait_here(struct region *region, const void *cell, size_t width, uint64_t expected, uint64_t deadline_ns,
                     const struct sys_stop *stops, unsigned stop_count)
{
    struct region_sleeper here = {.node.notified = wake_sleeper};
    int err = waitlist_enter(&region->waitlist, &here.node, cell, width, expected);
    if (err == 0)
        err = sleeper_wait(&here.sleeper, region->root, deadline_ns, stops, stop_count);
    if ((err != -ETIMEDOUT && err != -ECANCELED) || waitlist_leave(&region->waitlist, &here.node))
        return err;
    JOB_MARK(waitlist_notified_at_the_deadline);
    (void)sleeper_wait(&here.sleeper, region->root, TIME_NEVER, NULL, 0);   /* it is counted as woken, and its stack is written into */
    return 0;
}

/* In the kernel, together with other processes. */
static int wait_shared(struct region *region, void *cell, uint64_t expected, uint64_t deadline_ns,
                       const struct sys_stop *stops, unsigned stop_count)
{
    for (;;) {
        uint64_t left = deadline_ns == TIME_NEVER ? TIME_NEVER : time_left(deadline_ns, region->root->now_ns());
        if (left == 0)
            return -ETIMEDOUT;
        int err = sys_futex_wait_stoppable(cell, (uint32_t)expected, true, stops, stop_count, left);
        if (err != -EINTR && err != -ETIMEDOUT)
            return err;
    }
}

static int region_wait(struct job_region *base, size_t offset, size_t width, uint64_t expected, int64_t timeout_ns)
{
    struct region *region = region_of(base);
    void *cell = job_region_cell(base, offset, width);
    if (!cell)
        return -EINVAL;
    if (region->is_shared && width != sizeof(uint32_t))
        return -EOPNOTSUPP;
    if (!waitlist_cell_holds(cell, width, expected))
        return -EAGAIN;
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    const struct self *me = self_unless_forked();
    if (me->loop)
        return -EDEADLK;
    uint64_t now = region->root->now_ns();
    uint64_t deadline_ns = timeout_ns < 0 ? TIME_NEVER : time_after(now, (uint64_t)timeout_ns);
    if (me->line)
        line_wait(me->line, JOB_WAIT_REGION, now);
    struct sys_stop stops[SYS_STOPS_MAX];
    unsigned stop_count = self_stops(me, stops);
    int err = region->is_shared ? wait_shared(region, cell, expected, deadline_ns, stops, stop_count)
                                : wait_here(region, cell, width, expected, deadline_ns, stops, stop_count);
    annotate_take(cell);
    if (me->line)
        line_wake(me->root, me->line, region->root->now_ns());
    return err;
}

int job_region_wait32(struct job_region *region, size_t offset, uint32_t expected, int64_t timeout_ns)
{
    return region_wait(region, offset, sizeof expected, expected, timeout_ns);
}

int job_region_wait64(struct job_region *region, size_t offset, uint64_t expected, int64_t timeout_ns)
{
    return region_wait(region, offset, sizeof expected, expected, timeout_ns);
}

int job_region_notify(struct job_region *base, size_t offset, unsigned count)
{
    struct region *region = region_of(base);
    void *cell = job_region_cell(base, offset, sizeof(uint32_t));
    if (!cell)
        return -EINVAL;
    annotate_give(cell);
    if (count == 0)
        return 0;   /* the kernel would wake one */
    if (region->is_shared)
        return sys_futex_wake_shared(cell, count);
    return (int)waitlist_notify(&region->waitlist, cell, count);
}
