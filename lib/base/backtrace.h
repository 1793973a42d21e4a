/* backtrace.h — the stack of another thread, taken by a signal to it. */
#ifndef JOB_BASE_BACKTRACE_H
#define JOB_BASE_BACKTRACE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/atomic.h"

enum { BACKTRACE_MAX = 48 };

/* One a time. Its memory must outlive the signal: see backtrace_close(). */
struct backtrace {
    /* who asks */
    int signal;
    /* any thread */
    atomic_u32 state;             /* IDLE or TAKEN → ASKED (who asks) → TAKEN (the signal's handler) */
    /* the handler, until TAKEN */
    void *frames[BACKTRACE_MAX];
    unsigned depth;
    const atomic_u64 *witness;    /* a word of the asked thread's, and what was in it then */
    uint64_t witnessed;
};

/* Installs the handler. 0; -EBUSY: somebody else's is there; -EINVAL: no real-time signal. */
int backtrace_open(struct backtrace *backtrace, int signal);

/* Removes it. False: a thread may still be in it; the memory must stay. */
bool backtrace_close(struct backtrace *backtrace);

/* Asks a thread of this process, and waits a moment. NULL: it is in `frames`; else why not. */
const char *backtrace_take(struct backtrace *backtrace, int tid, const atomic_u64 *witness);

/* "module+0x1234": what addr2line takes. */
void backtrace_name(uint64_t address, char *out, size_t room);

#endif
