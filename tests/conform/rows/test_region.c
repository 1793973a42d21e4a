/* test_region.c — rows S: offsets, which cells can be waited for, notifying nobody, and what threads may see in which order. */
#include <sched.h>

#include "base/sys.h"
#include "support/fixture.h"

enum { BYTES = 64 };

static struct job_runtime *runtime;
static struct job_region *region;

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_region_open(runtime, BYTES, &region));
}

static void teardown(void)
{
    job_region_release(&region);
    fixture_close(runtime);
}

/* Every operation of a width; how many of them did not say -EINVAL. */
#define ACCEPTED(bits)                                                                                                 \
    static unsigned accepted##bits(size_t offset)                                                                      \
    {                                                                                                                  \
        uint##bits##_t value = 7;                                                                                      \
        unsigned count = job_region_load##bits(region, offset, &value) != -EINVAL;                                     \
        count += job_region_store##bits(region, offset, 9) != -EINVAL;                                                 \
        count += job_region_exchange##bits(region, offset, 9, &value) != -EINVAL;                                      \
        count += job_region_compare_exchange##bits(region, offset, &value, 9) != -EINVAL;                              \
        count += job_region_add##bits(region, offset, 9, &value) != -EINVAL;                                           \
        count += job_region_sub##bits(region, offset, 9, &value) != -EINVAL;                                           \
        count += job_region_and##bits(region, offset, 9, &value) != -EINVAL;                                           \
        count += job_region_or##bits(region, offset, 9, &value) != -EINVAL;                                            \
        count += job_region_xor##bits(region, offset, 9, &value) != -EINVAL;                                           \
        ck_assert_uint_eq(count == 0 ? value : 7, 7);                                                                  \
        return count;                                                                                                  \
    }
ACCEPTED(8)
ACCEPTED(16)
ACCEPTED(32)
ACCEPTED(64)

START_TEST(S07_an_offset_that_is_out_of_range_or_not_aligned_changes_nothing)
{
    static unsigned (*const accepted[])(size_t offset) = {accepted8, accepted16, accepted32, accepted64};
    static const size_t far[] = {BYTES, BYTES + 8, 4096, SIZE_MAX / 2 + 1, SIZE_MAX - 63, SIZE_MAX - 7, SIZE_MAX - 3,
                                 SIZE_MAX - 1, SIZE_MAX};
    for (unsigned i = 0; i < 4; i++) {
        size_t width = (size_t)1 << i;
        for (unsigned at = 0; at < sizeof far / sizeof far[0]; at++)
            ck_assert_uint_eq(accepted[i](far[at]), 0);
        for (size_t offset = 0; offset < BYTES; offset++) {
            if (offset % width != 0)
                ck_assert_uint_eq(accepted[i](offset), 0);
        }
    }
    for (size_t offset = 0; offset < BYTES; offset += 8) {
        uint64_t value = 1;
        ck_assert_ok(job_region_load64(region, offset, &value));
        ck_assert_uint_eq(value, 0);
    }
    for (unsigned i = 0; i < 4; i++)
        ck_assert_uint_eq(accepted[i](BYTES - ((size_t)1 << i)), 9);   /* the last cell is one */
}
END_TEST

START_TEST(S10_cells_of_32_and_64_bits_can_be_waited_for_where_such_a_cell_is)
{
    ck_assert_int_eq(job_region_wait32(region, 4, 0, 1000), -ETIMEDOUT);
    ck_assert_int_eq(job_region_wait64(region, 8, 0, 1000), -ETIMEDOUT);
    for (unsigned offset = 1; offset < 8; offset++) {
        ck_assert_int_eq(job_region_wait64(region, offset, 0, 1000), -EINVAL);
        if (offset != 4)
            ck_assert_int_eq(job_region_wait32(region, offset, 0, 1000), -EINVAL);
    }
    ck_assert_int_eq(job_region_wait32(region, BYTES, 0, 1000), -EINVAL);
    ck_assert_int_eq(job_region_wait64(region, BYTES - 4, 0, 1000), -EINVAL);
    ck_assert_int_eq(job_region_wait32(NULL, 0, 0, 1000), -EINVAL);
}
END_TEST

/* The library's calls come here. */
static unsigned futex_wakes;
int __real_sys_futex_wake(atomic_u32 *word, unsigned count);
int __wrap_sys_futex_wake(atomic_u32 *word, unsigned count);

int __wrap_sys_futex_wake(atomic_u32 *word, unsigned count)
{
    (void)__atomic_fetch_add(&futex_wakes, 1, __ATOMIC_RELAXED);
    return __real_sys_futex_wake(word, count);
}

static void *wait_main(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)job_region_wait32(region, 0, 0, -1);
}

START_TEST(S17_notify_without_a_waiter_returns_0_and_asks_the_kernel_nothing)
{
    pthread_t thread;
    void *result;
    unsigned before = __atomic_load_n(&futex_wakes, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(job_region_notify(region, 0, 1), 0);
    ck_assert_uint_eq(__atomic_load_n(&futex_wakes, __ATOMIC_RELAXED), before);

    ck_assert_int_eq(pthread_create(&thread, NULL, wait_main, NULL), 0);
    while (job_region_notify(region, 0, 1) == 0)
        (void)sched_yield();
    (void)pthread_join(thread, &result);

    ck_assert_int_eq((int)(intptr_t)result, 0);
    ck_assert_uint_gt(__atomic_load_n(&futex_wakes, __ATOMIC_RELAXED), before);   /* what is counted does count */
    ck_assert_int_eq(job_region_notify(region, 0, 100), 0);   /* it was woken already */
}
END_TEST

/* Two cells only grow, a writer each. Two readers look at both, in opposite order. */
enum { LOOKS_MAX = 100000, X = 0, Y = 32 };

struct reader {
    pthread_t thread;
    size_t first, second;
    uint32_t seen_first[LOOKS_MAX], seen_second[LOOKS_MAX];
};

static struct reader readers[2] = {{.first = X, .second = Y}, {.first = Y, .second = X}};
static unsigned looks, readers_left;

static void *writer_main(void *arg)
{
    size_t cell = (size_t)(uintptr_t)arg;
    while (__atomic_load_n(&readers_left, __ATOMIC_RELAXED) > 0)
        ck_assert_ok(job_region_add32(region, cell, 1, NULL));
    return NULL;
}

static void *reader_main(void *arg)
{
    struct reader *reader = arg;
    for (unsigned i = 0; i < looks; i++) {
        ck_assert_ok(job_region_load32(region, reader->first, &reader->seen_first[i]));
        ck_assert_ok(job_region_load32(region, reader->second, &reader->seen_second[i]));
    }
    (void)__atomic_fetch_sub(&readers_left, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Reader 0 has seen x and after it an old y; nobody may have seen a newer y and after it an x older than that one. */
static void compare_readers(void)
{
    const struct reader *a = &readers[0], *b = &readers[1];
    for (unsigned i = 0, k = 0; i < looks; i++) {   /* k: how many of b's looks have seen an x older than a's */
        while (k < looks && b->seen_second[k] < a->seen_first[i])
            k++;
        if (k > 0)
            ck_assert_uint_le(b->seen_first[k - 1], a->seen_second[i]);   /* of those the newest y */
    }
}

START_TEST(S25_independent_readers_agree_on_the_order_of_two_writers)
{
    pthread_t writers[2];
    for (unsigned left = fixture_rounds("LOOKS", LOOKS_MAX); left > 0; left -= looks) {
        looks = left < LOOKS_MAX ? left : LOOKS_MAX;
        readers_left = 2;
        ck_assert_ok(job_region_store32(region, X, 0));   /* so that none comes round */
        ck_assert_ok(job_region_store32(region, Y, 0));
        for (unsigned i = 0; i < 2; i++) {
            ck_assert_int_eq(pthread_create(&writers[i], NULL, writer_main, (void *)(uintptr_t)(i ? Y : X)), 0);
            ck_assert_int_eq(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]), 0);
        }
        for (unsigned i = 0; i < 2; i++) {
            (void)pthread_join(readers[i].thread, NULL);
            (void)pthread_join(writers[i], NULL);
        }
        compare_readers();
    }
}
END_TEST

enum { NOTES_MAX = 20000 };

static struct job_end *ends[2];
static uint64_t plain[NOTES_MAX];   /* no atomics: only the message orders */

static void *post_main(void *arg)
{
    unsigned notes = *(unsigned *)arg;
    for (uint32_t i = 0; i < notes; i++) {
        plain[i % NOTES_MAX] = (uint64_t)i * 3 + 1;   /* at most so many wait that none is written over before it is read */
        while (job_end_post(ends[0], &(struct job_post){.bytes = &i, .len = sizeof i}) == -EAGAIN)
            (void)sched_yield();
    }
    job_end_close(&ends[0]);
    return NULL;
}

START_TEST(S25_what_was_written_before_a_post_is_seen_by_who_receives)
{
    unsigned notes = fixture_rounds("NOTES", NOTES_MAX), received = 0;
    pthread_t thread;
    struct job_message *message = NULL;
    const struct job_channel_options options = {.messages_max = 1024};
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], &options));
    ck_assert_int_eq(pthread_create(&thread, NULL, post_main, &notes), 0);
    while (job_end_receive(ends[1], &message, -1) == 0) {
        uint32_t number;
        memcpy(&number, job_message_bytes(message, NULL), sizeof number);
        ck_assert_uint_eq(plain[number % NOTES_MAX], (uint64_t)number * 3 + 1);
        received++;
        job_message_free(&message);
    }
    (void)pthread_join(thread, NULL);
    ck_assert_uint_eq(received, notes);
    job_end_close(&ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows S");
    TCase *tcase = tcase_create("rows S");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, S07_an_offset_that_is_out_of_range_or_not_aligned_changes_nothing);
    tcase_add_test(tcase, S10_cells_of_32_and_64_bits_can_be_waited_for_where_such_a_cell_is);
    tcase_add_test(tcase, S17_notify_without_a_waiter_returns_0_and_asks_the_kernel_nothing);
    tcase_add_test(tcase, S25_independent_readers_agree_on_the_order_of_two_writers);
    tcase_add_test(tcase, S25_what_was_written_before_a_post_is_seen_by_who_receives);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
