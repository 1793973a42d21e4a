/* test_region.c — cells of 32 and 64 bits, their offsets, references, and threads that count together. */
#include "support/memory.h"

static struct root root;
static struct job_runtime *runtime; /* a region needs the root and its arena only */

enum { LIMIT_BYTES = 8 << 20 };

static void set_up(void)
{
    runtime = (struct job_runtime *)memory_root(&root);
    root.arena = memory_arena(&root, LIMIT_BYTES);
}

static void tear_down(void)
{
    ck_assert_uint_eq(load_relaxed(&root.regions), 0); /* one thread by now */
    memory_close(&root, root.arena);
}

static struct job_region *region_of(size_t size)
{
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, size, &region));
    return region;
}

START_TEST(S02_a_region_is_zero_and_its_size_fixed)
{
    static const size_t sizes[] = {1, 3, 4, 7, 8, 63, 64, 4096, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct job_region *region = region_of(sizes[i]);
        ck_assert_uint_eq(job_region_size(region), sizes[i]);
        for (size_t at = 0; at + 4 <= sizes[i]; at += 4) {
            uint32_t value = 1;
            ck_assert_ok(job_region_load32(region, at, &value));
            ck_assert_uint_eq(value, 0);
        }
        job_region_release(&region);
        ck_assert_ptr_null(region);
    }
}
END_TEST

static struct job_arena_stats arena_now(void)
{
    struct job_arena_stats stats;
    job_arena_stats(root.arena, &stats);
    return stats;
}

START_TEST(regions_and_bufs_share_one_limit)
{
    enum { MIB = 1 << 20 };
    struct job_region *regions[16] = {0}, *one_more = NULL;
    struct job_buf *buf = NULL;
    unsigned count = 0;

    while (count < 16 && job_region_open(runtime, MIB, &regions[count]) == 0)
        count++;
    ck_assert_uint_eq(count, 7); /* a bit more than 1 MiB each, with what the library needs of its own */
    ck_assert_uint_eq(arena_now().failed, 1);
    ck_assert_uint_gt(arena_now().used_bytes, 7 * MIB);
    ck_assert_uint_le(arena_now().committed_bytes, LIMIT_BYTES);
    ck_assert_int_eq(job_buf_alloc(root.arena, MIB, NULL, &buf), -ENOMEM);
    ck_assert_ok(job_buf_alloc(root.arena, MIB / 4, NULL, &buf));
    job_buf_free(&buf);

    job_region_release(&regions[--count]);
    ck_assert_ok(job_buf_alloc(root.arena, MIB, NULL, &buf));
    ck_assert_int_eq(job_region_open(runtime, MIB, &one_more), -ENOMEM);
    job_buf_free(&buf);
    ck_assert_ok(job_region_open(runtime, MIB, &one_more)); /* the chunks that the bufs have left make room */
    job_region_release(&one_more);
    while (count > 0)
        job_region_release(&regions[--count]);
    ck_assert_uint_eq(arena_now().used_bytes, 0);
}
END_TEST

START_TEST(a_region_lies_in_a_slot_when_chunks_have_all_memory)
{
    struct job_buf *bufs[4] = {0};
    struct job_region *region = NULL;
    uint32_t value = 1;
    for (int i = 0; i < 4; i++) { /* four chunks of 2 MiB, of which little is used */
        ck_assert_ok(job_buf_alloc(root.arena, (size_t)4000 << (2 * i), NULL, &bufs[i]));
        memset(job_buf_room(bufs[i], NULL), 0xFF, 100);
    }
    job_buf_free(&bufs[0]); /* its chunk is empty, but for what the region takes */
    ck_assert_ok(job_buf_alloc(root.arena, 4000, NULL, &bufs[0]));
    uint64_t blocks = load_relaxed(&root.allocations); /* one thread */

    region = region_of(3000);

    ck_assert_uint_eq(load_relaxed(&root.allocations), blocks);
    for (size_t at = 0; at < 3000; at += 4) {
        ck_assert_ok(job_region_load32(region, at, &value));
        ck_assert_uint_eq(value, 0);
    }
    job_region_release(&region);
    for (int i = 0; i < 4; i++)
        job_buf_free(&bufs[i]);
    ck_assert_uint_eq(arena_now().used_bytes, 0);
}
END_TEST

START_TEST(S02_open_refuses_bad_sizes_and_null)
{
    struct job_region *none = NULL, *region = (struct job_region *)&none;
    ck_assert_int_eq(job_region_open(NULL, 8, &region), -EINVAL);
    ck_assert_int_eq(job_region_open(runtime, 8, NULL), -EINVAL);
    ck_assert_int_eq(job_region_open(runtime, ((size_t)1 << 30) + 1, &region), -EINVAL);
    ck_assert_int_eq(job_region_open(runtime, SIZE_MAX, &region), -EINVAL);
    ck_assert_ptr_eq(region, (struct job_region *)&none);
}
END_TEST

START_TEST(a_cell_is_refused_exactly_when_it_is_misaligned_or_reaches_past_the_end)
{
    for (size_t size = 1; size <= 24; size++) {
        struct job_region *region = region_of(size);
        for (size_t at = 0; at <= 40; at++) {
            uint32_t narrow = 7;
            uint64_t wide = 7;
            int expect32 = at % 4 == 0 && at + 4 <= size ? 0 : -EINVAL,
                expect64 = at % 8 == 0 && at + 8 <= size ? 0 : -EINVAL;
            ck_assert_int_eq(job_region_load32(region, at, &narrow), expect32);
            ck_assert_int_eq(job_region_load64(region, at, &wide), expect64);
            ck_assert_uint_eq(narrow, expect32 ? 7 : 0);
            ck_assert_uint_eq(wide, expect64 ? 7 : 0);
        }
        uint64_t wide;
        ck_assert_int_eq(job_region_load64(region, SIZE_MAX - 7, &wide), -EINVAL);
        job_region_release(&region);
    }
}
END_TEST

#define ASSERT_REFUSED(bits, region, at)                                                                               \
    do {                                                                                                               \
        uint##bits##_t old = 77, expected = 78;                                                                        \
        ck_assert_int_eq(job_region_store##bits(region, at, 9), -EINVAL);                                              \
        ck_assert_int_eq(job_region_exchange##bits(region, at, 9, &old), -EINVAL);                                     \
        ck_assert_int_eq(job_region_add##bits(region, at, 9, &old), -EINVAL);                                          \
        ck_assert_int_eq(job_region_sub##bits(region, at, 9, &old), -EINVAL);                                          \
        ck_assert_int_eq(job_region_and##bits(region, at, 9, &old), -EINVAL);                                          \
        ck_assert_int_eq(job_region_or##bits(region, at, 9, &old), -EINVAL);                                           \
        ck_assert_int_eq(job_region_xor##bits(region, at, 9, &old), -EINVAL);                                          \
        ck_assert_int_eq(job_region_compare_exchange##bits(region, at, &expected, 9), -EINVAL);                        \
        ck_assert_uint_eq(old, 77);                                                                                    \
        ck_assert_uint_eq(expected, 78);                                                                               \
    } while (0)

START_TEST(the_address_of_a_cell_is_given_exactly_when_the_cell_lies_inside)
{
    struct job_region *region = region_of(16);
    for (size_t width = 1; width <= 8; width *= 2) {
        for (size_t at = 0; at <= 17; at++) {
            char *cell = job_region_cell(region, at, width);
            if (at % width == 0 && at + width <= 16)
                ck_assert_ptr_eq(cell, (char *)job_region_cell(region, 0, 1) + at);
            else
                ck_assert_ptr_null(cell);
        }
        ck_assert_ptr_null(job_region_cell(region, SIZE_MAX - width + 1, width));
        ck_assert_ptr_null(job_region_cell(NULL, 0, width));
    }
    job_region_release(&region);
}
END_TEST

START_TEST(no_operation_touches_a_refused_cell)
{
    struct job_region *region = region_of(16);
    ASSERT_REFUSED(32, region, 2);
    ASSERT_REFUSED(32, region, 16);
    ASSERT_REFUSED(64, region, 4);
    ASSERT_REFUSED(64, region, 16);
    ASSERT_REFUSED(32, (struct job_region *)NULL, 0);
    ASSERT_REFUSED(64, (struct job_region *)NULL, 0);
    uint64_t low, high;
    ck_assert_ok(job_region_load64(region, 0, &low));
    ck_assert_ok(job_region_load64(region, 8, &high));
    ck_assert_uint_eq(low | high, 0);
    ck_assert_int_eq(job_region_load32(region, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_region_load64(region, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_region_compare_exchange32(region, 0, NULL, 1), -EINVAL);
    ck_assert_int_eq(job_region_compare_exchange64(region, 0, NULL, 1), -EINVAL);
    job_region_release(&region);
}
END_TEST

#define ASSERT_OPERATIONS(bits, region, at)                                                                            \
    do {                                                                                                               \
        uint##bits##_t value, old;                                                                                     \
        const uint##bits##_t top = (uint##bits##_t) ~(uint##bits##_t)0;                                                \
        ck_assert_ok(job_region_store##bits(region, at, 5));                                                           \
        ck_assert_ok(job_region_exchange##bits(region, at, 12, &old));                                                 \
        ck_assert_uint_eq(old, 5);                                                                                     \
        ck_assert_ok(job_region_add##bits(region, at, 3, &old));                                                       \
        ck_assert_uint_eq(old, 12);                                                                                    \
        ck_assert_ok(job_region_sub##bits(region, at, 16, &old));                                                      \
        ck_assert_uint_eq(old, 15);                                                                                    \
        ck_assert_ok(job_region_and##bits(region, at, 0xF0, &old));                                                    \
        ck_assert_uint_eq(old, top);                                                                                   \
        ck_assert_ok(job_region_or##bits(region, at, 0x0F, &old));                                                     \
        ck_assert_uint_eq(old, 0xF0);                                                                                  \
        ck_assert_ok(job_region_xor##bits(region, at, 0xF1, &old));                                                    \
        ck_assert_uint_eq(old, 0xFF);                                                                                  \
        ck_assert_ok(job_region_add##bits(region, at, 1, NULL));                                                       \
        ck_assert_ok(job_region_load##bits(region, at, &value));                                                       \
        ck_assert_uint_eq(value, 15);                                                                                  \
        value = 14;                                                                                                    \
        ck_assert_ok(job_region_compare_exchange##bits(region, at, &value, 1));                                        \
        ck_assert_uint_eq(value, 15);                                                                                  \
        ck_assert_ok(job_region_compare_exchange##bits(region, at, &value, 1));                                        \
        ck_assert_uint_eq(value, 15);                                                                                  \
        ck_assert_ok(job_region_load##bits(region, at, &value));                                                       \
        ck_assert_uint_eq(value, 1);                                                                                   \
        ck_assert_ok(job_region_store##bits(region, at, 0));                                                           \
    } while (0)

START_TEST(every_operation_returns_what_was_and_leaves_its_neighbours)
{
    struct job_region *region = region_of(32);
    uint64_t before, after;
    ck_assert_ok(job_region_store64(region, 0, UINT64_C(0x1122334455667788)));
    ck_assert_ok(job_region_store64(region, 24, UINT64_C(0x1122334455667788)));
    ASSERT_OPERATIONS(32, region, 8);
    ASSERT_OPERATIONS(32, region, 12);
    ASSERT_OPERATIONS(64, region, 16);
    ck_assert_ok(job_region_load64(region, 0, &before));
    ck_assert_ok(job_region_load64(region, 24, &after));
    ck_assert_uint_eq(before, UINT64_C(0x1122334455667788));
    ck_assert_uint_eq(after, UINT64_C(0x1122334455667788));
    job_region_release(&region);
}
END_TEST

START_TEST(a_region_lives_until_its_last_reference_goes)
{
    struct job_region *null = NULL, *region = region_of(8), *second = job_region_retain(region);
    ck_assert_ptr_eq(second, region);
    job_region_release(&region);
    ck_assert_ptr_null(region);
    ck_assert_uint_eq(load_relaxed(&root.regions), 1);
    ck_assert_ok(job_region_store32(second, 4, 1));
    job_region_release(&second);
    ck_assert_uint_eq(load_relaxed(&root.regions), 0);
    job_region_release(&null);
    job_region_release(NULL);
    ck_assert_ptr_null(job_region_retain(NULL));
    ck_assert_uint_eq(job_region_size(NULL), 0);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

static void *count_up(void *arg)
{
    struct job_region *region = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        (void)job_region_add32(region, 0, 1, NULL);
        (void)job_region_add64(region, 8, UINT64_C(1) << 32 | 1, NULL);
    }
    job_region_release(&region);
    return NULL;
}

START_TEST(S01_S26_threads_count_together_and_the_last_one_frees_though_the_opener_has_gone)
{
    struct job_region *region = region_of(16), *watched = job_region_retain(region);
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, job_region_retain(region)), 0);
    job_region_release(&region);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    uint32_t narrow;
    uint64_t wide;
    ck_assert_ok(job_region_load32(watched, 0, &narrow));
    ck_assert_ok(job_region_load64(watched, 8, &wide));
    ck_assert_uint_eq(narrow, THREADS * ROUNDS);
    ck_assert_uint_eq(wide, (UINT64_C(1) << 32 | 1) * THREADS * ROUNDS);
    job_region_release(&watched);
}
END_TEST

START_TEST(a_notify_past_the_end_is_refused)
{
    struct job_region *region = region_of(64);
    ck_assert_int_eq(job_region_notify(region, 60, 1), 0);
    ck_assert_int_eq(job_region_notify(region, 64, 1), -EINVAL);
    ck_assert_int_eq(job_region_notify(region, SIZE_MAX - 3, 1), -EINVAL);
    ck_assert_int_eq(job_region_notify(NULL, 0, 1), -EINVAL);
    job_region_release(&region);
}
END_TEST

static struct job_region *growable(size_t size, size_t size_max)
{
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open_with(
        runtime, &(struct job_region_options){.size = size, .size_max = size_max}, &region));
    return region;
}

START_TEST(a_region_counts_for_the_limit_with_what_it_has_grown_to_and_not_with_what_it_may_become)
{
    enum { MANY = 16, SMALL = 4096, LARGE = LIMIT_BYTES / 2 };
    struct job_region *regions[MANY];
    for (unsigned i = 0; i < MANY; i++)
        regions[i] = growable(SMALL, LARGE);   /* together they may become eight times the limit */

    ck_assert_ok(job_region_grow(regions[0], LARGE));
    ck_assert_int_eq(job_region_grow(regions[1], LARGE), -ENOMEM);
    ck_assert_uint_eq(job_region_size(regions[1]), SMALL);

    job_region_release(&regions[0]);
    ck_assert_ok(job_region_grow(regions[1], LARGE));
    for (unsigned i = 1; i < MANY; i++)
        job_region_release(&regions[i]);
    ck_assert_uint_eq(arena_now().used_bytes, 0);
}
END_TEST

/* Two who grow one region in small steps, by turns if they are equally fast: what one has reached, the other must not take back. So many
 * steps that both run together for most of them, whoever of them begins late. */
enum { GROWERS = 2, STEP = 32, GROWN = LIMIT_BYTES / 2 };

struct grower {
    pthread_t thread;
    struct job_region *region;
    pthread_barrier_t *barrier;
    size_t first;
    unsigned shrunk;
};

static void *grow_by_steps(void *arg)
{
    struct grower *grower = arg;
    (void)pthread_barrier_wait(grower->barrier);
    for (size_t size = grower->first; size <= GROWN; size += GROWERS * STEP) {
        int err = job_region_grow(grower->region, size);   /* -EINVAL: the other one is further */
        if (err != 0 && err != -EINVAL)
            ck_abort_msg("%zu: %s", size, job_strerror(err));
        grower->shrunk += job_region_size(grower->region) < size;
    }
    return NULL;
}

START_TEST(two_who_grow_a_region_at_once_never_make_it_smaller)
{
    pthread_barrier_t barrier;
    struct grower growers[GROWERS];
    ck_assert_int_eq(pthread_barrier_init(&barrier, NULL, GROWERS), 0);
    for (unsigned round = 0; round < fixture_rounds("GROWS", 120); round++) {
        struct job_region *region = growable(0, GROWN);
        for (unsigned i = 0; i < GROWERS; i++) {
            growers[i] = (struct grower){.region = region, .barrier = &barrier, .first = (i + 1) * STEP};
            ck_assert_int_eq(pthread_create(&growers[i].thread, NULL, grow_by_steps, &growers[i]), 0);
        }
        for (unsigned i = 0; i < GROWERS; i++) {
            pthread_join(growers[i].thread, NULL);
            ck_assert_uint_eq(growers[i].shrunk, 0);
        }
        ck_assert_uint_eq(job_region_size(region), GROWN);
        job_region_release(&region);
        ck_assert_uint_eq(arena_now().used_bytes, 0);   /* it was charged with what it has become */
    }
    pthread_barrier_destroy(&barrier);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region");
    TCase *tcase = tcase_create("region");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, S02_a_region_is_zero_and_its_size_fixed);
    tcase_add_test(tcase, regions_and_bufs_share_one_limit);
    tcase_add_test(tcase, a_region_lies_in_a_slot_when_chunks_have_all_memory);
    tcase_add_test(tcase, S02_open_refuses_bad_sizes_and_null);
    tcase_add_test(tcase, a_cell_is_refused_exactly_when_it_is_misaligned_or_reaches_past_the_end);
    tcase_add_test(tcase, the_address_of_a_cell_is_given_exactly_when_the_cell_lies_inside);
    tcase_add_test(tcase, no_operation_touches_a_refused_cell);
    tcase_add_test(tcase, every_operation_returns_what_was_and_leaves_its_neighbours);
    tcase_add_test(tcase, a_region_lives_until_its_last_reference_goes);
    tcase_add_test(tcase, S01_S26_threads_count_together_and_the_last_one_frees_though_the_opener_has_gone);
    tcase_add_test(tcase, a_notify_past_the_end_is_refused);
    tcase_add_test(tcase, a_region_counts_for_the_limit_with_what_it_has_grown_to_and_not_with_what_it_may_become);
    tcase_add_test(tcase, two_who_grow_a_region_at_once_never_make_it_smaller);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
