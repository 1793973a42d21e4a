/* annotate.h — what the sanitizers cannot see by themselves, and a quarantine for what no sanitizer sees: the kernel.
 *
 * In checked builds a free slot is filled with a pattern that is verified when it is taken again (memory/owner.h): whoever wrote into
 * freed memory, also the kernel, is found. Under ASan it is poisoned besides.
 */
#ifndef JOB_BASE_ANNOTATE_H
#define JOB_BASE_ANNOTATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define ANNOTATE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ANNOTATE_ASAN 1
#endif
#endif

#ifdef ANNOTATE_ASAN
#include <sanitizer/asan_interface.h>
#define annotate_poison(address, size) __asan_poison_memory_region((address), (size))
#define annotate_unpoison(address, size) __asan_unpoison_memory_region((address), (size))
#else
#define annotate_poison(address, size) ((void)(address), (void)(size))
#define annotate_unpoison(address, size) ((void)(address), (void)(size))
#endif

/* A hand-over through the kernel, which TSan does not see. */
#if defined(__SANITIZE_THREAD__)
#define ANNOTATE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ANNOTATE_TSAN 1
#endif
#endif
#ifdef ANNOTATE_TSAN
enum { ANNOTATE_THREADS = 1 };   /* the sanitizer's own; it has all signals blocked */
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define annotate_acquire(address) __tsan_acquire(address)
#define annotate_release(address) __tsan_release(address)
#else
enum { ANNOTATE_THREADS = 0 };
#define annotate_acquire(address) ((void)(address))
#define annotate_release(address) ((void)(address))
#endif

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
