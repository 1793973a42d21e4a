/* range.c — the texts are English whatever the user speaks: main() sets no locale. */
#include "range.h"

#include <string.h>
#include <strings.h>

/* Digits, as many as there are; too many are as good as infinite. False: there is none. */
static bool take_number(const char **at, uint64_t *number)
{
    const char *begin = *at;
    *number = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    return *at > begin;
}

enum range_kind range_parse(const char *value, uint64_t size, uint64_t *offset, uint64_t *len)
{
    static const char unit[] = "bytes=";
    uint64_t first, last;
    if (strncasecmp(value, unit, sizeof unit - 1) != 0)
        return RANGE_NONE;
    const char *at = value + sizeof unit - 1;
    bool has_first = take_number(&at, &first);
    if (*at++ != '-')
        return RANGE_NONE;
    bool has_last = take_number(&at, &last);
    if (*at != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first))
        return RANGE_NONE;
    if (!has_first) {   /* the last so many */
        first = last < size ? size - last : 0;
        if (last == 0)
            return RANGE_UNSATISFIABLE;
    }
    if (first >= size)
        return RANGE_UNSATISFIABLE;
    *offset = first;
    *len = has_first && has_last && last < size - 1 ? last - first + 1 : size - first;
    return RANGE_PART;
}

void date_format(time_t time, char date[static DATE_SIZE])
{
    struct tm tm;
    if (!gmtime_r(&time, &tm) || strftime(date, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
        strcpy(date, "Thu, 01 Jan 1970 00:00:00 GMT");   /* a year beyond 9999 has no such date */
}

bool date_parse(const char *date, time_t *time)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = {0};
        const char *end = strptime(date, forms[i], &tm);
        if (end && *end == '\0') {
            *time = timegm(&tm);
            return true;
        }
    }
    return false;
}
