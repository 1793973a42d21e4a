/* sys.c — system calls without policy. */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FUTEX_SLICE_NS = 50000000 };

/* Newer than Debian 12's headers. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int result(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

static int futex_wait(int op, atomic_u32 *word, uint32_t expected, uint64_t timeout_ns)
{
    struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / 1000000000U),
        .tv_nsec = (long)(timeout_ns % 1000000000U),
    };
    return result(syscall(SYS_futex, word, op, expected, timeout_ns == TIME_NEVER ? NULL : &timeout, NULL, 0));
}

int sys_futex_wait(atomic_u32 *word, uint32_t expected, uint64_t timeout_ns)
{
    return futex_wait(FUTEX_WAIT_PRIVATE, word, expected, timeout_ns);
}

static bool is_stopped(const struct sys_stop *stops, unsigned count)
{
    bool is_stopped = false;
    for (unsigned i = 0; i < count; i++)
        is_stopped |= load_acquire(stops[i].word) != stops[i].runs;   /* pairs with cas_acq_rel in task_cancel */
    return is_stopped;
}

/* `left_ns` from now on the kernel's clock; TIME_NEVER: NULL. */
static const struct timespec *deadline_in(uint64_t left_ns, struct timespec *deadline)
{
    if (left_ns == TIME_NEVER)
        return NULL;
    (void)clock_gettime(CLOCK_MONOTONIC, deadline);   /* cannot fail for this clock */
    uint64_t ns = (uint64_t)deadline->tv_nsec + left_ns % 1000000000U;
    deadline->tv_sec += (time_t)(left_ns / 1000000000U + ns / 1000000000U);
    deadline->tv_nsec = (long)(ns % 1000000000U);
    return deadline;
}

/* The word stands last: of several that were woken at once the kernel names the last one, and whoever has woken us there has counted us. */
static int futex_wait_any(atomic_u32 *word, uint32_t expected, bool is_shared, const struct sys_stop *stops,
                          unsigned count, uint64_t timeout_ns)
{
    struct futex_waitv words[SYS_STOPS_MAX + 1] = {0};
    struct timespec deadline;
    for (unsigned i = 0; i < count; i++) {
        words[i].val = stops[i].runs;
        words[i].uaddr = (uintptr_t)stops[i].word;
        words[i].flags = FUTEX_32 | FUTEX_PRIVATE_FLAG;
    }
    words[count].val = expected;
    words[count].uaddr = (uintptr_t)word;
    words[count].flags = FUTEX_32 | (is_shared ? 0U : (unsigned)FUTEX_PRIVATE_FLAG);
    int rc = result(syscall(SYS_futex_waitv, words, count + 1, 0, deadline_in(timeout_ns, &deadline), CLOCK_MONOTONIC));
    if (rc >= 0 && rc < (int)count)
        return is_stopped(stops, count) ? -ECANCELED : -EINTR;   /* a cancel of an earlier run may wake so late: task_cancel() */
    return rc < 0 ? rc : 0;
}

int sys_futex_wait_stoppable(atomic_u32 *word, uint32_t expected, bool is_shared, const struct sys_stop *stops,
                             unsigned count, uint64_t timeout_ns)
{
    int op = is_shared ? FUTEX_WAIT : FUTEX_WAIT_PRIVATE;
    if (count == 0)
        return futex_wait(op, word, expected, timeout_ns);
    int rc = futex_wait_any(word, expected, is_shared, stops, count, timeout_ns);
    if (rc == -ENOSYS || rc == -EPERM) {
        bool is_slice = timeout_ns > FUTEX_SLICE_NS;
        if (is_stopped(stops, count))
            return -ECANCELED;
        rc = futex_wait(op, word, expected, is_slice ? FUTEX_SLICE_NS : timeout_ns);
        rc = rc == -ETIMEDOUT && is_slice ? -EINTR : rc;
    }
    return rc == -EAGAIN && is_stopped(stops, count) ? -ECANCELED : rc;
}

int sys_futex_wake_shared(atomic_u32 *word, unsigned count)
{
    return result(syscall(SYS_futex, word, FUTEX_WAKE, count > INT_MAX ? INT_MAX : count, NULL, NULL, 0));
}

int sys_futex_wake(atomic_u32 *word, unsigned count)
{
    return result(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count > INT_MAX ? INT_MAX : count, NULL, NULL, 0));
}

uint64_t sys_clock_monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);   /* cannot fail for this clock */
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

int sys_lift(int *fd)
{
    if (*fd > STDERR_FILENO)
        return 0;
    int above = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (above < 0)
        return -errno;
    (void)close(*fd);   /* it is open by the other */
    *fd = above;
    return 0;
}

int sys_lifted(int fd)
{
    if (fd < 0)
        return -errno;
    int err = sys_lift(&fd);
    if (err < 0)
        (void)close(fd);
    return err < 0 ? err : fd;
}

int sys_eventfd(void)
{
    return sys_lifted(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

int sys_eventfd_signal(int fd)
{
    uint64_t one = 1;
    /* Not write(2): TSan would pair it with the close of the descriptor, since it does not see the ring's poll between them. */
    return syscall(SYS_write, fd, &one, sizeof one) == (long)sizeof one ? 0 : -errno;
}

int sys_eventfd_take(int fd, uint64_t *count)
{
    return syscall(SYS_read, fd, count, sizeof *count) == (long)sizeof *count ? 0 : -errno;
}

int sys_close(int fd)
{
    return result(close(fd));
}

static int reserve(size_t bytes, int advice, void **address)
{
    void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        return -errno;
    (void)madvise(mapped, bytes, advice);   /* advice: a kernel without huge pages says EINVAL */
    (void)madvise(mapped, bytes, MADV_DONTFORK);
    *address = mapped;
    return 0;
}

int sys_reserve(size_t bytes, void **address)
{
    return reserve(bytes, MADV_HUGEPAGE, address);
}

int sys_reserve_small(size_t bytes, void **address)
{
    return reserve(bytes, MADV_NOHUGEPAGE, address);
}

int sys_release(void *address, size_t bytes)
{
    return result(munmap(address, bytes));
}

int sys_file_bytes(int fd, uint64_t *bytes)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return -errno;
    *bytes = status.st_size > 0 ? (uint64_t)status.st_size : 0;
    return 0;
}

int sys_map_file(int fd, uint64_t offset, size_t bytes, void **address)
{
    /* Private: a shared mapping of a sealed memfd that is open for writing needs kernel 6.7. */
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, (off_t)offset);
    if (mapped == MAP_FAILED)
        return -errno;
    *address = mapped;
    return 0;
}

int sys_commit(void *address, size_t bytes)
{
    return result(madvise(address, bytes, MADV_POPULATE_WRITE));
}

int sys_decommit(void *address, size_t bytes)
{
    return result(madvise(address, bytes, MADV_DONTNEED));
}

int sys_fork_guard(atomic_u32 **guard)
{
    void *page = mmap(NULL, SYS_GUARD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    if (madvise(page, SYS_GUARD_BYTES, MADV_WIPEONFORK) < 0) {
        int err = -errno;
        (void)munmap(page, SYS_GUARD_BYTES);
        return err;
    }
    *guard = page;
    store_relaxed(*guard, 1);   /* nobody else knows it yet */
    return 0;
}

/* Of that size, and mapped; `seals` keep it so. */
static int memfd_mapped(const char *name, size_t bytes, int seals, int *fd, void **address)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int memfd = (int)syscall(SYS_memfd_create, name, flags | MFD_NOEXEC_SEAL);
    if (memfd < 0 && errno == EINVAL)   /* before kernel 6.3; only this flag is dropped */
        memfd = (int)syscall(SYS_memfd_create, name, flags);
    memfd = sys_lifted(memfd);
    if (memfd < 0)
        return memfd;
    void *mapped = MAP_FAILED;
    if (ftruncate(memfd, (off_t)bytes) < 0)
        goto fail;
    mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    if (mapped == MAP_FAILED)
        goto fail;
    if (fcntl(memfd, F_ADD_SEALS, seals) < 0)
        goto fail;
    *fd = memfd;
    *address = mapped;
    return 0;
fail:;
    int err = -errno;
    if (mapped != MAP_FAILED)
        (void)munmap(mapped, bytes);
    (void)close(memfd);
    return err;
}

int sys_memfd_shared(const char *name, size_t bytes, int *fd, void **address)
{
    return memfd_mapped(name, bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL, fd, address);
}

int sys_memfd_inherited(const char *name, size_t bytes, void **address)
{
    int fd = -1;
    int err = memfd_mapped(name, bytes, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, &fd, address);
    if (err == 0)
        (void)close(fd);   /* the mapping keeps the file */
    return err;
}

int sys_io_uring_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    return result(syscall(SYS_io_uring_register, fd, opcode, arg, count));
}

int sys_pidfd_signal(int pidfd, int signal, unsigned flags)
{
    return result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, flags));
}

int sys_gettid(void)
{
    return (int)syscall(SYS_gettid);
}

/* As the kernel's struct sched_attr: libc's headers of Debian 12 have none. */
struct thread_attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static bool read_attributes(struct thread_attributes *attributes)
{
    *attributes = (struct thread_attributes){.size = sizeof *attributes};
    return syscall(SYS_sched_getattr, 0, attributes, sizeof *attributes, 0) == 0 && attributes->policy == SCHED_OTHER;
}

uint64_t sys_slice(void)
{
    struct thread_attributes attributes;
    return read_attributes(&attributes) ? attributes.runtime : 0;
}

void sys_set_slice(uint64_t slice_ns)
{
    struct thread_attributes attributes;
    if (!read_attributes(&attributes))
        return;
    attributes.runtime = slice_ns;
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);   /* a wish */
}

void sys_block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t all;
    (void)sigfillset(&all);
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++)
        (void)sigdelset(&all, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &all, before);   /* cannot fail; what the caller has blocked stays so, a fault's as well */
}

void sys_thread_name(const char *name)
{
    char cut[16];
    size_t len = strlen(name);
    if (len >= sizeof cut)
        len = sizeof cut - 1;
    memcpy(cut, name, len);
    cut[len] = '\0';
    (void)prctl(PR_SET_NAME, cut);   /* a name is a convenience */
}
