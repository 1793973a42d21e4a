/* test_arena.c — the limit to the byte, chunks that change their class, runs, holders, caches, and who is told when
 * memory is back. */
#include <sys/mman.h>

#include "base/bits.h"
#include "base/container.h"
#include "memory/slot.h"
#include "support/memory.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static struct root root;
static struct shortage shortage;

static void set_up(void)
{
    memory_root(&root);
}

static struct job_arena_stats stats_of(const struct job_arena *arena)
{
    struct job_arena_stats stats;
    job_arena_stats(arena, &stats);
    return stats;
}

/* Allocates until -ENOMEM, linking all into one list; returns how many. */
static unsigned exhaust(struct job_arena *arena, size_t room, struct job_buf **bufs, unsigned max)
{
    unsigned count = 0;
    while (count < max && job_buf_alloc(arena, room, NULL, &bufs[count]) == 0)
        count++;
    ck_assert_uint_lt(count, max);
    return count;
}

static void free_all(struct job_buf **bufs, unsigned count)
{
    while (count > 0)
        job_buf_free(&bufs[--count]);
}

static struct job_buf *bufs[20000];

START_TEST(the_limit_is_used_to_the_last_slot_and_not_passed)
{
    static const size_t sizes[] = {4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 2 * MIB};
    static const size_t limits[] = {4 * KIB, 8 * KIB,           20 * KIB, 1364 * KIB, MIB,
                                    2 * MIB, 2 * MIB + 4 * KIB, 5 * MIB,  16 * MIB};
    for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            struct job_arena *arena = memory_arena(&root, limits[l]);
            unsigned count = exhaust(arena, sizes[s], bufs, 20000);
            ck_assert_uint_eq(count, limits[l] / sizes[s]);
            ck_assert_uint_eq(stats_of(arena).used_bytes, count * sizes[s]);
            ck_assert_uint_le(stats_of(arena).committed_bytes, limits[l]);
            ck_assert_uint_eq(stats_of(arena).failed, 1);
            if (count > 0) { /* one comes back: one can be had, no more */
                job_buf_free(&bufs[count - 1]);
                ck_assert_ok(job_buf_alloc(arena, sizes[s], NULL, &bufs[count - 1]));
                ck_assert_int_eq(job_buf_alloc(arena, sizes[s], NULL, &bufs[count]), -ENOMEM);
            }
            free_all(bufs, count);
            ck_assert_uint_eq(stats_of(arena).used_bytes, 0);
            memory_close(&root, arena);
        }
    }
}
END_TEST

START_TEST(a_limit_that_is_no_multiple_of_a_slot_is_rounded_up_to_one)
{
    struct job_arena *arena = memory_arena(&root, 4 * KIB + 1);
    ck_assert_uint_eq(stats_of(arena).limit_bytes, 8 * KIB);
    memory_close(&root, arena);
}
END_TEST

static unsigned megabytes(struct job_arena *arena)
{
    unsigned count = exhaust(arena, MIB, bufs, 64);
    free_all(bufs, count);
    return count;
}

START_TEST(an_empty_arena_takes_another_limit_within_its_addresses)
{
    struct job_arena *arena = memory_arena(&root, 16 * MIB);
    struct job_buf *buf = memory_buf(arena, 100, 100);
    ck_assert(!arena_set_limit(arena, 8 * MIB));   /* not empty */
    job_buf_free(&buf);
    ck_assert_uint_eq(megabytes(arena), 16);
    ck_assert(arena_set_limit(arena, 3 * MIB + 4 * KIB));   /* below what was carved; the last chunk is cut otherwise */
    ck_assert_uint_eq(megabytes(arena), 3);
    ck_assert(arena_set_limit(arena, 16 * MIB));
    ck_assert_uint_eq(megabytes(arena), 16);
    ck_assert(!arena_set_limit(arena, 64 * MIB));   /* no addresses */
    ck_assert_uint_eq(megabytes(arena), 16);
    arena_lock(&arena->trimming);
    ck_assert(!arena_set_limit(arena, 8 * MIB));   /* whoever trims is not waited for */
    ck_assert(!arena_set_limit(arena, 16 * MIB));  /* its pages go, whatever the limit */
    arena_unlock(&arena->trimming);
    memory_close(&root, arena);
}
END_TEST

/* A range of 1 TiB has 12 MiB of them; here it is less, since TSan has not so many addresses. */
START_TEST(the_limit_of_a_fresh_arena_is_set_without_a_look_at_its_chunks)
{
    struct job_arena *arena = memory_arena(&root, (size_t)16 << 30);
    uintptr_t begin = round_up((uintptr_t)arena->chunks, 4096);
    uintptr_t end = (uintptr_t)(arena->chunks + arena->chunk_count) / 4096 * 4096;

    ck_assert_int_eq(mprotect((void *)begin, end - begin, PROT_NONE), 0);
    ck_assert(arena_set_limit(arena, (size_t)9 << 30));
    ck_assert_int_eq(mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE), 0);

    ck_assert_uint_eq(stats_of(arena).limit_bytes, (size_t)9 << 30);
    memory_close(&root, arena);
}
END_TEST

START_TEST(the_default_limit_is_a_quarter_of_what_the_container_may_use)
{
    struct job_arena *arena = memory_arena(&root, 0);
    uint64_t limit = stats_of(arena).limit_bytes;
    ck_assert_uint_ge(limit, container_memory() / 4);
    ck_assert_uint_lt(limit, container_memory() / 4 + 4 * KIB);
    ck_assert_uint_eq(stats_of(arena).committed_bytes, 0); /* nothing that nobody asked for */
    memory_close(&root, arena);
}
END_TEST

START_TEST(open_refuses_bad_options_and_leaves_nothing)
{
    struct job_arena *none = NULL, *arena = (struct job_arena *)&none;
    struct job_runtime *runtime = (struct job_runtime *)&root; /* an arena needs the root only */
    ck_assert_int_eq(job_arena_open(NULL, &arena, NULL), -EINVAL);
    ck_assert_int_eq(job_arena_open(runtime, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 4095}), -EINVAL);
    ck_assert_int_eq(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = SIZE_MAX}), -EINVAL);
    ck_assert_int_eq(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = (size_t)8 << 40}),
                     -EINVAL);
    ck_assert_int_eq(
        job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = MIB, .reserve_bytes = 2 * MIB}),
        -EINVAL);
    ck_assert_ptr_eq(arena, (struct job_arena *)&none);
    ck_assert_int_eq(job_arena_close(NULL), -EINVAL);
    arena = NULL;
    ck_assert_int_eq(job_arena_close(&arena), 0);
    struct job_arena_stats stats = {.limit_bytes = 1};
    job_arena_stats(NULL, &stats);
    ck_assert_uint_eq(stats.limit_bytes, 0);
    job_arena_stats(NULL, NULL);
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);
}
END_TEST

START_TEST(an_arena_with_bufs_or_caches_is_not_closed_and_stays_whole)
{
    struct job_runtime *runtime = (struct job_runtime *)&root; /* an arena needs the root only */
    struct job_arena *arena = NULL, *before;
    struct job_buf *buf = NULL;
    root.log.hook = NULL;
    ck_assert_ok(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = MIB}));
    before = arena;
    ck_assert_ok(job_buf_alloc(arena, 1, NULL, &buf));
    ck_assert_int_eq(job_arena_close(&arena), -EBUSY);
    ck_assert_ptr_eq(arena, before);
    ck_assert_ok(job_buf_write(buf, "still there", 11));
    job_buf_free(&buf);
    ck_assert_ok(cache_attach(arena));
    ck_assert_int_eq(job_arena_close(&arena), -EBUSY);
    cache_detach(arena);
    ck_assert_int_eq(job_arena_close(&arena), 0);
    ck_assert_ptr_null(arena);
    ck_assert_uint_eq(load_relaxed(&root.users), 0);
}
END_TEST

START_TEST(chunks_that_are_empty_serve_other_classes_at_the_limit)
{
    static const size_t sizes[] = {4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB};
    struct job_arena *arena = memory_arena(&root, 8 * MIB);
    for (size_t from = 0; from < 6; from++) {
        for (size_t to = 0; to < 6; to++) {
            unsigned count = exhaust(arena, sizes[from], bufs, 20000);
            ck_assert_uint_eq(count, 8 * MIB / sizes[from]);
            for (unsigned i = 0; i < count; i++) { /* used to the brim: the next owner must not care */
                size_t room;
                memset(job_buf_room(bufs[i], &room), (int)(i + 1), 60 * KIB < sizes[from] ? 60 * KIB : sizes[from] / 2);
            }
            free_all(bufs, count);
            count = exhaust(arena, sizes[to], bufs, 20000);
            ck_assert_uint_eq(count, 8 * MIB / sizes[to]);
            free_all(bufs, count);
        }
    }
    memory_close(&root, arena);
}
END_TEST

START_TEST(one_slot_in_use_keeps_its_chunk_and_no_other)
{
    struct job_arena *arena = memory_arena(&root, 8 * MIB);
    unsigned count = exhaust(arena, 4 * KIB, bufs, 20000);
    struct job_buf *kept = job_buf_take(&bufs[700]); /* of the second chunk */
    free_all(bufs, count);
    ck_assert_uint_eq(exhaust(arena, 2 * MIB, bufs, 100), 3);
    free_all(bufs, 3);
    job_buf_free(&kept);
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_larger_slot_serves_when_its_class_is_all_there_is)
{
    struct job_arena *arena = memory_arena(&root, 4 * MIB);
    unsigned count = exhaust(arena, MIB, bufs, 100);
    ck_assert_uint_eq(count, 4);
    job_buf_free(&bufs[--count]); /* its chunk is half in use: it cannot be carved anew */
    struct job_buf *small = NULL;
    ck_assert_ok(job_buf_alloc(arena, 100, NULL, &small));
    ck_assert_int_eq(job_buf_alloc(arena, 100, NULL, &bufs[count]), -ENOMEM);
    job_buf_free(&small);
    free_all(bufs, count);
    memory_close(&root, arena);
}
END_TEST

START_TEST(runs_find_adjacent_chunks_and_leave_no_trace)
{
    struct job_arena *arena = memory_arena(&root, 16 * MIB);
    for (size_t size = MIB + 1; size <= 16 * MIB; size += MIB) {
        struct job_buf *run = NULL, *second = NULL;
        ck_assert_ok(job_buf_alloc(arena, size, NULL, &run));
        memset(job_buf_room(run, NULL), 0xEE, size);
        ck_assert_ok(job_buf_extend(run, size));
        bool fits = job_buf_alloc(arena, size, NULL, &second) == 0;
        ck_assert(fits == (2 * ((size + 2 * MIB - 1) / (2 * MIB)) <= 8));
        job_buf_free(&run);
        job_buf_free(&second);
        ck_assert_uint_eq(stats_of(arena).used_bytes, 0);
        ck_assert_uint_eq(stats_of(arena).committed_bytes, 0);
    }
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_run_can_be_a_gibibyte)
{
    struct job_arena *arena = memory_arena(&root, (size_t)2 << 30);
    struct job_buf *run = NULL, *rest = NULL;
    size_t room;
    ck_assert_ok(job_buf_alloc(arena, (size_t)1 << 30, &(struct job_buf_options){.headroom = 4096}, &run));
    uint8_t *bytes = job_buf_room(run, &room);
    ck_assert_uint_ge(room, (size_t)1 << 30);
    bytes[0] = 1;
    bytes[(1 << 30) - 1] = 2;
    ck_assert_ok(job_buf_extend(run, (size_t)1 << 30));
    ck_assert_ok(job_buf_split(&run, (1 << 30) - 1, &rest));
    ck_assert_uint_eq(*(uint8_t *)job_buf_data(rest), 2);
    job_buf_free(&run);
    job_buf_free(&rest);
    memory_close(&root, arena);
}
END_TEST

static char logged[512];

static void remember(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)level;
    snprintf(logged, sizeof logged, "%s", text);
}

START_TEST(holders_that_do_not_fit_are_refused_with_the_sum_in_the_log)
{
    root.log.hook = remember;
    struct job_arena *arena = NULL; /* an eighth, 512 KiB, is for caches */
    struct job_arena_options options = {.limit_bytes = 4 * MIB, .reserve_bytes = MIB, .name = "tight"};
    ck_assert_ok(arena_open(&root, &arena, &options));
    ck_assert_ok(arena_hold(arena, 2 * MIB));
    ck_assert_int_eq(arena_hold(arena, MIB / 2 + 1), -EINVAL);
    ck_assert_ptr_nonnull(strstr(logged, "tight"));
    ck_assert_ptr_nonnull(strstr(logged, "4194305")); /* 2 MiB + 512 KiB + 1 + 1 MiB + 512 KiB */
    ck_assert_ptr_nonnull(strstr(logged, "4194304"));
    ck_assert_uint_eq(stats_of(arena).held_bytes, 2 * MIB);
    ck_assert_int_eq(arena_hold(arena, SIZE_MAX), -EINVAL);
    ck_assert_ok(arena_hold(arena, MIB / 2));
    arena_unhold(arena, 2 * MIB + MIB / 2);
    ck_assert_ok(arena_hold(arena, 2 * MIB + MIB / 2));
    arena_unhold(arena, 2 * MIB + MIB / 2);
    memory_close(&root, arena);
}
END_TEST

START_TEST(the_reserve_is_at_least_an_output_for_each_pool_thread)
{
    root.log.hook = remember;
    struct job_arena *arena = NULL; /* 512 KiB of it are for caches */
    struct job_arena_options options = {.limit_bytes = 4 * MIB, .reserve_bytes = MIB, .name = "tight"};
    ck_assert_ok(arena_open(&root, &arena, &options));
    ck_assert_ok(arena_hold(arena, 2 * MIB));

    ck_assert_ok(arena_hold_outputs(arena, MIB)); /* what is reserved anyway */
    ck_assert_uint_eq(arena_spare(arena), 3 * MIB);
    ck_assert_int_eq(arena_hold_outputs(arena, MIB / 2 + 1), -EINVAL);
    ck_assert_ptr_nonnull(strstr(logged, "4194305")); /* 2 MiB + 512 KiB + 1 MiB + 512 KiB + 1 */
    ck_assert_uint_eq(arena_spare(arena), 3 * MIB);
    ck_assert_ok(arena_hold_outputs(arena, MIB / 2));
    ck_assert_uint_eq(arena_spare(arena), 2 * MIB + MIB / 2);
    ck_assert_int_eq(arena_hold(arena, 1), -EINVAL);
    ck_assert_int_eq(arena_hold_outputs(arena, SIZE_MAX / 2), -EINVAL);
    arena_unhold_outputs(arena, MIB + MIB / 2);
    ck_assert_uint_eq(arena_spare(arena), 3 * MIB);
    ck_assert_ok(arena_hold(arena, MIB / 2));

    arena_unhold(arena, 2 * MIB + MIB / 2);
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_ring_leaves_the_reserve_to_those_who_compute)
{
    struct job_arena *arena = NULL;
    struct slot *slots[64];
    unsigned count = 0;
    ck_assert_ok(
        arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = MIB, .reserve_bytes = 256 * KIB}));
    while ((slots[count] = slot_take_spare(arena, 1, false, &shortage)))
        count++;
    ck_assert_uint_eq(count, 48);
    ck_assert_uint_eq(exhaust(arena, 16 * KIB, bufs, 100), 16);
    free_all(bufs, 16);
    while (count > 0)
        slot_put(slots[--count]);
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_ring_leaves_the_reserve_also_when_its_own_cache_has_a_slot)
{
    struct job_arena *arena = NULL;
    unsigned count = 0;
    ck_assert_ok(
        arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = MIB, .reserve_bytes = 256 * KIB}));
    ck_assert_ok(cache_attach(arena));
    slot_put(slot_take(arena, 0)); /* into the cache, where it counts as used */
    size_t used = stats_of(arena).used_bytes;

    struct slot *slot = slot_take_spare(arena, 0, true, &shortage);
    ck_assert_ptr_nonnull(slot);
    ck_assert_uint_eq(stats_of(arena).used_bytes, used);
    slot_put(slot);
    while (arena_spare(arena) >= 4 * KIB)
        ck_assert_ok(job_buf_alloc(arena, 4 * KIB, NULL, &bufs[count++]));
    job_buf_free(&bufs[--count]); /* into the cache again */

    ck_assert_ptr_null(slot_take_spare(arena, 0, true, &shortage));
    ck_assert_uint_eq(shortage.refused_bytes, 4 * KIB);

    free_all(bufs, count);
    cache_detach(arena);
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_ring_takes_a_slot_of_another_class_rather_than_starve)
{
    struct job_arena *arena = NULL;
    ck_assert_ok(
        arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 4 * MIB, .reserve_bytes = 4 * KIB}));
    unsigned count = exhaust(arena, 64 * KIB, bufs, 100);
    ck_assert_uint_eq(count, 64);
    for (unsigned i = 0; i < count; i += 32) /* one of each chunk: none is empty, but memory is spare */
        job_buf_free(&bufs[i]);
    struct slot *slot = slot_take_spare(arena, 1, true, &shortage);
    ck_assert_ptr_nonnull(slot);
    ck_assert_uint_eq(slot->size, 64 * KIB);
    slot_put(slot);
    free_all(bufs, count);
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_small_buf_does_not_take_the_place_of_all_large_slots)
{
    enum { SLOTS = 8 };
    struct job_arena *arena = NULL;
    struct slot *slots[SLOTS];
    ck_assert_ok(arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = SLOTS * 16 * KIB,
                                                                       .cache_slots_max = JOB_ARENA_NO_CACHE}));
    slot_put(slot_take(arena, 1)); /* the only chunk: eight slots of 16 KiB, all free */

    ck_assert_ptr_null(slot_take_spare(arena, 0, false, &shortage)); /* a convenience: rather nothing */
    struct job_buf *small = memory_buf(arena, 1, 1);  /* a need: a slot that is too large */

    for (unsigned i = 0; i < SLOTS - 1; i++)
        ck_assert_ptr_nonnull(slots[i] = slot_take(arena, 1));
    for (unsigned i = 0; i < SLOTS - 1; i++)
        slot_put(slots[i]);
    job_buf_free(&small);
    memory_close(&root, arena);
}
END_TEST

START_TEST(an_empty_chunk_of_small_slots_becomes_one_of_large_slots)
{
    struct job_arena *arena = NULL;
    ck_assert_ok(arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 128 * KIB}));
    slot_put(slot_take(arena, 0));

    struct slot *slot = slot_take_spare(arena, 1, true, &shortage);

    ck_assert_ptr_nonnull(slot);
    ck_assert_uint_eq(slot->size, 16 * KIB);
    slot_put(slot);
    memory_close(&root, arena);
}
END_TEST

START_TEST(a_cache_is_bounded_and_gives_all_back_when_it_goes)
{
    struct job_arena *arena = memory_arena(&root, 64 * MIB);
    ck_assert_ok(cache_attach(arena));
    ck_assert_ok(cache_attach(arena)); /* nests */
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_ok(job_buf_alloc(arena, 16 * KIB, NULL, &bufs[i]));
    free_all(bufs, 1000);
    ck_assert_uint_gt(stats_of(arena).used_bytes, 0);
    ck_assert_uint_le(stats_of(arena).used_bytes, 64 * 16 * KIB);
    cache_detach(arena);
    ck_assert_uint_gt(stats_of(arena).used_bytes, 0);
    cache_detach(arena);
    ck_assert_uint_eq(stats_of(arena).used_bytes, 0);
    memory_close(&root, arena);
}
END_TEST

START_TEST(an_arena_without_caches_strands_nothing)
{
    struct job_arena *arena = NULL;
    struct job_arena_options options = {.limit_bytes = 8 * MIB, .cache_slots_max = JOB_ARENA_NO_CACHE};
    ck_assert_ok(arena_open(&root, &arena, &options));
    ck_assert_ok(cache_attach(arena));
    unsigned count = exhaust(arena, 4 * KIB, bufs, 20000);
    free_all(bufs, count);
    ck_assert_uint_eq(stats_of(arena).used_bytes, 0);
    cache_detach(arena);
    memory_close(&root, arena);
}
END_TEST

static unsigned delivered;

static void starved_deliver(struct job_mail *mail)
{
    struct starved *starved = container_of(mail, struct starved, mail);
    starved->is_registered = false;
    delivered++;
}

static void no_wake(struct mailbox *mailbox)
{
    (void)mailbox;
}

static void deliver_all(struct mailbox *mailbox)
{
    for (struct job_mail *mail = mailbox_take(mailbox, &(struct job_mail *){NULL}), *next; mail; mail = next) {
        next = mail->job_next;
        mail->job_deliver(mail);
    }
}

START_TEST(who_starves_is_told_once_when_enough_is_back_and_not_before)
{
    struct job_arena *arena = NULL;
    struct mailbox mailbox;
    struct starved starved = {.mail.job_deliver = starved_deliver, .mailbox = &mailbox, .bytes = 16 * KIB};
    ck_assert_ok(
        arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 64 * KIB, .reserve_bytes = 4 * KIB}));
    mailbox_init(&mailbox, no_wake);
    delivered = 0;
    unsigned count = exhaust(arena, 4 * KIB, bufs, 100);
    ck_assert_uint_eq(count, 16);

    ck_assert_ptr_null(slot_take_spare(arena, 1, true, &shortage));
    ck_assert_uint_eq(shortage.refused_bytes, 16 * KIB);
    arena_starve(arena, &starved, &shortage);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(mailbox_is_empty(&mailbox)); /* 4 KiB are reserve: five slots must be back */
        job_buf_free(&bufs[--count]);
    }
    ck_assert(!mailbox_is_empty(&mailbox));
    job_buf_free(&bufs[--count]);
    deliver_all(&mailbox);
    ck_assert_uint_eq(delivered, 1);
    ck_assert_uint_eq(stats_of(arena).starved, 1);
    free_all(bufs, count);
    memory_close(&root, arena);
}
END_TEST

START_TEST(who_lacks_a_slot_is_not_told_of_bytes_in_smaller_ones_until_some_are_freed)
{
    struct job_arena *arena = NULL;
    struct mailbox mailbox;
    struct starved starved = {.mail.job_deliver = starved_deliver, .mailbox = &mailbox, .bytes = 16 * KIB};
    struct job_arena_options options = {
        .limit_bytes = 64 * KIB, .reserve_bytes = 4 * KIB, .cache_slots_max = JOB_ARENA_NO_CACHE};
    ck_assert_ok(arena_open(&root, &arena, &options));
    mailbox_init(&mailbox, no_wake);
    unsigned count = exhaust(arena, 4 * KIB, bufs, 100);
    while (count > 1) /* 60 KiB are spare, but the chunk stays one of small slots */
        job_buf_free(&bufs[--count]);

    ck_assert_ptr_null(slot_take_spare(arena, 1, true, &shortage));
    arena_starve(arena, &starved, &shortage);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ptr_null(slot_take_spare(arena, 1, true, &shortage));
    ck_assert(mailbox_is_empty(&mailbox));

    job_buf_free(&bufs[0]);
    ck_assert(!mailbox_is_empty(&mailbox));
    deliver_all(&mailbox);
    struct slot *slot = slot_take_spare(arena, 1, true, &shortage);
    ck_assert_ptr_nonnull(slot);
    slot_put(slot);
    memory_close(&root, arena);
}
END_TEST

START_TEST(who_no_longer_waits_is_told_nothing_and_the_others_still_are)
{
    struct job_arena *arena = NULL;
    struct mailbox mailbox;
    struct starved starved[3];
    ck_assert_ok(
        arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 64 * KIB, .reserve_bytes = 4 * KIB}));
    mailbox_init(&mailbox, no_wake);
    delivered = 0;
    unsigned count = exhaust(arena, 4 * KIB, bufs, 100);
    for (unsigned i = 0; i < 3; i++) {
        starved[i] = (struct starved){.mail.job_deliver = starved_deliver, .mailbox = &mailbox, .bytes = 4 * KIB};
        ck_assert_ptr_null(slot_take_spare(arena, 0, true, &shortage));
        arena_starve(arena, &starved[i], &shortage);
    }
    arena_unstarve(arena, &starved[1]);
    arena_unstarve(arena, &starved[1]); /* not registered: harmless */
    free_all(bufs, count);
    deliver_all(&mailbox);
    ck_assert_uint_eq(delivered, 2);
    ck_assert(!starved[0].is_registered && !starved[1].is_registered && !starved[2].is_registered);
    memory_close(&root, arena);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, the_limit_is_used_to_the_last_slot_and_not_passed);
    tcase_add_test(tcase, a_limit_that_is_no_multiple_of_a_slot_is_rounded_up_to_one);
    tcase_add_test(tcase, an_empty_arena_takes_another_limit_within_its_addresses);
    tcase_add_test(tcase, the_limit_of_a_fresh_arena_is_set_without_a_look_at_its_chunks);
    tcase_add_test(tcase, the_default_limit_is_a_quarter_of_what_the_container_may_use);
    tcase_add_test(tcase, open_refuses_bad_options_and_leaves_nothing);
    tcase_add_test(tcase, an_arena_with_bufs_or_caches_is_not_closed_and_stays_whole);
    tcase_add_test(tcase, chunks_that_are_empty_serve_other_classes_at_the_limit);
    tcase_add_test(tcase, one_slot_in_use_keeps_its_chunk_and_no_other);
    tcase_add_test(tcase, a_larger_slot_serves_when_its_class_is_all_there_is);
    tcase_add_test(tcase, runs_find_adjacent_chunks_and_leave_no_trace);
    tcase_add_test(tcase, a_run_can_be_a_gibibyte);
    tcase_add_test(tcase, holders_that_do_not_fit_are_refused_with_the_sum_in_the_log);
    tcase_add_test(tcase, the_reserve_is_at_least_an_output_for_each_pool_thread);
    tcase_add_test(tcase, a_ring_leaves_the_reserve_to_those_who_compute);
    tcase_add_test(tcase, a_ring_leaves_the_reserve_also_when_its_own_cache_has_a_slot);
    tcase_add_test(tcase, a_ring_takes_a_slot_of_another_class_rather_than_starve);
    tcase_add_test(tcase, a_small_buf_does_not_take_the_place_of_all_large_slots);
    tcase_add_test(tcase, an_empty_chunk_of_small_slots_becomes_one_of_large_slots);
    tcase_add_test(tcase, a_cache_is_bounded_and_gives_all_back_when_it_goes);
    tcase_add_test(tcase, an_arena_without_caches_strands_nothing);
    tcase_add_test(tcase, who_starves_is_told_once_when_enough_is_back_and_not_before);
    tcase_add_test(tcase, who_lacks_a_slot_is_not_told_of_bytes_in_smaller_ones_until_some_are_freed);
    tcase_add_test(tcase, who_no_longer_waits_is_told_nothing_and_the_others_still_are);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
