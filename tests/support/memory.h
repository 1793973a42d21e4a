/* memory.h — a root and an arena without a runtime around them, for tests of the lower layers. */
#ifndef TESTS_SUPPORT_MEMORY_H
#define TESTS_SUPPORT_MEMORY_H

#include "base/alloc.h"
#include "base/root.h"
#include "base/sys.h"
#include "memory/arena.h"
#include "memory/buf.h"
#include "memory/cache.h"
#include "memory/starved.h"
#include "support/fixture.h"

static inline struct root *memory_root(struct root *root)
{
    *root = (struct root){.pid = getpid(), .now_ns = sys_clock_monotonic_ns, .log = {.hook = fixture_log}};
    return root;
}

static inline struct job_arena *memory_arena(struct root *root, size_t limit)
{
    struct job_arena *arena = NULL;
    ck_assert_ok(arena_open(root, &arena, &(struct job_arena_options){.limit_bytes = limit, .name = "under test"}));
    return arena;
}

/* All that was taken has come back: nothing in use, no block on the heap. */
static inline void memory_close(struct root *root, struct job_arena *arena)
{
    ck_assert_uint_eq(load_relaxed(&root->bufs), 0); /* one thread by now */
    ck_assert_uint_eq(load_relaxed(&root->views), 0);
    ck_assert_uint_eq(load_relaxed(&root->wraps), 0);
    ck_assert_ok(arena_close(&arena));
    ck_assert_ptr_null(arena);
    ck_assert_uint_eq(load_relaxed(&root->allocations), 0);
}

static inline struct job_buf *memory_buf(struct job_arena *arena, size_t room, size_t len)
{
    struct job_buf *buf = NULL;
    size_t got;
    ck_assert_ok(job_buf_alloc(arena, room, NULL, &buf));
    uint8_t *bytes = job_buf_room(buf, &got);
    ck_assert_uint_ge(got, len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_ok(job_buf_extend(buf, len));
    return buf;
}

#endif
