/* chunks.c — a state a byte, and no leniency: where a chunked body ends must be the same for everybody.
 *
 *      size ─▶ [[blanks] ; extension] ─▶ LF ─▶ data ─▶ CR ─▶ LF ─▶ size …
 *                                         └─ size 0 ─▶ trailer lines ─▶ empty line: the end
 */
#include "chunks.h"

#include <string.h>

enum {
    SIZE_FIRST, SIZE, BLANK, EXTENSION, SIZE_LF,
    DATA, DATA_CR, DATA_LF,
    TRAILER_FIRST, TRAILER, TRAILER_LF, END_LF,
    END, WRONG,
};

static const uint64_t size_max = UINT64_C(1) << 48;   /* beyond any limit of ours, and far from an overflow */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c);
    return c != '\0' && at ? (int)(at - digits) : -1;
}

/* Behind a size: only an extension follows blanks. */
static unsigned on_blank(struct chunks *chunks, char c)
{
    if (c == ';')
        return EXTENSION;
    return (c == ' ' || c == '\t') && ++chunks->ignored <= CHUNK_LINES_MAX ? BLANK : WRONG;
}

static unsigned on_size(struct chunks *chunks, char c)
{
    int digit = hex_digit(c);
    if (chunks->state == SIZE_FIRST)
        chunks->digits = 0;
    else if (digit < 0)
        return c == '\r' ? SIZE_LF : on_blank(chunks, c);
    if (digit < 0 || ++chunks->digits > CHUNK_DIGITS_MAX || chunks->left >= size_max / 16)
        return WRONG;
    chunks->left = chunks->left * 16 + (uint64_t)digit;
    return SIZE;
}

/* Text that nobody reads, up to CR. */
static unsigned on_ignored(struct chunks *chunks, char c, unsigned at_end)
{
    if (c == '\r')
        return at_end;
    return c == '\n' || c == '\0' || ++chunks->ignored > CHUNK_LINES_MAX ? WRONG : chunks->state;
}

static unsigned on_byte(struct chunks *chunks, char c)
{
    switch (chunks->state) {
    case SIZE_FIRST: case SIZE: return on_size(chunks, c);
    case BLANK: return on_blank(chunks, c);
    case EXTENSION: return on_ignored(chunks, c, SIZE_LF);
    case SIZE_LF: return c != '\n' ? WRONG : chunks->left > 0 ? DATA : TRAILER_FIRST;
    case DATA_CR: return c == '\r' ? DATA_LF : WRONG;
    case DATA_LF: return c == '\n' ? SIZE_FIRST : WRONG;
    case TRAILER_FIRST:
        chunks->state = TRAILER;
        return on_ignored(chunks, c, END_LF);
    case TRAILER: return on_ignored(chunks, c, TRAILER_LF);
    case TRAILER_LF: return c == '\n' ? TRAILER_FIRST : WRONG;
    case END_LF: return c == '\n' ? END : WRONG;
    default: return WRONG;
    }
}

enum chunks_event chunks_feed(struct chunks *chunks, const char *bytes, size_t len, size_t *used, size_t *data_len)
{
    *used = *data_len = 0;
    while (*used < len) {
        if (chunks->state == DATA) {
            size_t left = len - *used;
            *data_len = chunks->left < left ? (size_t)chunks->left : left;
            *used += *data_len;
            chunks->left -= *data_len;
            if (chunks->left == 0)
                chunks->state = DATA_CR;
            return CHUNKS_DATA;
        }
        chunks->state = on_byte(chunks, bytes[*used]);
        (*used)++;
        if (chunks->state == END || chunks->state == WRONG)
            return chunks->state == END ? CHUNKS_END : CHUNKS_WRONG;
    }
    return CHUNKS_MORE;
}
