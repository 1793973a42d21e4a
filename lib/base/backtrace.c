/* backtrace.c — asks a thread for its stack by a signal, and waits for the answer.
 *
 *   who asks: A1 ASKED   A2 the signal, which carries the address of the request   A3 wait for TAKEN
 *   the handler, on the asked thread: H1 the frames   H2 TAKEN   H3 wake
 *
 * A thread that blocks the signal answers later or never. Until it has, the request stays ASKED, nobody is asked anew, and its memory must
 * stay: the signal is on its way and carries the address. Closing makes the kernel forget signals that are pending, by ignoring them for
 * a moment; what may run by then is waited for, and else the memory is left to it.
 *
 * In the handler: backtrace(3) is safe there once it has been called before, since its first call loads the unwinder; glibc 2.35 and newer
 * find unwind tables without a lock. The lookup of modules is lock-free too: the asked thread may hang in dlopen(3).
 */
#include "base/backtrace.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/sys.h"

enum backtrace_state { BACKTRACE_IDLE, BACKTRACE_ASKED, BACKTRACE_TAKEN };

enum { ANSWER_NS = 500000000 };   /* a thread that runs answers in microseconds, unless others have all CPUs */

/* Where the thread was interrupted; NULL: this machine's context is not known here. */
static void *interrupted_at(const void *context)
{
    const ucontext_t *interrupted = context;
#if defined(__x86_64__)
    return (void *)interrupted->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)interrupted->uc_mcontext.pc;
#else
    (void)interrupted;
    return NULL;
#endif
}

/* The frames of the handler are nobody's business. */
static unsigned drop_until(void **frames, unsigned depth, const void *pc)
{
    unsigned first = 0;
    while (first < depth && frames[first] != pc)
        first++;
    if (first == depth)
        return depth;
    memmove(frames, frames + first, (depth - first) * sizeof *frames);
    return depth - first;
}

static void answer(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid())
        return;   /* not ours: the address in it may be anything */
    int err = errno;
    struct backtrace *request = info->si_value.sival_ptr;
    if (load_acquire(&request->state) != BACKTRACE_ASKED)   /* pairs with store_release in backtrace_take */
        return;
    int depth = backtrace(request->frames, BACKTRACE_MAX);
    request->depth = drop_until(request->frames, depth > 0 ? (unsigned)depth : 0, interrupted_at(context));
    request->witnessed = load_relaxed(request->witness);   /* this thread's own word */
    atomic_u32 *state = &request->state;
    store_release(state, BACKTRACE_TAKEN);   /* pairs with load_acquire in wait_for_answer; from here on the request may be gone */
    (void)sys_futex_wake(state, 1);          /* only an address by now */
    errno = err;
}

int backtrace_open(struct backtrace *request, int signal)
{
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK}, before;
    if (signal < SIGRTMIN || signal > SIGRTMAX)
        return -EINVAL;
    void *frame;
    (void)backtrace(&frame, 1);   /* loads the unwinder */
    *request = (struct backtrace){.signal = signal};
    sigfillset(&action.sa_mask);
    if (sigaction(signal, NULL, &before) < 0)
        return -EINVAL;
    if (before.sa_handler != SIG_DFL)
        return -EBUSY;
    (void)sigaction(signal, &action, NULL);   /* cannot fail: it could be read */
    return 0;
}

/* Whether it has come. */
static bool wait_for_answer(struct backtrace *request)
{
    uint64_t end = sys_clock_monotonic_ns() + ANSWER_NS, now;
    while (load_acquire(&request->state) == BACKTRACE_ASKED) {   /* pairs with store_release in answer */
        now = sys_clock_monotonic_ns();
        if (now >= end)
            return false;
        (void)sys_futex_wait(&request->state, BACKTRACE_ASKED, end - now);
    }
    return true;
}

bool backtrace_close(struct backtrace *request)
{
    struct sigaction action = {.sa_handler = SIG_IGN};
    (void)sigaction(request->signal, &action, NULL);   /* what is pending is forgotten, on all threads */
    action.sa_handler = SIG_DFL;
    (void)sigaction(request->signal, &action, NULL);
    return load_acquire(&request->state) != BACKTRACE_ASKED || wait_for_answer(request);   /* pairs with store_release in answer */
}

static int send_signal(const struct backtrace *request, int tid)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = request->signal;
    info.si_code = SI_QUEUE;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = (void *)(uintptr_t)request;
    return syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, request->signal, &info) < 0 ? -errno : 0;
}

const char *backtrace_take(struct backtrace *request, int tid, const atomic_u64 *witness)
{
    if (load_acquire(&request->state) == BACKTRACE_ASKED)   /* pairs with store_release in answer */
        return "an earlier request was not answered";
    request->witness = witness;
    request->depth = 0;
    store_release(&request->state, BACKTRACE_ASKED);        /* pairs with load_acquire in answer and in wait_for_answer */
    if (send_signal(request, tid) < 0) {
        store_relaxed(&request->state, BACKTRACE_IDLE);     /* nobody knows of it */
        return "the thread takes no signal";
    }
    return wait_for_answer(request) ? NULL : "the thread does not answer the signal";
}

void backtrace_name(uint64_t address, char *out, size_t room)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)(uintptr_t)address, &found) < 0 || !found.dlfo_link_map) {
        (void)snprintf(out, room, "0x%llx", (unsigned long long)address);
        return;
    }
    const char *path = found.dlfo_link_map->l_name, *slash = path ? strrchr(path, '/') : NULL;
    const char *name = slash ? slash + 1 : path && *path ? path : program_invocation_short_name;
    (void)snprintf(out, room, "%s+0x%llx", name, (unsigned long long)(address - found.dlfo_link_map->l_addr));
}
