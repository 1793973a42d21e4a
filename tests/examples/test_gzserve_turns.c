/* test_gzserve_turns.c — gzserve's turns: so many at a time, in their order, whoever goes. */
#include "support/fixture.h"
#include "turns.h"

enum { COUNT = 5000, MAX = 3 };

static struct turns turns;
static struct turn all[COUNT];
static unsigned begun[COUNT], begun_count;

static void begins(struct turn *turn)
{
    begun[begun_count++] = (unsigned)(turn - all);
}

static unsigned depth, depth_max;

static void ends_at_once(struct turn *turn)
{
    depth++;
    depth_max = depth > depth_max ? depth : depth_max;
    begins(turn);
    turns_end(&turns, turn);
    depth--;
}

START_TEST(so_many_run_and_the_others_wait_in_their_order)
{
    turns_init(&turns, MAX);
    for (unsigned i = 0; i < 10; i++)
        turns_take(&turns, &all[i], begins);
    ck_assert_uint_eq(begun_count, MAX);

    turns_end(&turns, &all[1]);
    ck_assert_uint_eq(begun_count, MAX + 1);
    turns_end(&turns, &all[0]);

    ck_assert_uint_eq(begun_count, MAX + 2);
    for (unsigned i = 0; i < begun_count; i++)
        ck_assert_uint_eq(begun[i], i);
}
END_TEST

START_TEST(who_goes_while_he_waits_never_begins)
{
    turns_init(&turns, 1);
    for (unsigned i = 0; i < 4; i++)
        turns_take(&turns, &all[i], begins);

    turns_end(&turns, &all[1]);
    ck_assert_uint_eq(begun_count, 1);
    turns_end(&turns, &all[0]);
    turns_end(&turns, &all[2]);

    ck_assert_uint_eq(begun_count, 3);
    ck_assert(begun[1] == 2 && begun[2] == 3);
}
END_TEST

START_TEST(an_end_that_comes_twice_lets_nobody_in)
{
    turns_init(&turns, 1);
    for (unsigned i = 0; i < 3; i++)
        turns_take(&turns, &all[i], begins);

    for (unsigned i = 0; i < 3; i++)
        turns_end(&turns, &all[0]);

    ck_assert_uint_eq(begun_count, 2);
    ck_assert_uint_eq(turns.running, 1);
}
END_TEST

START_TEST(those_that_end_as_they_begin_are_not_within_each_other)
{
    turns_init(&turns, 1);
    turns_take(&turns, &all[0], begins);
    for (unsigned i = 1; i < COUNT; i++)
        turns_take(&turns, &all[i], ends_at_once);

    turns_end(&turns, &all[0]);

    ck_assert_uint_eq(begun_count, COUNT);
    ck_assert_uint_eq(depth_max, 1);
    ck_assert_uint_eq(turns.running, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gzserve_turns");
    TCase *tcase = tcase_create("turns");
    tcase_add_test(tcase, so_many_run_and_the_others_wait_in_their_order);
    tcase_add_test(tcase, who_goes_while_he_waits_never_begins);
    tcase_add_test(tcase, an_end_that_comes_twice_lets_nobody_in);
    tcase_add_test(tcase, those_that_end_as_they_begin_are_not_within_each_other);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
