/* text.c — a strict UTF-8 reader: what it does not know for sure is shown as question marks.
 *
 * Refused besides broken sequences: control characters of both sets, the marks that reorder a line, and line separators.
 */
#include "text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool is_harmless(uint32_t character)
{
    static const struct { uint32_t first, last; } refused[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x61c, 0x61c},   {0x200b, 0x200f},   {0x2028, 0x202e},
        {0x2060, 0x206f}, {0xd800, 0xdfff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb},   {0xfffe, 0xffff},
        {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (character >= refused[i].first && character <= refused[i].last)
            return false;
    }
    return character <= 0x10ffff;
}

/* The length of the harmless character at `at`, 0 when there is none. */
static size_t character_length(const uint8_t *at, size_t max)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    if (length == 0 || length > max)
        return 0;
    uint32_t character = length == 1 ? at[0] : at[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        character = character << 6 | (at[i] & 0x3fU);
    }
    return character >= least[length] && is_harmless(character) ? length : 0;
}

void text_clean(const void *bytes, size_t max, char *out, size_t room)
{
    const uint8_t *at = bytes;
    size_t len = 0;
    while (max > 0 && *at) {
        size_t taken = character_length(at, max);
        size_t written = taken ? taken : 1;
        if (len + written >= room)
            break;
        if (taken)
            memcpy(out + len, at, taken);
        else
            out[len] = '?';
        len += written;
        at += written;
        max -= written;
    }
    out[len] = '\0';
}

size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

/* value / unit with one decimal when it is below ten. */
static const char *decimal(uint64_t value, uint64_t unit, const char *name, char *out)
{
    uint64_t whole = value / unit, tenth = value % unit / (unit / 10 ? unit / 10 : 1);
    if (whole < 10 && unit > 1)
        (void)snprintf(out, TEXT_FIGURE_BYTES, "%" PRIu64 ".%" PRIu64 " %s", whole, tenth < 10 ? tenth : 9, name);
    else
        (void)snprintf(out, TEXT_FIGURE_BYTES, "%" PRIu64 " %s", whole, name);
    return out;
}

const char *text_bytes(uint64_t bytes, text_figure out)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    unsigned i = 0;
    while (i + 1 < sizeof names / sizeof names[0] && bytes >> (10 * (i + 1)) > 0)
        i++;
    return decimal(bytes, (uint64_t)1 << (10 * i), names[i], out);
}

static const char *two_units(uint64_t value, uint64_t unit, const char *large, const char *small, char *out)
{
    (void)snprintf(out, TEXT_FIGURE_BYTES, "%" PRIu64 " %s %" PRIu64 " %s", value / unit, large, value % unit, small);
    return out;
}

const char *text_duration(uint64_t ns, text_figure out)
{
    const uint64_t second = 1000000000U;
    if (ns < 1000)
        return decimal(ns, 1, "ns", out);
    if (ns < 1000000)
        return decimal(ns, 1000, "us", out);
    if (ns < second)
        return decimal(ns, 1000000, "ms", out);
    if (ns < 60 * second)
        return decimal(ns, second, "s", out);
    if (ns < 3600 * second)
        return two_units(ns / second, 60, "min", "s", out);
    if (ns < 86400 * second)
        return two_units(ns / (60 * second), 60, "h", "min", out);
    return two_units(ns / (3600 * second), 24, "d", "h", out);
}
