/* text.h — bytes of strangers made fit for a terminal, and figures made fit for people. */
#ifndef JOBCTL_TEXT_H
#define JOBCTL_TEXT_H

#include <stddef.h>
#include <stdint.h>

enum { TEXT_FIGURE_BYTES = 32 };

typedef char text_figure[TEXT_FIGURE_BYTES];

/* Copies up to `max` bytes, or to the first 0, as valid UTF-8 without anything that a terminal acts upon: what is neither becomes a
 * question mark, byte by byte. `out` ends with 0; it is filled up to room - 1, never with half a character. */
void text_clean(const void *bytes, size_t max, char *out, size_t room);

/* How many characters a clean text has: its width, but for wide and combining ones. */
size_t text_width(const char *text);

/* 1 unit above, one decimal below ten: "812 B", "1.5 KiB"; "250 us", "12.3 s", "3 min 12 s". Cut, never rounded up. Return `out`. */
const char *text_bytes(uint64_t bytes, text_figure out);
const char *text_duration(uint64_t ns, text_figure out);

#endif
