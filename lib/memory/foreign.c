/* foreign.c — wraps memory that is not an arena's, and maps files: views of it, and one call when the last of them is gone.
 *
 * To everything else foreign memory is slots as any others, with pieces that are counted; only where a slot goes home it goes here instead.
 * A slot's lengths have 32 bits, so large memory has several; they count how many are left, and the last releases all.
 */
#include "memory/foreign.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/bits.h"
#include "base/sys.h"
#include "job/view.h"
#include "memory/piece.h"

enum { MAP_ALIGN_BYTES = 65536 };   /* the largest page that any kernel maps files by */

struct foreign {
    /* fixed */
    struct job_arena *arena;
    void (*release)(void *arg, void *memory, size_t len);
    void *arg;
    void *memory;
    size_t len;
    size_t count;
    /* any thread */
    atomic_u64 left;             /* slots of which a piece lives */
    struct slot slots[];
};

static const size_t foreign_bytes_max = (size_t)BUF_SEGMENTS_MAX * FOREIGN_PIECE_BYTES;

static struct job_buf *slot_wrap(struct foreign *foreign, size_t index)
{
    struct slot *slot = &foreign->slots[index];
    size_t at = index * FOREIGN_PIECE_BYTES;
    uint32_t len = (uint32_t)min_size(foreign->len - at, FOREIGN_PIECE_BYTES);
    slot->arena = foreign->arena;
    slot->memory = (uint8_t *)foreign->memory + at;
    slot->size = len;
    slot->index = (uint32_t)index;
    slot->class = SLOT_FOREIGN;
    store_relaxed(&slot->pieces, 1);   /* nobody else knows the slot */
    slot->home = (struct job_buf){
        .slot = slot,
        .data = slot->memory,
        .len = len,
        .high = len,
        .owner = BUF_SEGMENT,
        .is_home = true,
        .is_frozen = true,
    };
    return &slot->home;
}

static struct job_buf *make_view(struct foreign *foreign)
{
    struct job_buf *first = slot_wrap(foreign, 0), *last = first;
    for (size_t i = 1; i < foreign->count; i++) {
        last->next = slot_wrap(foreign, i);
        last = last->next;
    }
    first->owner = BUF_CODE;
    first->last = last;
    first->segments = (uint32_t)foreign->count;
    first->total = foreign->len;
    return first;
}

int job_buf_wrap(struct job_arena *arena, const void *memory, size_t len,
                 void (*release)(void *arg, void *memory, size_t len), void *arg, struct job_buf **view)
{
    if (!arena || !view || (!memory && len > 0) || len > foreign_bytes_max)
        return -EINVAL;
    size_t count = len > 0 ? (len - 1) / FOREIGN_PIECE_BYTES + 1 : 1;
    struct foreign *foreign = alloc_lines(arena->root, sizeof *foreign + count * sizeof(struct slot));
    if (!foreign)
        return -ENOMEM;
    foreign->arena = arena;
    foreign->release = release;
    foreign->arg = arg;
    foreign->memory = (void *)(uintptr_t)memory;   /* never written; its release may free it */
    foreign->len = len;
    foreign->count = count;
    store_relaxed(&foreign->left, count);          /* nobody else knows it */
    (void)fetch_add_relaxed(&arena->wraps, 1);     /* ledger: orders nothing */
    (void)fetch_add_relaxed(&arena->root->wraps, 1);   /* ledger: orders nothing */
    *view = make_view(foreign);
    buf_count(*view, 1);
    buf_count_views(*view, (int64_t)count);
    return 0;
}

void foreign_put(struct slot *slot)
{
    struct foreign *foreign = container_of(slot - slot->index, struct foreign, slots);
    struct job_arena *arena = foreign->arena;
    struct root *root = arena->root;
    annotate_give(foreign);
    if (fetch_sub_acq_rel(&foreign->left, 1) > 1)   /* pairs with itself: accesses to all of its slots are over */
        return;
    annotate_take(foreign);
    if (foreign->release)
        foreign->release(foreign->arg, foreign->memory, foreign->len);
    alloc_free(root, foreign);
    (void)fetch_sub_relaxed(&root->wraps, 1);       /* ledger: orders nothing */
    (void)fetch_sub_relaxed(&arena->wraps, 1);      /* ledger: orders nothing; last: from here on the arena may be closed */
}

/* The mapping begins at a page, the view perhaps behind that. */
static void unmap_view(void *mapped, void *memory, size_t len)
{
    (void)sys_release(mapped, (size_t)((uint8_t *)memory + len - (uint8_t *)mapped));   /* cannot fail: it is mapped */
}

int job_buf_map(struct job_arena *arena, int fd, uint64_t offset, size_t len, struct job_buf **view)
{
    uint64_t bytes;
    void *address;
    if (!arena || !view || len > foreign_bytes_max)
        return -EINVAL;
    int err = sys_file_bytes(fd, &bytes);
    if (err < 0)
        return err;
    if (offset > bytes || len > bytes - offset)
        return -EINVAL;
    if (len == 0)
        return job_buf_wrap(arena, NULL, 0, NULL, NULL, view);
    size_t before = offset % MAP_ALIGN_BYTES;
    err = sys_map_file(fd, offset - before, before + len, &address);
    if (err < 0)
        return err;
    err = job_buf_wrap(arena, (uint8_t *)address + before, len, unmap_view, address, view);
    if (err < 0)
        (void)sys_release(address, before + len);
    return err;
}
