/* guide.c — check() of the programs of docs/guide. */
#include "guide.h"

#include <job/job.h>
#include <stdio.h>
#include <stdlib.h>

void check(const char *what, int err)
{
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", what, job_strerror(err));
        exit(EXIT_FAILURE);
    }
}
