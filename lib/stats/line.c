/* line.c — claims a line of the segment for a thread, or a private one when there is no room.
 *
 * A line is free, claimed by one compare-and-swap on `kind`, filled in, and published by storing its real kind; it is
 * released by storing LINE_FREE. How a reader sees no half of it stands in record.c.
 */
#include "stats/line.h"

#include <string.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/root.h"
#include "base/sys.h"
#include "stats/stats.h"

_Static_assert(offsetof(struct stats_line, kind) == 0 && offsetof(struct stats_line, tid) == 4 &&
                   offsetof(struct stats_line, name) == 8 && offsetof(struct stats_line, started_ns) == 40 &&
                   offsetof(struct stats_line, wait) == 48 && offsetof(struct stats_line, generation) == 52 &&
                   offsetof(struct stats_line, since_ns) == 56 && offsetof(struct stats_line, running) == 64 &&
                   offsetof(struct stats_line, counters) == 72,
               "the layout of job.stats.v1");

static struct stats_line *find_free(struct stats *stats)
{
    for (unsigned i = 0; i < STATS_THREADS_MAX; i++) {
        struct stats_line *line = &stats->lines[i];
        if (stats_record_claim(&line->kind, &line->generation))
            return line;
    }
    return NULL;
}

/* Word by word, since a reader of the line before may still be copying it. */
static void clear(struct stats_line *line)
{
    store_relaxed(&line->wait, JOB_WAIT_NONE);   /* no order among these: all are behind the claim */
    store_relaxed(&line->since_ns, 0);
    store_relaxed(&line->running, 0);
    line_object(line, NULL, NULL);
    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        store_relaxed(&line->counters[i], 0);
    memset(line->name, 0, sizeof line->name);
}

struct stats_line *line_claim(struct root *root, enum line_kind kind, const char *name)
{
    struct stats_line *line = root->stats ? find_free(root->stats) : NULL;
    if (!line)
        line = alloc_lines(root, sizeof *line);
    if (!line)
        return NULL;
    annotate_take(line);
    clear(line);
    strncpy(line->name, name, sizeof line->name - 1);
    store_relaxed(&line->tid, (uint32_t)sys_gettid());   /* behind the claim, as the rest */
    line->started_ns = root->now_ns();
    store_release(&line->kind, (uint32_t)kind);   /* pairs with the reader's first load of it */
    return line;
}

static bool is_in_segment(const struct stats *stats, const struct stats_line *line)
{
    return stats && line >= stats->lines && line < stats->lines + STATS_THREADS_MAX;
}

void line_release(struct root *root, struct stats_line *line)
{
    if (!line)
        return;
    annotate_give(line);
    if (is_in_segment(root->stats, line))
        store_release(&line->kind, (uint32_t)LINE_FREE);   /* pairs with cas_acq_rel in stats_record_claim */
    else
        alloc_free(root, line);
}
