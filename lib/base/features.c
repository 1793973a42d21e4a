/* features.c — names of features and the JOB_DISABLE list. */
#include "base/features.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static const char *const names[] = {
    [FEATURE_NO_IOWAIT] = "no_iowait",     [FEATURE_SPIN] = "spin",
    [FEATURE_RECEIVE_CAP] = "receive_cap", [FEATURE_COPYBREAK] = "copybreak",
    [FEATURE_SLICES] = "slices",           [FEATURE_PIDFD_GROUP] = "pidfd_group",
};
_Static_assert(ARRAY_COUNT(names) == FEATURE_COUNT, "each feature has a name");

const char *feature_name(enum feature feature)
{
    return (unsigned)feature < FEATURE_COUNT ? names[feature] : NULL;
}

const char *features_parse_disabled(struct features *features, const char *list)
{
    const char *unknown = NULL;
    while (*list) {
        size_t len = strcspn(list, ",");
        unsigned i = 0;
        while (i < FEATURE_COUNT && !(strlen(names[i]) == len && strncmp(names[i], list, len) == 0))
            i++;
        if (i < FEATURE_COUNT)
            features->disabled |= 1U << i;
        else if (len > 0 && !unknown)
            unknown = list;
        list += len + (list[len] == ',');
    }
    return unknown;
}

void features_init(struct features *features)
{
    *features = (struct features){0};
    const char *list = secure_getenv("JOB_DISABLE");
    if (list)
        (void)features_parse_disabled(features, list);   /* job_runtime_open() logs what it does not know */
}
