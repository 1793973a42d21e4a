/* null.h — what the generated calls do with what comes back. */
#ifndef TESTS_NULL_NULL_H
#define TESTS_NULL_NULL_H

#include <job/job.h>

/* Says which function is called next, so that the output ends with the one that crashes. */
void call_begins(const char *name);
void call_returned(int result);

#define CALL_INT(name, call)                                                                                           \
    do {                                                                                                               \
        call_begins(#name);                                                                                            \
        call_returned(call);                                                                                           \
    } while (0)

#define CALL_VOID(name, call)                                                                                          \
    do {                                                                                                               \
        call_begins(#name);                                                                                            \
        call;                                                                                                          \
    } while (0)

#define CALL_VALUE(name, call)                                                                                         \
    do {                                                                                                               \
        call_begins(#name);                                                                                            \
        (void)call;                                                                                                    \
    } while (0)

void call_all(void);

#endif
