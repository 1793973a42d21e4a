/* main.c — every function of the public headers takes NULL for each pointer: those that say how it went say -EINVAL, none crashes.
 *
 * The calls are generated, so a function that is added is called too.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "null.h"

static const char *current;
static unsigned calls, wrong;

/* Those whose result is no error, with what they return. */
static const struct {
    const char *name;
    int result;
} others[] = {
    {"job_blocking_enter", -EPERM},   /* no task runs here */
    {"job_blocking_leave", -EPERM},
    {"job_file_descriptor", -1},
    {"job_message_take_fd", -1},
    {"job_process_pid", 0},
    {"job_stream_status", 0},
    {"job_subscriber_status", 0},
};

void call_begins(const char *name)
{
    current = name;
    calls++;
    printf("%s\n", name);
}

static int wanted(const char *name)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (strcmp(others[i].name, name) == 0)
            return others[i].result;
    }
    return -EINVAL;
}

void call_returned(int result)
{
    if (result == wanted(current))
        return;
    printf("    returned %d, wanted %d\n", result, wanted(current));
    wrong++;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    call_all();
    printf("%u functions, %u wrong\n", calls, wrong);
    return calls < 150 || wrong > 0 ? EXIT_FAILURE : EXIT_SUCCESS;   /* fewer: the headers are not understood any more */
}
