/* guide.h — what the programs of docs/guide have besides their blocks: check(), which ends the program when a call failed. */
#ifndef TESTS_DOCS_GUIDE_H
#define TESTS_DOCS_GUIDE_H

#include <job/job.h>
#include <stdio.h>
#include <stdlib.h>

static inline void check(const char *what, int err)
{
    if (err < 0) {
        fprintf(stderr, "%s: %s\n", what, job_strerror(err));
        exit(EXIT_FAILURE);
    }
}

#endif
