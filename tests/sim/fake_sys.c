/* fake_sys.c — system and thread calls for fibers: base/sys.h, base/container.h and, by the linker's --wrap, what the library uses of
 * pthreads. The clock is virtual; memory that is freed is filled, so that a late access finds nonsense.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/container.h"
#include "base/limits.h"
#include "base/sys.h"
#include "sim/core.h"

unsigned sim_time_outs = SIM_NO_TIME_OUTS;

int sys_futex_wait_stoppable(atomic_u32 *word, uint32_t expected, bool is_shared, const struct sys_stop *stops,
                             unsigned count, uint64_t timeout_ns)
{
    (void)is_shared;
    if (timeout_ns != UINT64_MAX && sim_time_outs == SIM_NO_TIME_OUTS)
        sim_fail("a wait with a time-out heals what it should show");
    if (timeout_ns != UINT64_MAX && sim_time_outs == SIM_ALL_TIME_OUTS) {
        sim_relax();
        return -ETIMEDOUT;
    }
    if (timeout_ns != UINT64_MAX && sim_time_outs > 0 && sim_random(2) == 1) {
        sim_time_outs--;
        sim_system_call();
        return -ETIMEDOUT;   /* at once; else never */
    }
    return sim_futex_wait_stoppable(word, expected, stops, count);
}

int sys_futex_wait(atomic_u32 *word, uint32_t expected, uint64_t timeout_ns)
{
    return sys_futex_wait_stoppable(word, expected, false, NULL, 0, timeout_ns);
}

int sys_futex_wake(atomic_u32 *word, unsigned count)
{
    return (int)sim_futex_wake(word, count);
}

uint64_t sys_clock_monotonic_ns(void)
{
    return 1000000 + (uint64_t)sim.steps * 100;
}

/* The fakes' descriptors are no standard ones. */
int sys_lift(int *fd)
{
    (void)fd;
    return 0;
}

int sys_lifted(int fd)
{
    return fd;
}

int sys_file_bytes(int fd, uint64_t *bytes)
{
    (void)fd;
    *bytes = 0;
    return 0;
}

int sys_map_file(int fd, uint64_t offset, size_t bytes, void **address)
{
    (void)fd, (void)offset, (void)bytes, (void)address;
    return -ENODEV;
}

int sys_gettid(void)
{
    return 1;
}

void sys_block_signals(sigset_t *before)
{
    sigemptyset(before);
}

void sys_thread_name(const char *name)
{
    (void)name;
}

size_t container_memory(void)
{
    return (size_t)64 << 20;
}

uint32_t container_quota_cpus(struct container_quota quota)
{
    (void)quota;
    return UINT32_MAX;
}

unsigned container_affinity_cpus(void)
{
    return 2;
}

struct container_quota container_quota(void)
{
    return (struct container_quota){0};
}

/* Memory: a mapping is used again by the next schedule. */
enum { MAPPINGS_MAX = 8 };
static struct {
    void *address;
    size_t bytes;
    bool is_used;
} mappings[MAPPINGS_MAX];

static int reserve(size_t bytes, void **address)
{
    for (unsigned i = 0; i < MAPPINGS_MAX; i++) {
        if (mappings[i].is_used || (mappings[i].address && mappings[i].bytes != bytes))
            continue;
        if (!mappings[i].address) {
            int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
            void *mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
            if (mapped == MAP_FAILED)
                return -ENOMEM;
            mappings[i].address = mapped;
            mappings[i].bytes = bytes;
        }
        mappings[i].is_used = true;
        *address = mappings[i].address;
        return 0;
    }
    return -ENOMEM;
}

int sys_reserve(size_t bytes, void **address)
{
    return reserve(bytes, address);
}

int sys_reserve_small(size_t bytes, void **address)
{
    return reserve(bytes, address);
}

int sys_release(void *address, size_t bytes)
{
    (void)bytes;
    for (unsigned i = 0; i < MAPPINGS_MAX; i++) {
        if (mappings[i].address == address)
            mappings[i].is_used = false;
    }
    return 0;
}

int sys_commit(void *address, size_t bytes)
{
    (void)address;
    (void)bytes;
    return 0;
}

int sys_decommit(void *address, size_t bytes)
{
    (void)address;
    (void)bytes;
    return 0;
}

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    if (memory)
        memset(memory, 0xdd, malloc_usable_size(memory));
    __real_free(memory);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *arg)
{
    (void)attributes;
    struct fiber *fiber = sim_add(NULL, run, arg);
    *thread = (pthread_t)(uintptr_t)fiber;
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result)
{
    (void)result;
    sim_wait_until(sim_fiber_has_ended, (void *)(uintptr_t)thread);
    return 0;
}

/* As if it had been tried until it succeeds: that the loop goes on meanwhile needs time, which does not pass here. */
int __wrap_pthread_tryjoin_np(pthread_t thread, void **result);
int __wrap_pthread_tryjoin_np(pthread_t thread, void **result)
{
    return __wrap_pthread_join(thread, result);
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    (void)how;
    (void)set;
    if (old)
        sigemptyset(old);
    return 0;
}

int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout);
int __wrap_sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    (void)set;
    (void)info;
    (void)timeout;
    errno = EAGAIN;
    return -1;
}

/* A mutex is its first word, which pthread_mutex_init() sets to zero: 1 while somebody holds it. */
static bool is_free(void *mutex)
{
    return *(int *)mutex == 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    sim_wait_until(is_free, mutex);
    *(int *)mutex = 1;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    sim_system_call();
    assert(!is_free(mutex));
    *(int *)mutex = 0;
    return 0;
}

int sys_futex_wake_shared(atomic_u32 *word, unsigned count)
{
    return sys_futex_wake(word, count);
}

int sys_memfd_inherited(const char *name, size_t bytes, void **address)
{
    (void)name;
    return sys_reserve_small(bytes, address);
}

int sys_close(int fd)
{
    (void)fd;
    return 0;
}

uint64_t sys_slice(void)
{
    return 0;
}

void sys_set_slice(uint64_t slice_ns)
{
    (void)slice_ns;
}
