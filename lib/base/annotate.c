/* annotate.c — the quarantine of checked builds: a pattern in free memory that nobody may have changed.
 *
 * A slot that was never used is zero, one that was freed holds the pattern; both are accepted, byte for byte all the same. Large slots
 * are filled and verified at their beginning only, where the kernel would write first.
 */
#include "base/annotate.h"

#ifdef JOB_CHECKED

#include <string.h>

#include "base/bits.h"

enum { PATTERN = 0xDD, QUARANTINE_BYTES_MAX = 16384 };

void quarantine_fill(uint8_t *memory, size_t size)
{
    memset(memory, PATTERN, min_size(size, QUARANTINE_BYTES_MAX));
}

void quarantine_verify(const uint8_t *memory, size_t size)
{
    size_t len = min_size(size, QUARANTINE_BYTES_MAX);
    bool is_untouched = memory[0] == PATTERN || memory[0] == 0;
    bool is_uniform = memcmp(memory, memory + 1, len - 1) == 0;
    assert(is_untouched && is_uniform);   /* somebody wrote into a free slot */
}

#endif
