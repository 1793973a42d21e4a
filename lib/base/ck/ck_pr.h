/* ck_pr.h — Concurrency Kit's primitives on the compiler's builtins; found before CK's own on the include path.
 *
 * CK's inline assembly is invisible to TSan, and its fences are misread by it. Here every load acquires, every store
 * releases and the read-modify-writes are acquire-release, so that CK's lighter fences need only stop the compiler, and
 * what the sanitizers and the interleaving checker see is what ships. On x86 the loads and stores are the same
 * instructions as CK's. Only what ck_stack's safe half uses is here; anything else fails to compile, which keeps the
 * parts of CK 0.7.1 with known bugs out.
 */
#ifndef CK_PR_H
#define CK_PR_H

#include <ck_cc.h>
#include <ck_limits.h>
#include <ck_md.h>
#include <ck_stdbool.h>
#include <ck_stddef.h>
#include <ck_stdint.h>

#include "base/atomic.h"

#define ck_pr_load_ptr(p) load_acquire(p)
#define ck_pr_store_ptr(p, v) store_release(p, v)
#define ck_pr_fas_ptr(p, v) exchange_acq_rel(p, v)
#define ck_pr_stall() cpu_relax()
#define ck_pr_barrier() __asm__ volatile("" ::: "memory")
#define ck_pr_fence_load() ck_pr_barrier()
#define ck_pr_fence_store() ck_pr_barrier()
#define ck_pr_fence_store_atomic() ck_pr_barrier()
#define ck_pr_fence_atomic() ck_pr_barrier()
#define ck_pr_fence_memory() fence_seq_cst()

static inline bool ck_pr_cas_ptr(void *target, void *old, void *value)
{
    return cas_acq_rel((void **)target, &old, value);
}

static inline bool ck_pr_cas_ptr_value(void *target, void *old, void *value, void *found)
{
    bool swapped = cas_acq_rel((void **)target, &old, value);
    *(void **)found = old;
    return swapped;
}

#endif
