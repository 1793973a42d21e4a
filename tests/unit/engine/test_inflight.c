/* test_inflight.c — index and generation: a late, doubled or made-up key finds nothing. */
#include "base/limits.h"
#include "engine/inflight.h"
#include "support/fixture.h"

enum { OPS = 1000 };

static struct root root;
static struct inflight table;
static struct op ops[OPS];

static void setup(void)
{
    ck_assert_ok(inflight_init(&table, &root, 4));
}

static void teardown(void)
{
    inflight_fini(&table);
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);   /* a count */
}

START_TEST(a_key_finds_its_op_until_it_is_removed)
{
    ck_assert_ok(inflight_add(&table, &ops[0]));
    uint64_t key = inflight_key(&table, &ops[0]);

    ck_assert_ptr_eq(inflight_find(&table, key), &ops[0]);

    inflight_remove(&table, &ops[0]);
    ck_assert_ptr_null(inflight_find(&table, key));
}
END_TEST

START_TEST(a_key_of_the_entrys_former_op_finds_nothing)
{
    ck_assert_ok(inflight_add(&table, &ops[0]));
    uint64_t former = inflight_key(&table, &ops[0]);
    inflight_remove(&table, &ops[0]);

    ck_assert_ok(inflight_add(&table, &ops[1]));

    ck_assert_uint_eq(ops[1].index, ops[0].index);
    ck_assert_ptr_null(inflight_find(&table, former));
    ck_assert_ptr_eq(inflight_find(&table, inflight_key(&table, &ops[1])), &ops[1]);
    inflight_remove(&table, &ops[1]);
}
END_TEST

START_TEST(after_a_renewal_the_former_key_is_stale)
{
    ck_assert_ok(inflight_add(&table, &ops[0]));
    uint64_t former = inflight_key(&table, &ops[0]);

    inflight_renew(&table, &ops[0]);

    ck_assert_ptr_null(inflight_find(&table, former));
    ck_assert_ptr_eq(inflight_find(&table, inflight_key(&table, &ops[0])), &ops[0]);
    inflight_remove(&table, &ops[0]);
}
END_TEST

START_TEST(keys_that_never_were_find_nothing)
{
    ck_assert_ok(inflight_add(&table, &ops[0]));
    uint64_t key = inflight_key(&table, &ops[0]);
    const uint64_t made_up[] = {0, 1, 2, UINT64_MAX, key + 1, key + table.capacity, key & UINT32_MAX, key | 1ULL << 63};

    for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++)
        ck_assert_ptr_null(inflight_find(&table, made_up[i]));
    inflight_remove(&table, &ops[0]);
}
END_TEST

START_TEST(a_generation_that_wraps_leaves_zero_out)
{
    ck_assert_ok(inflight_add(&table, &ops[0]));
    table.entries[ops[0].index].generation = UINT32_MAX;

    inflight_renew(&table, &ops[0]);

    ck_assert_uint_eq(table.entries[ops[0].index].generation, 1);
    inflight_remove(&table, &ops[0]);
}
END_TEST

START_TEST(it_grows_and_keys_stay_valid)
{
    static uint64_t keys[OPS];
    for (int i = 0; i < OPS; i++) {
        ck_assert_ok(inflight_add(&table, &ops[i]));
        keys[i] = inflight_key(&table, &ops[i]);
    }

    ck_assert_uint_eq(table.count, OPS);
    for (int i = 0; i < OPS; i++)
        ck_assert_ptr_eq(inflight_find(&table, keys[i]), &ops[i]);
    for (int i = 0; i < OPS; i++)
        inflight_remove(&table, &ops[i]);
}
END_TEST

START_TEST(at_the_limit_it_says_eagain_and_nothing_changes)
{
    struct op last = {0};
    for (size_t i = 0; i < INFLIGHT_MAX; i++) {   /* one op in all places: the table does not mind */
        if (inflight_add(&table, &ops[0]) < 0)
            ck_abort_msg("at %zu", i);
    }

    ck_assert_int_eq(inflight_add(&table, &last), -EAGAIN);

    ck_assert_uint_eq(table.count, INFLIGHT_MAX);
    ops[0].index = 7;
    inflight_remove(&table, &ops[0]);
    ck_assert_ok(inflight_add(&table, &last));
    ck_assert_uint_eq(last.index, 7);
    for (ops[0].index = 0; ops[0].index < INFLIGHT_MAX; ops[0].index++)
        inflight_remove(&table, ops[0].index == 7 ? &last : &ops[0]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("inflight");
    TCase *tcase = tcase_create("inflight");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_key_finds_its_op_until_it_is_removed);
    tcase_add_test(tcase, a_key_of_the_entrys_former_op_finds_nothing);
    tcase_add_test(tcase, after_a_renewal_the_former_key_is_stale);
    tcase_add_test(tcase, keys_that_never_were_find_nothing);
    tcase_add_test(tcase, a_generation_that_wraps_leaves_zero_out);
    tcase_add_test(tcase, it_grows_and_keys_stay_valid);
    tcase_add_test(tcase, at_the_limit_it_says_eagain_and_nothing_changes);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
