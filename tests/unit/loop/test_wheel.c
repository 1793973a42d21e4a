/* test_wheel.c — the wheel against a list: whatever is set, cleared and moved, each deadline comes once, in order, never early, and the
 * wheel never sleeps past one. */
#include "loop/wheel.h"

#include "support/fixture.h"

enum { N = 200 };

struct item {
    struct deadline deadline;
    bool is_set;
    uint64_t due_ns, order;
};

static struct wheel wheel;
static struct item items[N];
static uint64_t now_ns, order;
static unsigned span;   /* bits of the longest distance: with few of them the buckets are crowded */

static void begin(uint64_t at_ns)
{
    memset(items, 0, sizeof items);
    now_ns = at_ns;
    order = 0;
    wheel_init(&wheel, now_ns);
}

static void set(struct item *item, uint64_t due_ns)
{
    wheel_set(&wheel, &item->deadline, due_ns, 0);
    item->is_set = true;
    item->due_ns = due_ns == 0 ? 1 : due_ns == UINT64_MAX ? UINT64_MAX - 1 : due_ns;
    item->order = order++;
}

static struct item *first_of_list(void)
{
    struct item *first = NULL;
    for (unsigned i = 0; i < N; i++) {
        struct item *item = &items[i];
        if (item->is_set && (!first || item->due_ns < first->due_ns ||
                             (item->due_ns == first->due_ns && item->order < first->order)))
            first = item;
    }
    return first;
}

static unsigned count_set(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < N; i++)
        count += items[i].is_set;
    return count;
}

/* Takes all that is due, and compares each with the list. */
static void take_due(void)
{
    while (!wheel_advance(&wheel, now_ns)) {
    }
    struct deadline *deadline;
    while ((deadline = wheel_take(&wheel, now_ns))) {
        struct item *item = job_container_of(deadline, struct item, deadline);
        ck_assert_ptr_eq(item, first_of_list());
        ck_assert_uint_le(item->due_ns, now_ns);
        ck_assert_uint_eq(deadline->at_ns, 0);
        item->is_set = false;
    }
    struct item *first = first_of_list();
    if (first)
        ck_assert_uint_gt(first->due_ns, now_ns);
}

static void clear(struct item *item)
{
    wheel_clear(&wheel, &item->deadline);
    item->is_set = false;
}

/* Empty, it wakes at most once more: for a bucket whose deadlines were cleared. */
static void end(void)
{
    for (unsigned i = 0; i < N; i++)
        clear(&items[i]);
    uint64_t next = wheel_next_ns(&wheel);
    if (next != UINT64_MAX) {
        now_ns = next;
        take_due();
    }
    ck_assert_uint_eq(wheel_next_ns(&wheel), UINT64_MAX);
}

static void check_next(void)
{
    struct item *first = first_of_list();
    uint64_t next = wheel_next_ns(&wheel);
    if (!first)
        ck_assert_uint_gt(next, now_ns);   /* a bucket whose deadlines were cleared may wake once, for nothing */
    else
        ck_assert_uint_le(next, first->due_ns);
    ck_assert_uint_eq(next, wheel_next_ns(&wheel));   /* what was asked for once is remembered */
}

/* Sleeps until the wheel says, or something else happens. Once all that is due was taken, it must let the loop sleep again. */
static void sleep_until_next(struct random *random)
{
    uint64_t next = wheel_next_ns(&wheel);
    uint64_t other = now_ns + (random_next(random) >> (span < 64 ? 68 - span : 20 + random_below(random, 44)));
    uint64_t until = next < other ? next : other;
    now_ns = until > now_ns ? until : now_ns;
    take_due();
    ck_assert_uint_gt(wheel_next_ns(&wheel), now_ns);
}

/* Of every magnitude, so that every level is used; now and then exactly the same time as another one, or a time that has passed. */
static uint64_t draw_due(struct random *random)
{
    uint64_t distance = random_next(random) >> (span < 64 ? 64 - span : random_below(random, 64));
    switch (random_below(random, 8)) {
    case 0: return items[random_below(random, N)].due_ns;
    case 1: return now_ns - random_below(random, 1 + now_ns / 2);
    default: return distance > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + distance;
    }
}

static void clear_most(struct random *random)
{
    for (unsigned i = 0; i < N; i++) {
        if (random_below(random, N) > 0)
            clear(&items[i]);
    }
}

static void step(struct random *random)
{
    struct item *item = &items[random_below(random, N)];
    switch (random_below(random, 9)) {
    case 0:
        if (random_below(random, 2) == 0)
            wheel_clear(&wheel, &item->deadline);
        else
            wheel_rest(&wheel, &item->deadline);
        ck_assert_uint_eq(item->deadline.at_ns, 0);
        item->is_set = false;
        break;
    case 1:
        now_ns += random_next(random) >> (20 + random_below(random, 44));
        take_due();
        break;
    case 2:
        check_next();
        break;
    case 3:   /* a time-out that is pushed back */
        if (item->is_set && item->due_ns < UINT64_MAX / 2)
            set(item, item->due_ns + (random_next(random) >> (1 + random_below(random, 62))));
        break;
    case 4:
        sleep_until_next(random);
        if (random_below(random, 32) == 0) {
            clear_most(random);
            for (unsigned i = 0; i < 16; i++)
                sleep_until_next(random);
        }
        break;
    default:
        set(item, draw_due(random));
    }
}

START_TEST(the_wheel_agrees_with_a_list)
{
    struct random random = fixture_random("the_wheel_agrees_with_a_list");
    unsigned rounds = fixture_rounds("ROUNDS", 60);
    for (unsigned round = 0; round < rounds; round++) {
        begin(random_next(&random) >> (1 + random_below(&random, 62)));
        span = round % 2 ? 64 : 18 + (unsigned)random_below(&random, 24);
        for (unsigned i = 0; i < 3000; i++)
            step(&random);
        end();
    }
}
END_TEST

START_TEST(going_from_one_wake_up_to_the_next_misses_nothing_and_wakes_seldom)
{
    struct random random = fixture_random("going_from_one_wake_up_to_the_next");
    begin(random_below(&random, UINT64_C(1) << 40));
    for (unsigned i = 0; i < N; i++)
        set(&items[i], now_ns + (random_next(&random) >> (24 + random_below(&random, 40))));
    unsigned wakes = 0;
    while (count_set() > 0) {
        uint64_t next = wheel_next_ns(&wheel);
        ck_assert_uint_le(next, first_of_list()->due_ns);
        now_ns = next > now_ns ? next : now_ns;
        take_due();
        wakes++;
    }
    ck_assert_uint_le(wakes, N * (1 + WHEEL_LEVELS));
    end();
}
END_TEST

START_TEST(a_crowded_bucket_whose_deadlines_are_cleared_does_not_keep_the_loop_awake)
{
    for (unsigned later = 0; later < 2; later++) {   /* a later one may be set as well, or none */
        begin(UINT64_C(1000) << WHEEL_TICK_BITS);
        uint64_t far = now_ns + (UINT64_C(700) << WHEEL_TICK_BITS);
        for (unsigned i = 0; i < 40; i++)
            set(&items[i], far + i);
        if (later)
            set(&items[40], 2 * far);
        set(&items[41], now_ns + 1);
        now_ns = wheel_next_ns(&wheel);
        take_due();
        uint64_t next = wheel_next_ns(&wheel);
        ck_assert_uint_lt(next, far);   /* too many to look at each: when their bucket is opened */
        for (unsigned i = 0; i < 40; i++)
            clear(&items[i]);

        now_ns = next;
        take_due();

        ck_assert_uint_gt(wheel_next_ns(&wheel), now_ns);
        end();
    }
}
END_TEST

START_TEST(with_few_deadlines_the_next_one_is_known_exactly)
{
    static const unsigned distances[] = {0, 5, 19, 20, 21, 26, 32, 40, 50, 63};
    for (unsigned i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        begin(12345678901U);
        uint64_t due = now_ns + (UINT64_C(1) << distances[i]);
        set(&items[0], due);
        ck_assert_uint_eq(wheel_next_ns(&wheel), due);
        set(&items[0], due + 1000);   /* later: lazily, and not woken for nothing all the same */
        ck_assert_uint_eq(wheel_next_ns(&wheel), due + 1000);
        set(&items[0], due + (UINT64_C(1) << 41));
        ck_assert_uint_eq(wheel_next_ns(&wheel), due + (UINT64_C(1) << 41));
        set(&items[1], due + 7);
        ck_assert_uint_eq(wheel_next_ns(&wheel), due + 7);
        wheel_clear(&wheel, &items[1].deadline);
        ck_assert_uint_eq(wheel_next_ns(&wheel), due + (UINT64_C(1) << 41));
        end();
    }
}
END_TEST

START_TEST(with_slack_the_time_lies_within_and_is_the_neighbours_too)
{
    struct random random = fixture_random("with_slack");
    begin(1);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t due = 1 + (random_next(&random) >> (1 + random_below(&random, 62)));
        uint64_t slack = random_next(&random) >> random_below(&random, 64);
        wheel_set(&wheel, &items[0].deadline, due, slack);
        uint64_t last = slack > UINT64_MAX - due ? UINT64_MAX : due + slack, is = items[0].deadline.at_ns;
        ck_assert_uint_ge(is, due);
        ck_assert_uint_le(is, last);
    }
    /* ten within 100 ms, each 200 ms slack: at most two times */
    uint64_t base = UINT64_C(77777777777), other = 0, first = 0;
    for (unsigned i = 0; i < 10; i++) {
        wheel_set(&wheel, &items[i].deadline, base + i * UINT64_C(10000000), 200000000);
        uint64_t is = items[i].deadline.at_ns;
        first = first ? first : is;
        other = is != first && !other ? is : other;
        ck_assert(is == first || is == other);
    }
    end();
}
END_TEST

START_TEST(a_clock_that_goes_back_fires_nothing_early_and_loses_nothing)
{
    begin(UINT64_C(1) << 40);
    now_ns += 1 << 30;
    take_due();
    uint64_t before = now_ns;
    now_ns -= 1 << 29;
    set(&items[0], now_ns + 100);
    set(&items[1], before + 100);
    take_due();
    ck_assert_uint_eq(count_set(), 2);
    ck_assert_uint_eq(wheel_next_ns(&wheel), now_ns + 100);

    now_ns += 100;
    take_due();
    ck_assert_uint_eq(count_set(), 1);

    now_ns = before + 100;
    take_due();
    ck_assert_uint_eq(count_set(), 0);
    end();
}
END_TEST

START_TEST(one_that_rests_does_not_wake_and_is_not_pointed_to_once_cleared)
{
    begin(1000);
    set(&items[0], now_ns + (UINT64_C(1) << 30));
    set(&items[1], now_ns + (UINT64_C(1) << 31));
    wheel_rest(&wheel, &items[0].deadline);
    items[0].is_set = false;
    ck_assert_uint_eq(wheel_next_ns(&wheel), items[1].due_ns);

    set(&items[0], now_ns + (UINT64_C(1) << 29));   /* earlier than where it rests */
    ck_assert_uint_eq(wheel_next_ns(&wheel), items[0].due_ns);
    wheel_rest(&wheel, &items[0].deadline);
    wheel_clear(&wheel, &items[0].deadline);
    items[0].is_set = false;
    memset(&items[0], 0xa5, sizeof items[0]);       /* its memory has gone */
    now_ns += UINT64_C(1) << 31;
    items[0].is_set = false;
    take_due();
    ck_assert_uint_eq(count_set(), 0);
    memset(&items[0], 0, sizeof items[0]);
    end();
}
END_TEST

START_TEST(all_in_one_tick_come_in_the_order_of_their_times_and_then_of_setting)
{
    begin(1000);
    for (unsigned i = 0; i < N; i++)
        set(&items[i], 1000 + (N - i) % 7);
    for (unsigned i = 0; i < N; i += 3)
        set(&items[i], 1003);   /* later or earlier than before, and behind the others of that time */
    now_ns = 1006;
    take_due();
    ck_assert_uint_eq(count_set(), 0);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wheel");
    TCase *tcase = tcase_create("wheel");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, the_wheel_agrees_with_a_list);
    tcase_add_test(tcase, going_from_one_wake_up_to_the_next_misses_nothing_and_wakes_seldom);
    tcase_add_test(tcase, a_crowded_bucket_whose_deadlines_are_cleared_does_not_keep_the_loop_awake);
    tcase_add_test(tcase, with_few_deadlines_the_next_one_is_known_exactly);
    tcase_add_test(tcase, with_slack_the_time_lies_within_and_is_the_neighbours_too);
    tcase_add_test(tcase, a_clock_that_goes_back_fires_nothing_early_and_loses_nothing);
    tcase_add_test(tcase, one_that_rests_does_not_wake_and_is_not_pointed_to_once_cleared);
    tcase_add_test(tcase, all_in_one_tick_come_in_the_order_of_their_times_and_then_of_setting);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
