/* annotate.h — what the sanitizers cannot see by themselves, and a quarantine for what no sanitizer sees: the kernel.
 *
 * Memory that code does not own is poisoned for ASan. For TSan, hand-overs are told: those through the kernel always; and those between
 * threads where the library itself was not built with TSan, since it does not see our atomics then. It is told of each thing that is
 * handed over, not of the queue: what only went the same way is not ordered by it, and a race of the user's stays one.
 *
 * The library that users link is a plain one. Whether their program has a sanitizer is known when it is linked: then the functions below
 * are there, else their addresses are NULL, and asking costs a load and a branch.
 *
 * In checked builds a free slot is filled with a pattern that is verified when it is taken again (memory/owner.h): whoever wrote into
 * freed memory, also the kernel, is found.
 */
#ifndef JOB_BASE_ANNOTATE_H
#define JOB_BASE_ANNOTATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/sanitizer.h"

void __asan_poison_memory_region(const void *address, size_t size) __attribute__((weak));
void __asan_unpoison_memory_region(const void *address, size_t size) __attribute__((weak));
void *__asan_region_is_poisoned(void *address, size_t size) __attribute__((weak));
void __asan_report_error(void *pc, void *bp, void *sp, void *address, int is_write, size_t size) __attribute__((weak));
void __tsan_acquire(void *address) __attribute__((weak));
void __tsan_release(void *address) __attribute__((weak));

static inline bool annotate_has_asan(void)
{
    return __builtin_expect(__asan_poison_memory_region != NULL, 0);
}

static inline void annotate_poison(const void *address, size_t size)
{
    if (annotate_has_asan())
        __asan_poison_memory_region(address, size);
}

static inline void annotate_unpoison(const void *address, size_t size)
{
    if (annotate_has_asan())
        __asan_unpoison_memory_region(address, size);
}

void annotate_look(const void *address, size_t size);

/* Memory of the user's that we go on with: the program ends with ASan's report if it was freed. ASan would not see that by itself, since
 * our own accesses are not checked. */
static inline void annotate_use(const void *address, size_t size)
{
    if (annotate_has_asan())
        annotate_look(address, size);
}

static inline bool annotate_has_tsan(void)
{
    return __builtin_expect(__tsan_acquire != NULL, 0);
}

/* Threads of the sanitizer's own; they have all signals blocked. */
static inline unsigned annotate_threads(void)
{
    return annotate_has_tsan() ? 1 : 0;
}

/* What this thread did before a release is before what another does after an acquire of the same address. */
static inline void annotate_release(const void *address)
{
    if (annotate_has_tsan())
        __tsan_release((void *)(uintptr_t)address);
}

static inline void annotate_acquire(const void *address)
{
    if (annotate_has_tsan())
        __tsan_acquire((void *)(uintptr_t)address);
}

/* Memory of ours goes to another thread: the address stands for it and for all that is reached through it. The library's own TSan builds
 * see the atomics that do it, and are to say so when these do not suffice. */
static inline void annotate_give(const void *address)
{
#ifdef JOB_TSAN
    (void)address;
#else
    annotate_release(address);
#endif
}

static inline void annotate_take(const void *address)
{
#ifdef JOB_TSAN
    (void)address;
#else
    annotate_acquire(address);
#endif
}

#ifdef JOB_CHECKED
void quarantine_fill(uint8_t *memory, size_t size);
bool quarantine_is_intact(const uint8_t *memory, size_t from, size_t to);   /* of the slot that begins at `memory` */
#else
#define quarantine_fill(memory, size) ((void)0)
#endif

static inline void annotate_slot_freed(uint8_t *memory, size_t size)
{
    quarantine_fill(memory, size);
    annotate_poison(memory, size);
}

#endif
