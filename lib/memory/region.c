/* region.c — counted shared bytes, touched only by sequentially consistent atomic operations on checked cells.
 *
 * The struct and its cells are one block. Every owner holds a reference; the last release frees.
 */
#include "job/region.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/root.h"

struct job_region {
    struct root *root;
    size_t size;
    atomic_u32 references;
    uint8_t cells[] __attribute__((aligned(64)));
};

static const size_t size_max = (size_t)1 << 30;

int job_region_open(struct job_runtime *runtime, size_t size, struct job_region **out)
{
    if (!runtime || !out || size == 0 || size > size_max)
        return -EINVAL;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    struct job_region *region = alloc_lines(root, sizeof *region + size);
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
    (void)fetch_sub_relaxed(&root->regions, 1);   /* ledger */
    alloc_free(root, region);
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
