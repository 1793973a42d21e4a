/* region.c — counted shared bytes, touched only by sequentially consistent atomic operations on checked cells.
 *
 * The struct and its cells are one block of the heap, charged to the runtime's arena: regions and bufs share one limit. When chunks have
 * all of it but are not full, a slot of theirs serves instead. Every owner holds a reference; the last release frees.
 */
#include "memory/region.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bits.h"
#include "base/limits.h"
#include "base/root.h"
#include "memory/arena.h"

struct job_region {
    struct root *root;
    struct slot *slot;   /* that it lies in; NULL: on the heap */
    size_t size;
    atomic_u32 references;
    uint8_t cells[] __attribute__((aligned(64)));
};

static const size_t size_max = (size_t)1 << 30;

static size_t block_bytes(size_t size)
{
    return round_up(sizeof(struct job_region) + size, CACHE_LINE);
}

static struct job_region *in_slot(struct job_arena *arena, size_t bytes)
{
    unsigned class = slot_class_for(bytes);
    if (class == SLOT_RUN) {
        arena_count_failed(arena);
        return NULL;
    }
    struct slot *slot = slot_take(arena, class);
    if (!slot)
        return NULL;
    struct job_region *region = memset(slot->memory, 0, bytes);
    region->slot = slot;
    return region;
}

int job_region_open(struct job_runtime *runtime, size_t size, struct job_region **out)
{
    if (!runtime || !out || size == 0 || size > size_max)
        return -EINVAL;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    struct job_region *region = NULL;
    bool is_charged = arena_charge(root->arena, block_bytes(size)) == 0;
    if (!is_charged)
        region = in_slot(root->arena, block_bytes(size));
    else if (!(region = alloc_lines(root, block_bytes(size))))
        arena_uncharge(root->arena, block_bytes(size));
    if (!region)
        return -ENOMEM;
    region->root = root;
    region->size = size;
    region->references = 1;
    (void)fetch_add_relaxed(&root->regions, 1);   /* ledger: orders nothing */
    *out = region;
    return 0;
}

struct job_region *job_region_retain(struct job_region *region)
{
    if (!region)
        return NULL;
    uint32_t before = fetch_add_relaxed(&region->references, 1);   /* we hold one already: nothing to order */
    assert(before > 0);
    return region;
}

void job_region_release(struct job_region **pointer)
{
    struct job_region *region = pointer ? *pointer : NULL;
    if (!region)
        return;
    *pointer = NULL;
    if (fetch_sub_acq_rel(&region->references, 1) > 1)   /* pairs with itself: the last one sees all writes */
        return;
    struct root *root = region->root;
    struct slot *slot = region->slot;
    size_t bytes = block_bytes(region->size);
    (void)fetch_sub_relaxed(&root->regions, 1);   /* ledger */
    if (slot) {
        slot_put(slot);
        return;
    }
    alloc_free(root, region);
    arena_uncharge(root->arena, bytes);
}

struct root *region_root(const struct job_region *region)
{
    return region->root;
}

size_t job_region_size(const struct job_region *region)
{
    return region ? region->size : 0;
}

/* The address of a cell of `width` bytes, or NULL: misaligned, or past the end. */
static void *cell(const struct job_region *region, size_t offset, size_t width)
{
    if (!region || offset % width != 0 || region->size < width || offset > region->size - width)
        return NULL;
    return (void *)(uintptr_t)(region->cells + offset);
}

#define DEFINE_ACCESS(bits)                                                                                            \
    int job_region_load##bits(const struct job_region *region, size_t offset, uint##bits##_t *value)                   \
    {                                                                                                                  \
        uint##bits##_t *at = cell(region, offset, sizeof *at);                                                         \
        if (!at || !value)                                                                                             \
            return -EINVAL;                                                                                            \
        *value = load_seq_cst(at); /* pairs with store_seq_cst and the others here: what the user shares */            \
        return 0;                                                                                                      \
    }                                                                                                                  \
    int job_region_store##bits(struct job_region *region, size_t offset, uint##bits##_t value)                         \
    {                                                                                                                  \
        uint##bits##_t *at = cell(region, offset, sizeof *at);                                                         \
        if (!at)                                                                                                       \
            return -EINVAL;                                                                                            \
        store_seq_cst(at, value); /* pairs with load_seq_cst above */                                                  \
        return 0;                                                                                                      \
    }                                                                                                                  \
    int job_region_compare_exchange##bits(struct job_region *region, size_t offset, uint##bits##_t *expected,          \
                                          uint##bits##_t value)                                                        \
    {                                                                                                                  \
        uint##bits##_t *at = cell(region, offset, sizeof *at);                                                         \
        if (!at || !expected)                                                                                          \
            return -EINVAL;                                                                                            \
        (void)cas_seq_cst(at, expected, value); /* pairs with all accesses here; *expected tells what was found */     \
        return 0;                                                                                                      \
    }

#define DEFINE_MODIFY(name, bits, operation)                                                                           \
    int job_region_##name##bits(struct job_region *region, size_t offset, uint##bits##_t value, uint##bits##_t *old)   \
    {                                                                                                                  \
        uint##bits##_t *at = cell(region, offset, sizeof *at);                                                         \
        if (!at)                                                                                                       \
            return -EINVAL;                                                                                            \
        uint##bits##_t before = operation(at, value);                                                                  \
        if (old)                                                                                                       \
            *old = before;                                                                                             \
        return 0;                                                                                                      \
    }

#define DEFINE_WIDTH(bits)                                                                                             \
    DEFINE_ACCESS(bits)                                                                                                \
    DEFINE_MODIFY(exchange, bits, exchange_seq_cst) /* each pairs with all accesses here */                            \
    DEFINE_MODIFY(add, bits, fetch_add_seq_cst)     /* pairs with all accesses here */                                 \
    DEFINE_MODIFY(sub, bits, fetch_sub_seq_cst)     /* pairs with all accesses here */                                 \
    DEFINE_MODIFY(and, bits, fetch_and_seq_cst)     /* pairs with all accesses here */                                 \
    DEFINE_MODIFY(or, bits, fetch_or_seq_cst)       /* pairs with all accesses here */                                 \
    DEFINE_MODIFY(xor, bits, fetch_xor_seq_cst)     /* pairs with all accesses here */

DEFINE_WIDTH(32)
DEFINE_WIDTH(64)
