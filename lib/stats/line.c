/* line.c — claims a line of the segment for a thread, or a private one when there is no room.
 *
 * A line is free, claimed by one compare-and-swap on `kind` (LINE_FREE to LINE_CLAIMED), filled in, and published by storing its real
 * kind. It is released by storing LINE_FREE: a reader that sees another kind before and after its copy has a whole record.
 */
#include "stats/line.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/root.h"
#include "base/sys.h"
#include "stats/stats.h"

enum { LINE_CLAIMED = 0x80000000 };   /* being filled in: readers pass it over */

_Static_assert(offsetof(struct stats_line, kind) == 0 && offsetof(struct stats_line, name) == 8 &&
                   offsetof(struct stats_line, started_ns) == 40 && offsetof(struct stats_line, wait) == 48 &&
                   offsetof(struct stats_line, since_ns) == 56 && offsetof(struct stats_line, running) == 64 &&
                   offsetof(struct stats_line, counters) == 72,
               "the layout of job.stats.v1");

static struct stats_line *find_free(struct stats *stats)
{
    for (unsigned i = 0; i < STATS_THREADS_MAX; i++) {
        uint32_t kind = LINE_FREE;
        if (cas_acq_rel(&stats->lines[i].kind, &kind, LINE_CLAIMED))   /* pairs with store_release in line_release */
            return &stats->lines[i];
    }
    return NULL;
}

struct stats_line *line_claim(struct root *root, enum line_kind kind, const char *name)
{
    struct stats_line *line = root->stats ? find_free(root->stats) : NULL;
    if (!line)
        line = alloc_lines(root, sizeof *line);
    if (!line)
        return NULL;
    memset((char *)line + sizeof line->kind, 0, sizeof *line - sizeof line->kind);
    strncpy(line->name, name, sizeof line->name - 1);
    line->tid = (uint32_t)sys_gettid();
    line->started_ns = root->now_ns();
    store_release(&line->kind, (uint32_t)kind);   /* pairs with the reader's copy: the name is visible first */
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
    if (is_in_segment(root->stats, line))
        store_release(&line->kind, (uint32_t)LINE_FREE);   /* pairs with cas_acq_rel in find_free */
    else
        alloc_free(root, line);
}
