/* alloc.c — malloc with a count of what lives, kept in the root. */
#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/limits.h"
#include "base/root.h"

static void *counted(struct root *root, void *memory, size_t bytes)
{
    if (!memory)
        return NULL;
    memset(memory, 0, bytes);
    (void)fetch_add_relaxed(&root->allocations, 1);   /* a count, read at close and by tests: orders nothing */
    return memory;
}

void *alloc_zeroed(struct root *root, size_t bytes)
{
    return counted(root, malloc(bytes), bytes);
}

void *alloc_lines(struct root *root, size_t bytes)
{
    size_t rounded = round_up(bytes, CACHE_LINE);
    return counted(root, aligned_alloc(CACHE_LINE, rounded), rounded);
}

void alloc_free(struct root *root, void *memory)
{
    if (!memory)
        return;
    (void)fetch_sub_relaxed(&root->allocations, 1);   /* as above */
    free(memory);
}
