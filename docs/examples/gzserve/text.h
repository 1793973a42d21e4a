/* text.h — text that is put together in memory of somebody else's, without printf: an answer's head is written for each request.
 *
 * What does not fit is left out and remembered: whoever chose the memory asks once, at the end.
 */
#ifndef GZSERVE_TEXT_H
#define GZSERVE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    char *at;
    size_t len, room;
    bool is_cut;
};

static inline void text_bytes(struct text *text, const char *bytes, size_t len)
{
    if (len > text->room - text->len) {
        text->is_cut = true;
        return;
    }
    memcpy(text->at + text->len, bytes, len);
    text->len += len;
}

static inline void text_string(struct text *text, const char *string)
{
    text_bytes(text, string, strlen(string));
}

static inline void text_number(struct text *text, uint64_t number)
{
    char digits[20];
    size_t begin = sizeof digits;
    do
        digits[--begin] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    text_bytes(text, digits + begin, sizeof digits - begin);
}

/* A byte of a path, as it may stand in a URL. */
static inline void text_escaped(struct text *text, char c)
{
    static const char plain[] = "-._~/", digits[] = "0123456789ABCDEF";
    bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    uint8_t byte = (uint8_t)c;
    if (is_alphanumeric || memchr(plain, c, sizeof plain - 1))
        text_bytes(text, &c, 1);
    else
        text_bytes(text, (char[]){'%', digits[byte >> 4], digits[byte & 15]}, 3);
}

#endif
