/* segment.h — the layout of job.stats.v1: what a process shows to whoever may read its memory.
 *
 * A sealed memfd, mapped: its size cannot change and nobody else can write it. A header, then tables of records of one stride each.
 * Readers (jobctl) use the header's offsets, strides and counts, never these structs' sizes, so records may grow at the end. Names of
 * counters and wait reasons are in the segment itself, so an older reader shows what a newer library counts. docs/stats-segment.md
 * tells the same for those who write a reader.
 */
#ifndef JOB_STATS_SEGMENT_H
#define JOB_STATS_SEGMENT_H

#include <stdint.h>

#include "stats/line.h"

#define STATS_MEMFD_NAME "job.stats.v1"
#define STATS_MAGIC "JOBSTATS"

enum { STATS_MAJOR = 1, STATS_MINOR = 0, STATS_TABLES = 8, STATS_NAME_BYTES = 32 };

enum stats_table_kind {
    STATS_TABLE_NONE,
    STATS_TABLE_THREADS,         /* struct stats_line */
    STATS_TABLE_COUNTER_NAMES,   /* char[32], in the order of enum counter */
    STATS_TABLE_WAIT_NAMES,      /* char[32], in the order of enum job_wait */
    STATS_TABLE_KIND_NAMES,      /* char[32], in the order of enum line_kind */
    STATS_TABLE_FEATURE_NAMES,   /* char[32], in the order of the bits in the header */
    STATS_TABLE_RECORDER,        /* reserved: a flight recorder a thread */
};

struct stats_table {
    uint32_t kind;               /* enum stats_table_kind */
    uint32_t offset;             /* from the beginning of the segment */
    uint32_t stride;
    uint32_t count;
};

struct stats_header {
    char magic[8];
    uint32_t major;              /* another one: another layout */
    uint32_t minor;              /* higher: more at the ends of records, more tables */
    uint64_t size;
    uint32_t pid;
    uint32_t features_available; /* bits in the order of STATS_TABLE_FEATURE_NAMES */
    uint32_t features_disabled;
    uint32_t table_count;
    uint64_t opened_ns;          /* CLOCK_MONOTONIC, as all times here */
    char name[STATS_NAME_BYTES];
    char version[STATS_NAME_BYTES];
    uint64_t reserved[2];
    struct stats_table tables[STATS_TABLES];
};

_Static_assert(sizeof(struct stats_header) == 256 && sizeof(struct stats_line) % 64 == 0, "the layout is fixed");

struct root;
struct stats;

/* 0, or -ENOMEM, -EMFILE, -ENFILE. */
int stats_open(struct root *root, const char *name, struct stats **stats);
void stats_close(struct root *root, struct stats **stats);   /* NULL is fine */

/* After features were probed: what the header says of them. Any thread. */
void stats_set_features(struct stats *stats, uint32_t available, uint32_t disabled);

#endif
