/* test_mangled.c — jobctl's reader refuses or survives whatever became of a segment's bytes. */
#include "seed.h"
#include "tries.h"

START_TEST(every_byte_with_every_bit_changed_is_survived)
{
    for (size_t at = 0; at < seed_size; at++) {
        for (unsigned bit = 0; bit < 10; bit++) {
            changed[at] = (uint8_t)(bit < 8 ? whole[at] ^ (1U << bit) : bit == 8 ? 0 : 0xff);
            (void)try(changed, seed_size);
        }
        changed[at] = whole[at];
    }

    ck_assert_uint_eq(tried, 10 * seed_size);
    ck_assert_uint_gt(parsed, seed_size);
}
END_TEST

START_TEST(every_size_is_survived)
{
    for (size_t size = 0; size <= seed_size; size++)
        (void)try(whole, size);

    ck_assert_int_eq(try(whole, seed_size), READER_OK);
    ck_assert_int_eq(try(whole, seed_size - 1), READER_DAMAGED);
    ck_assert_int_eq(try(whole, 0), READER_NO_SEGMENT);
}
END_TEST

static uint32_t nasty_value(unsigned i)
{
    return i < NASTY ? nasty[i] : (uint32_t)seed_size - (NASTY + 4 - i);   /* the last ones: about its size */
}

static void put(size_t at, uint32_t value)
{
    memcpy(changed + at, &value, sizeof value);
}

START_TEST(every_pair_of_table_fields_at_nasty_values_is_survived)
{
    const struct stats_header *header = (const struct stats_header *)(const void *)whole;
    for (unsigned table = 0; table < header->table_count; table++) {
        size_t entry = offsetof(struct stats_header, tables) + table * sizeof(struct stats_table);
        for (unsigned pair = 0; pair < 6; pair++) {
            static const uint8_t first[] = {0, 0, 0, 4, 4, 8}, second[] = {4, 8, 12, 8, 12, 12};
            for (unsigned i = 0; i < (NASTY + 8) * (NASTY + 8); i++) {
                put(entry + first[pair], nasty_value(i / (NASTY + 8)));
                put(entry + second[pair], nasty_value(i % (NASTY + 8)));
                (void)try(changed, seed_size);
            }
            memcpy(changed, whole, sizeof changed);
        }
    }

    ck_assert_uint_gt(tried, 50000);
}
END_TEST

START_TEST(every_word_of_the_header_at_nasty_values_is_survived)
{
    for (size_t at = 8; at < sizeof(struct stats_header); at += 4) {
        for (unsigned i = 0; i < NASTY + 8; i++) {
            put(at, nasty_value(i));
            (void)try(changed, seed_size);
        }
        memcpy(changed, whole, sizeof changed);
    }

    ck_assert_uint_gt(parsed, 0);
}
END_TEST

static void mutate(struct random *random)
{
    unsigned count = 1 + (unsigned)random_below(random, 12);
    for (unsigned i = 0; i < count; i++) {
        size_t room = random_below(random, 2) ? sizeof(struct stats_header) : seed_size;   /* the header decides most */
        size_t at = random_below(random, room);
        switch (random_below(random, 4)) {
        case 0: changed[at] = (uint8_t)random_next(random); break;
        case 1: put(at & ~(size_t)3, nasty_value((unsigned)random_below(random, NASTY + 8))); break;
        case 2: changed[at] = (uint8_t)(changed[at] ^ (1U << random_below(random, 8))); break;
        default:
            memmove(changed + at, changed + random_below(random, seed_size),
                    random_below(random, SEGMENT_MAX - seed_size));
            break;
        }
    }
}

START_TEST(a_hundred_thousand_random_changes_are_survived)
{
    struct random random = fixture_random("random_changes");
    for (unsigned i = 0; i < 100000; i++) {
        memcpy(changed, whole, seed_size);
        mutate(&random);
        (void)try(changed, random_below(&random, 8) ? seed_size : random_below(&random, seed_size + 1));
    }

    ck_assert_uint_gt(parsed, 10000);   /* they are not all refused at the door */
}
END_TEST

START_TEST(random_bytes_are_refused_or_survived)
{
    struct random random = fixture_random("random_bytes");
    for (unsigned i = 0; i < 5000; i++) {
        size_t size = random_below(&random, SEGMENT_MAX);
        for (size_t at = 0; at < size; at++)
            changed[at] = (uint8_t)random_next(&random);
        if (random_below(&random, 2))
            memcpy(changed, whole, 24);   /* magic, version, size: in by the door */
        (void)try(changed, size);
    }

    ck_assert_uint_gt(parsed, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobctl/mangled");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, seed_set_up, NULL);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, every_byte_with_every_bit_changed_is_survived);
    tcase_add_test(tcase, every_size_is_survived);
    tcase_add_test(tcase, every_pair_of_table_fields_at_nasty_values_is_survived);
    tcase_add_test(tcase, every_word_of_the_header_at_nasty_values_is_survived);
    tcase_add_test(tcase, a_hundred_thousand_random_changes_are_survived);
    tcase_add_test(tcase, random_bytes_are_refused_or_survived);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
