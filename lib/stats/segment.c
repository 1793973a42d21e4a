/* segment.c — makes the statistics segment, fills in what does not change, and hands out its records.
 *
 * The memfd stays open for the life of the runtime: a reader finds it as /proc/PID/fd/N, and the kernel's ptrace rule
 * decides who may.
 *
 * A record that threads take and give back (a line, an arena) is read by another process at any time, without a lock.
 * Its first word is free (0), STATS_CLAIMED, or a kind.
 *
 *   writer 1 free → claimed, by compare-and-swap     reader a kind, acquire; free or claimed ends it
 *          2 generation + 1                                 b generation
 *          3 fence                                          c copies the record
 *          4 the fields                                     d fence
 *          5 claimed → kind, release                        e kind and generation again; others than before: anew
 *          6 kind → free, release
 *
 * Narrowest moment: a record is given back and taken again between a and e, with the same kind. A field of the new
 * owner in the copy was stored behind 3, so e finds the generation of 2, or a later one. Rejected: a lock (no reader
 * may stop the writer, and its mapping is read-only); an odd and even count (the kind says the same). Accepted:
 * counters and times are single words that go on changing: they are not of one moment.
 */
#include "stats/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bits.h"
#include "base/limits.h"
#include "base/root.h"
#include "base/sys.h"
#include "stats/names.h"
#include "stats/stats.h"

static uint32_t add_table(struct stats_header *header, uint32_t kind, uint32_t stride, uint32_t count, uint32_t offset)
{
    assert(header->table_count < STATS_TABLES);
    header->tables[header->table_count++] = (struct stats_table){kind, offset, stride, count};
    return (uint32_t)round_up(offset + stride * count, CACHE_LINE);
}

static uint32_t lay_out(struct stats_header *header)
{
    uint32_t end = sizeof *header;
    header->table_count = 0;
    end = add_table(header, STATS_TABLE_THREADS, sizeof(struct stats_line), STATS_THREADS_MAX, end);
    end = add_table(header, STATS_TABLE_ARENAS, sizeof(struct stats_arena), STATS_ARENAS_MAX, end);
    end = add_table(header, STATS_TABLE_COUNTER_NAMES, STATS_NAME_BYTES, COUNTER_COUNT, end);
    end = add_table(header, STATS_TABLE_WAIT_NAMES, STATS_NAME_BYTES, JOB_WAIT_COUNT, end);
    end = add_table(header, STATS_TABLE_KIND_NAMES, STATS_NAME_BYTES, LINE_KINDS, end);
    return add_table(header, STATS_TABLE_FEATURE_NAMES, STATS_NAME_BYTES, FEATURE_COUNT, end);
}

static void *table_at(struct stats_header *header, enum stats_table_kind kind)
{
    uint32_t i = 0;
    while (i < header->table_count && header->tables[i].kind != (uint32_t)kind)
        i++;
    assert(i < header->table_count);
    return (char *)header + header->tables[i].offset;
}

static void put_name(struct stats_header *header, enum stats_table_kind table, unsigned index, const char *name)
{
    char(*names)[STATS_NAME_BYTES] = table_at(header, table);
    strncpy(names[index], name, STATS_NAME_BYTES - 1);   /* the memory is zero: it ends */
}

static void put_names(struct stats_header *header)
{
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        put_name(header, STATS_TABLE_COUNTER_NAMES, i, counter_name((enum counter)i));
    for (unsigned i = 0; i < JOB_WAIT_COUNT; i++)
        put_name(header, STATS_TABLE_WAIT_NAMES, i, wait_name((enum job_wait)i));
    for (unsigned i = 0; i < LINE_KINDS; i++)
        put_name(header, STATS_TABLE_KIND_NAMES, i, line_kind_name((enum line_kind)i));
    for (unsigned i = 0; i < FEATURE_COUNT; i++)
        put_name(header, STATS_TABLE_FEATURE_NAMES, i, feature_name((enum feature)i));
}

/* Field 22 of /proc/self/stat; 0 where there is no /proc. The name in parentheses may hold anything, so it is looked
 * for from behind. */
static uint64_t start_ticks(void)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return 0;
    size_t len = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);   /* was only read */
    text[len] = '\0';
    char *at = strrchr(text, ')');
    for (unsigned field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

static void fill_header(struct stats_header *header, const struct root *root, const char *name, size_t size)
{
    (void)lay_out(header);
    header->major = STATS_MAJOR;
    header->minor = STATS_MINOR;
    header->size = size;
    header->pid = (uint32_t)root->pid;
    header->start_ticks = start_ticks();
    header->clock_id = CLOCK_MONOTONIC;
    header->opened_ns = root->now_ns();
    strncpy(header->name, name, sizeof header->name - 1);
    strncpy(header->version, job_version_text, sizeof header->version - 1);
    put_names(header);
}

int stats_open(struct root *root, const char *name, struct stats **out)
{
    struct stats_header plan = {0};
    uint32_t size = lay_out(&plan);
    struct stats *stats = alloc_zeroed(root, sizeof *stats);
    if (!stats)
        return -ENOMEM;
    stats->root = root;
    stats->size = size;
    void *memory = NULL;
    int err = sys_memfd_shared(STATS_MEMFD_NAME, size, &stats->fd, &memory);
    if (err < 0) {
        alloc_free(root, stats);
        return err;
    }
    struct stats_header *header = stats->header = memory;
    fill_header(header, root, name, size);
    stats_set_features(stats, root->features.available, root->features.disabled);
    stats->lines = table_at(header, STATS_TABLE_THREADS);
    stats->arenas = table_at(header, STATS_TABLE_ARENAS);
    uint64_t magic;
    memcpy(&magic, STATS_MAGIC, sizeof magic);
    store_release((atomic_u64 *)header->magic, magic);   /* last, pairs with the reader's load: it sees the rest */
    *out = stats;
    return 0;
}

void stats_close(struct root *root, struct stats **pointer)
{
    struct stats *stats = *pointer;
    if (!stats)
        return;
    *pointer = NULL;
    (void)munmap(stats->header, stats->size);
    (void)sys_close(stats->fd);
    alloc_free(root, stats);
}

void stats_set_features(struct stats *stats, uint32_t available, uint32_t disabled)
{
    if (!stats)
        return;
    store_relaxed(&stats->header->features_available, available);   /* figures for people: no order */
    store_relaxed(&stats->header->features_disabled, disabled);
}

bool stats_record_claim(atomic_u32 *kind, atomic_u32 *generation)
{
    uint32_t expected = 0;
    if (!cas_acq_rel(kind, &expected, STATS_CLAIMED))   /* pairs with store_release in line_release */
        return false;
    store_relaxed(generation, load_relaxed(generation) + 1);   /* ours alone now */
    fence_seq_cst();   /* step 3 above; pairs with the reader's fence, step d */
    return true;
}

struct stats_arena *stats_arena_claim(struct stats *stats, const char *name)
{
    for (unsigned i = 0; stats && i < STATS_ARENAS_MAX; i++) {
        struct stats_arena *arena = &stats->arenas[i];
        if (!stats_record_claim(&arena->kind, &arena->generation))
            continue;
        stats_arena_publish(arena, &(struct stats_arena_figures){0});
        memset(arena->name, 0, sizeof arena->name);
        strncpy(arena->name, name, sizeof arena->name - 1);
        arena->opened_ns = stats->root->now_ns();
        store_release(&arena->kind, (uint32_t)STATS_ARENA_OPEN);   /* pairs with the reader's first load of kind */
        return arena;
    }
    return NULL;
}

void stats_arena_release(struct stats_arena *arena)
{
    if (arena)
        store_release(&arena->kind, (uint32_t)STATS_ARENA_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
}

void stats_arena_publish(struct stats_arena *arena, const struct stats_arena_figures *figures)
{
    if (!arena)
        return;
    store_relaxed(&arena->limit_bytes, figures->limit_bytes);   /* figures for people: no order */
    store_relaxed(&arena->committed_bytes, figures->committed_bytes);
    store_relaxed(&arena->used_bytes, figures->used_bytes);
    store_relaxed(&arena->held_bytes, figures->held_bytes);
    store_relaxed(&arena->starved, figures->starved);
    store_relaxed(&arena->failed, figures->failed);
}
