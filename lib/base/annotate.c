/* annotate.c — a look at the user's memory, and the quarantine of checked builds: a pattern in free memory that nobody may have changed.
 *
 * A slot that was never used is zero, one that was freed holds the pattern; both are accepted, byte for byte all the same. Large slots
 * are filled and verified at their beginning only, where the kernel would write first.
 */
#include "base/annotate.h"

void annotate_look(const void *address, size_t size)
{
    void *bad = __asan_region_is_poisoned((void *)(uintptr_t)address, size);
    void *frame = __builtin_frame_address(0);
    if (bad)
        __asan_report_error(__builtin_return_address(0), frame, frame, bad, 0, 1);
}

#ifdef JOB_CHECKED

#include <string.h>

#include "base/bits.h"

enum { PATTERN = 0xDD, QUARANTINE_BYTES_MAX = 16384 };

void quarantine_fill(uint8_t *memory, size_t size)
{
    memset(memory, PATTERN, min_size(size, QUARANTINE_BYTES_MAX));
}

bool quarantine_is_intact(const uint8_t *memory, size_t from, size_t to)
{
    to = min_size(to, QUARANTINE_BYTES_MAX);
    if (from >= to)
        return true;
    uint8_t first = memory[from];
    return (first == PATTERN || first == 0) && memcmp(memory + from, memory + from + 1, to - from - 1) == 0;
}

#endif
