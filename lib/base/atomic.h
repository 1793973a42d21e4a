/* atomic.h — every atomic access of the library.
 *
 * Plain typed fields, accessed only through these macros; the name says the order. x86 and ARM both get what the name
 * says from the compiler's builtins, TSan sees them, and the interleaving checker (JOB_SIM) gets a schedule point and a
 * store buffer at each of them. Standalone fences are few, since TSan misreads them: prefer an order on the access, and a
 * sequentially consistent read-modify-write where a store must be seen before a later load.
 *
 * Each use outside lib/base says what it pairs with: "pairs with load_seq_cst in deque_steal: the slot is visible first".
 */
#ifndef JOB_BASE_ATOMIC_H
#define JOB_BASE_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sanitizer.h"

/* Documents a field that two threads touch; the access macros do the work. */
typedef uint32_t atomic_u32;
typedef uint64_t atomic_u64;

#ifdef JOB_SIM
/* The checker's side (tests/sim). A read-modify-write or a fence drains the fiber's store buffer first. */
uint64_t sim_load(const volatile void *address, size_t size);
void sim_store(volatile void *address, size_t size, uint64_t value);
void sim_drain(void);   /* schedule point, then this fiber's buffered stores become visible */
void sim_relax(void);   /* a spin: let another fiber run */

#define ATOMIC_LOAD(p, order) ((__typeof__(*(p)))sim_load((p), sizeof *(p)))
#define ATOMIC_STORE(p, v, order) sim_store((p), sizeof *(p), (uint64_t)((__typeof__(*(p)))(v)))
#define ATOMIC_RMW(expression) (sim_drain(), (expression))
#define cpu_relax() sim_relax()
#else
#define ATOMIC_LOAD(p, order) __atomic_load_n((p), (order))
#define ATOMIC_STORE(p, v, order) __atomic_store_n((p), (v), (order))
#define ATOMIC_RMW(expression) (expression)
#if defined(__x86_64__) || defined(__i386__)
#define cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cpu_relax() __asm__ volatile("isb" ::: "memory")
#else
#define cpu_relax() __asm__ volatile("" ::: "memory")
#endif
#endif

#define load_relaxed(p) ATOMIC_LOAD(p, __ATOMIC_RELAXED)
#define load_acquire(p) ATOMIC_LOAD(p, __ATOMIC_ACQUIRE)
#define load_seq_cst(p) ATOMIC_LOAD(p, __ATOMIC_SEQ_CST)

#define store_relaxed(p, v) ATOMIC_STORE(p, v, __ATOMIC_RELAXED)
#define store_release(p, v) ATOMIC_STORE(p, v, __ATOMIC_RELEASE)
/* An exchange: on x86 that is what a sequentially consistent store costs anyway, and the checker drains on it. */
#define store_seq_cst(p, v) ((void)ATOMIC_RMW(__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)))

#define exchange_acquire(p, v) ATOMIC_RMW(__atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE))
#define exchange_acq_rel(p, v) ATOMIC_RMW(__atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL))
#define exchange_seq_cst(p, v) ATOMIC_RMW(__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST))

#define fetch_add_relaxed(p, v) ATOMIC_RMW(__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define fetch_add_seq_cst(p, v) ATOMIC_RMW(__atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST))
#define fetch_sub_relaxed(p, v) ATOMIC_RMW(__atomic_fetch_sub((p), (v), __ATOMIC_RELAXED))
#define fetch_sub_acq_rel(p, v) ATOMIC_RMW(__atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL))
#define fetch_sub_seq_cst(p, v) ATOMIC_RMW(__atomic_fetch_sub((p), (v), __ATOMIC_SEQ_CST))
#define fetch_or_acq_rel(p, v) ATOMIC_RMW(__atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL))

/* Compare and swap: true when *p was *expected and is now v; otherwise *expected holds what was found. Never spurious. */
#define cas_relaxed(p, expected, v)                                                                                    \
    ATOMIC_RMW(__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
#define cas_release(p, expected, v)                                                                                    \
    ATOMIC_RMW(__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
#define cas_acq_rel(p, expected, v)                                                                                    \
    ATOMIC_RMW(__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
#define cas_seq_cst(p, expected, v)                                                                                    \
    ATOMIC_RMW(__atomic_compare_exchange_n((p), (expected), (v), false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))

/* A full fence: earlier stores are visible before later loads. TSan does not model it; use it for liveness (a lost
 * wake-up), never as the only thing that publishes data. */
#ifdef JOB_TSAN
/* TSan refuses the fence; a locked instruction is one. */
#define fence_seq_cst()                                                                                                \
    do {                                                                                                               \
        uint32_t fence_word = 0;                                                                                       \
        (void)__atomic_fetch_add(&fence_word, 1, __ATOMIC_SEQ_CST);                                                    \
    } while (0)
#else
#define fence_seq_cst() ATOMIC_RMW(__atomic_thread_fence(__ATOMIC_SEQ_CST))
#endif

/* Fetches the line of an address that this thread will write soon, also when another CPU has it. Never faults, so the address may be
 * stale. The builtin says it only under some -march. */
static inline void prefetch_for_write(const void *address)
{
#if defined(__x86_64__)
    __asm__ volatile("prefetchw (%0)" : : "r"(address));
#else
    __builtin_prefetch(address, 1);
#endif
}

/* A counter of one writer that anyone may read: a plain add and a store that cannot tear. */
#define counter_add(p, n) store_relaxed((p), load_relaxed(p) + (n))

#endif
