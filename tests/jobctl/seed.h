/* seed.h — a small segment that no library wrote, in the test's own process, so that the sanitizers see each access.
 *
 * It has everything that a real one has, in a few KiB, so that each byte can be tried with each bit.
 */
#ifndef TESTS_JOBCTL_SEED_H
#define TESTS_JOBCTL_SEED_H

#include "reader.h"
#include "stats/stats.h"

enum {
    LINES = 3,
    ARENAS = 2,
    QUEUES = 3,
    WORKERS = 2,
    POOLS = 2,
    PARTS = 3,
    RPCS = 2,
    TOPICS = 2,
    NAMES = 6,
    SEGMENT_MAX = 5120,
};

/* What was tried, so that a run that tries nothing does not pass. */
extern unsigned tried, parsed;

/* The seed, and its copy that tests change. Records are written in place. */
extern uint8_t whole[SEGMENT_MAX], changed[SEGMENT_MAX];
extern size_t seed_size;

/* Writes both anew. */
void seed_set_up(void);

/* One more entry of a header's list; where its table ends. */
uint32_t add_table(struct stats_header *header, uint32_t kind, uint32_t stride, uint32_t count, uint32_t offset);

/* As jobctl does it; each block has exactly the size, so that a sanitizer sees one byte too many. */
enum reader_result try(const uint8_t *segment, size_t size);

#endif
