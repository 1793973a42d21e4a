/* live.h — what the tests of the real jobctl on real processes share: a service in some state, and a look at what jobctl says of it.
 *
 * Output as JSON is judged by jq, a program of others. JOBCTL and SERVICE are paths that CMake gives.
 */
#ifndef TESTS_JOBCTL_LIVE_H
#define TESTS_JOBCTL_LIVE_H

#include "support/fixture.h"

struct service {
    pid_t pid, told;   /* its own number, and the one that it told */
    int input;         /* it ends when this is closed */
};

extern struct service service;
extern const char *name_inside;   /* of the first worker, or of the channel; NULL: as the service says */

/* Starts it in a mode of service.c; NULL: as the mode's own name. Returns when it is ready. The end of a test stops it too. */
void start(const char *mode, const char *argument);
void stop(void);

/* Runs a command line in the test's directory, with its output there in "out" and "err"; the exit code. */
__attribute__((format(printf, 1, 2))) int run(const char *format, ...);

/* Valid until the next call. */
const char *text_of(const char *file);
bool says(const char *file, const char *what);

/* True when the last output is JSON and jq says true of it. */
bool holds(const char *filter);

/* What a thread is about to do takes it a moment: looks until it holds, under check's time-out. What is asserted afterwards of another
 * look, or of another thread, must be in the filter too, unless nothing can change it any more. */
void until(const char *view, const char *filter);
void stat_until(const char *filter);

/* With a directory and a service of its own for each test. */
TCase *live_tcase(const char *name);

#endif
