/* condition.c — RFC 9110, 13.2.2: the four conditions in their order, of which a stronger one hides a weaker one; then If-Range.
 *
 * Versions have dates here and no entity tags. So a tag that a client names is never ours, and "*" is whatever there is.
 */
#include "condition.h"
#include "range.h"

#include <string.h>

static bool has(const struct request *request, enum header header)
{
    return request->counts[header] > 0;
}

static bool is_any(const struct request *request, enum header header)
{
    return strcmp(request->values[header], "*") == 0;
}

/* False: there is no such header, or it is twice there, or no date; it is to be ignored. */
static bool date_of(const struct request *request, enum header header, time_t *time)
{
    return request->counts[header] == 1 && date_parse(request->values[header], time);
}

int condition_check(const struct request *request, time_t modified)
{
    time_t time;
    if (has(request, HEADER_IF_MATCH) && !is_any(request, HEADER_IF_MATCH))
        return 412;
    if (!has(request, HEADER_IF_MATCH) && date_of(request, HEADER_IF_UNMODIFIED_SINCE, &time) && modified > time)
        return 412;
    if (has(request, HEADER_IF_NONE_MATCH))
        return is_any(request, HEADER_IF_NONE_MATCH) ? 304 : 0;
    return date_of(request, HEADER_IF_MODIFIED_SINCE, &time) && modified <= time ? 304 : 0;
}

/* A date stands for one version only when its second is over: until then the next version may have the same. */
static bool is_version_of(const struct request *request, time_t modified, time_t now)
{
    time_t time;
    return date_of(request, HEADER_IF_RANGE, &time) && time == modified && modified + 1 < now;
}

bool condition_wants_range(const struct request *request, time_t modified, time_t now)
{
    return request->method == HTTP_GET && request->counts[HEADER_RANGE] == 1 &&
           (!has(request, HEADER_IF_RANGE) || is_version_of(request, modified, now));
}
