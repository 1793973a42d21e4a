/* test_region_cell.c — cells of regions: their operations, what another thread sees of them, and how a region grows. */
#include "unit/loop/region_waits.h"

START_TEST(S05_S06_cells_of_8_and_16_bits_return_the_old_value_and_wrap)
{
    uint8_t narrow = 0;
    uint16_t half = 0;
    ck_assert_ok(job_region_store8(region, 1, 250));
    ck_assert_ok(job_region_add8(region, 1, 10, &narrow));
    ck_assert_uint_eq(narrow, 250);
    ck_assert_ok(job_region_load8(region, 1, &narrow));
    ck_assert_uint_eq(narrow, 4);
    ck_assert_ok(job_region_sub8(region, 1, 5, &narrow));
    ck_assert_ok(job_region_load8(region, 1, &narrow));
    ck_assert_uint_eq(narrow, 255);
    ck_assert_ok(job_region_load8(region, 0, &narrow));
    ck_assert_uint_eq(narrow, 0);   /* neighbours */
    ck_assert_ok(job_region_load8(region, 2, &narrow));
    ck_assert_uint_eq(narrow, 0);
    ck_assert_ok(job_region_store16(region, 4, 0xFFFF));
    ck_assert_ok(job_region_add16(region, 4, 2, &half));
    ck_assert_uint_eq(half, 0xFFFF);
    ck_assert_ok(job_region_xor16(region, 4, 0xF0F1, &half));
    ck_assert_uint_eq(half, 1);
    half = 0xF0F0;
    ck_assert_ok(job_region_compare_exchange16(region, 4, &half, 7));
    ck_assert_uint_eq(half, 0xF0F0);
    ck_assert_ok(job_region_exchange16(region, 4, 9, &half));
    ck_assert_uint_eq(half, 7);
    ck_assert_int_eq(job_region_load16(region, 5, &half), -EINVAL);
    ck_assert_int_eq(job_region_load16(region, SIZE_MAX - 1, &half), -EINVAL);   /* S07 */
    ck_assert_int_eq(job_region_load8(region, 4096, &narrow), -EINVAL);
    ck_assert_ok(job_region_load8(region, 4095, &narrow));
}
END_TEST

START_TEST(S03_a_region_grows_to_its_maximum_and_never_shrinks)
{
    struct job_region *growing = NULL;
    uint32_t value = 1;
    const struct job_region_options options = {.size = 100, .size_max = 100000}, bad = {.size = 10, .size_max = 9};
    ck_assert_ok(job_region_open_with(runtime, &options, &growing));
    void *cells = job_region_cell(growing, 0, 1);
    ck_assert_ok(job_region_store32(growing, 96, 5));
    ck_assert_int_eq(job_region_load32(growing, 100, &value), -EINVAL);
    ck_assert_ok(job_region_grow(growing, 100));
    ck_assert_ok(job_region_grow(growing, 50000));
    ck_assert_int_eq(job_region_grow(growing, 49999), -EINVAL);
    ck_assert_int_eq(job_region_grow(growing, 100001), -EINVAL);
    ck_assert_uint_eq(job_region_size(growing), 50000);
    ck_assert_ptr_eq(job_region_cell(growing, 0, 1), cells);
    for (size_t at = 100; at + 4 <= 50000; at += 4) {
        ck_assert_ok(job_region_load32(growing, at, &value));
        ck_assert_uint_eq(value, 0);
    }
    ck_assert_ok(job_region_load32(growing, 96, &value));
    ck_assert_uint_eq(value, 5);
    job_region_release(&growing);
    ck_assert_int_eq(job_region_grow(region, 4097), -EINVAL);   /* one that has no maximum */
    ck_assert_int_eq(job_region_grow(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_region_open_with(runtime, &bad, &growing), -EINVAL);
}
END_TEST

static void *grow_steadily(void *arg)
{
    struct job_region *growing = arg;
    for (size_t size = 4; size <= 400000; size += 400)
        ck_assert_ok(job_region_grow(growing, size));
    return NULL;
}

START_TEST(S03_another_thread_sees_only_larger_sizes_and_zero_bytes)
{
    struct job_region *growing = NULL;
    pthread_t thread;
    const struct job_region_options options = {.size = 4, .size_max = 400004};
    ck_assert_ok(job_region_open_with(runtime, &options, &growing));
    ck_assert_int_eq(pthread_create(&thread, NULL, grow_steadily, growing), 0);
    for (size_t last = 0; last < 399000;) {
        uint32_t value = 1;
        size_t size = job_region_size(growing);
        ck_assert_uint_ge(size, last);
        ck_assert_ok(job_region_load32(growing, size / 4 * 4 - 4, &value));
        ck_assert_uint_eq(value, 0);
        last = size;
    }
    pthread_join(thread, NULL);
    job_region_release(&growing);
}
END_TEST

START_TEST(S23_S24_what_is_lock_free_is_known)
{
    static const size_t widths[] = {1, 2, 4, 8};
    for (unsigned i = 0; i < 4; i++)
        ck_assert(job_region_is_lock_free(widths[i]));
    ck_assert(!job_region_is_lock_free(0) && !job_region_is_lock_free(3) && !job_region_is_lock_free(16));
    job_cpu_relax();
}
END_TEST

/* Store buffering: of two that store and then load, at least one sees the other; and message passing. */
enum { LITMUS_MAX = 20000 };
static unsigned litmus_rounds;
static uint32_t seen[2][LITMUS_MAX + 1];

static void *litmus_side(void *arg)
{
    unsigned side = (unsigned)(uintptr_t)arg;
    for (uint32_t round = 1; round <= litmus_rounds; round++) {
        uint32_t here = 0;
        (void)job_region_add32(region, 256, 1, NULL);
        for (unsigned looks = 0; here < 2 * round; fixture_pause(&looks))   /* both have come */
            (void)job_region_load32(region, 256, &here);
        (void)job_region_store32(region, 64 + 64 * side, round);
        (void)job_region_load32(region, 128 - 64 * side, &seen[side][round]);
    }
    return NULL;
}

START_TEST(S25_stores_and_loads_are_sequentially_consistent)
{
    pthread_t threads[2];
    unsigned left = fixture_rounds("LITMUS", LITMUS_MAX);
    for (; left > 0; left -= litmus_rounds) {
        litmus_rounds = left < LITMUS_MAX ? left : LITMUS_MAX;
        for (size_t cell = 64; cell <= 256; cell += 64)
            ck_assert_ok(job_region_store32(region, cell, 0));
        for (uintptr_t i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, litmus_side, (void *)i), 0);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(threads[i], NULL);
        for (uint32_t round = 1; round <= litmus_rounds; round++)
            ck_assert(seen[0][round] >= round || seen[1][round] >= round);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region cell");
    TCase *tcase = tcase_create("region wait");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, S05_S06_cells_of_8_and_16_bits_return_the_old_value_and_wrap);
    tcase_add_test(tcase, S03_a_region_grows_to_its_maximum_and_never_shrinks);
    tcase_add_test(tcase, S03_another_thread_sees_only_larger_sizes_and_zero_bytes);
    tcase_add_test(tcase, S23_S24_what_is_lock_free_is_known);
    tcase_add_test(tcase, S25_stores_and_loads_are_sequentially_consistent);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
