/* segment.c — makes the statistics segment, and fills in what does not change.
 *
 * The memfd stays open for the life of the runtime: a reader finds it as /proc/PID/fd/N, and the kernel's ptrace rule
 * decides who may.
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
    end = add_table(header, STATS_TABLE_QUEUES, sizeof(struct stats_queue), STATS_QUEUES_MAX, end);
    end = add_table(header, STATS_TABLE_WORKERS, sizeof(struct stats_worker), STATS_WORKERS_MAX, end);
    end = add_table(header, STATS_TABLE_POOLS, sizeof(struct stats_pool), STATS_POOLS_MAX, end);
    end = add_table(header, STATS_TABLE_PARTS, sizeof(struct stats_part), STATS_PARTS_MAX, end);
    end = add_table(header, STATS_TABLE_RPCS, sizeof(struct stats_rpc), STATS_RPCS_MAX, end);
    end = add_table(header, STATS_TABLE_TOPICS, sizeof(struct stats_topic), STATS_TOPICS_MAX, end);
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
    stats_set_features(stats, load_relaxed(&root->features.available), root->features.disabled);   /* nobody else knows it yet */
    stats->lines = table_at(header, STATS_TABLE_THREADS);
    stats->arenas = table_at(header, STATS_TABLE_ARENAS);
    stats->queues = table_at(header, STATS_TABLE_QUEUES);
    stats->workers = table_at(header, STATS_TABLE_WORKERS);
    stats->pools = table_at(header, STATS_TABLE_POOLS);
    stats->parts = table_at(header, STATS_TABLE_PARTS);
    stats->rpcs = table_at(header, STATS_TABLE_RPCS);
    stats->topics = table_at(header, STATS_TABLE_TOPICS);
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
