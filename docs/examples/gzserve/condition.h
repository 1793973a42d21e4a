/* condition.h — requests that are to be served only if the client's copy is of another version, or of the same. */
#ifndef GZSERVE_CONDITION_H
#define GZSERVE_CONDITION_H

#include "request.h"

#include <time.h>

/* For what was changed last at `modified`. 0: to be served; 304: the client has it; 412: it is not the version that the client means. */
int condition_check(const struct request *request, time_t modified);

/* Whether the part is wanted that Range names, else all of it: also when it cannot be told whether the client's other parts are of this
 * version. */
bool condition_wants_range(const struct request *request, time_t modified, time_t now);

#endif
