/* test_queues.c — mailbox, lane, deque and park as one thread sees them; what threads do to each other is the
 * checker's. */
#include "base/alloc.h"
#include "queue/deque.h"
#include "queue/lane.h"
#include "queue/park.h"
#include "support/fixture.h"

static unsigned wakes;

static void wake(struct mailbox *mailbox)
{
    (void)mailbox;
    wakes++;
}

static void deliver(struct job_mail *mail)
{
    (void)mail;
}

static void mails_init(struct job_mail *mails, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        mails[i] = (struct job_mail){.job_deliver = deliver};
}

static void assert_order(const struct job_mail *taken, const struct job_mail *mails, const unsigned *order,
                         unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        ck_assert_ptr_eq(taken, &mails[order[i]]);
        taken = taken->job_next;
    }
    ck_assert_ptr_null(taken);
}

START_TEST(mail_comes_out_oldest_first_and_all_at_once)
{
    struct mailbox box;
    struct job_mail mails[3];
    mailbox_init(&box, wake);
    mails_init(mails, 3);
    ck_assert(mailbox_is_empty(&box));
    ck_assert_ptr_null(mailbox_take(&box, &(struct job_mail *){NULL}));
    for (unsigned i = 0; i < 3; i++)
        mailbox_post(&box, &mails[i]);
    ck_assert(!mailbox_is_empty(&box));
    assert_order(mailbox_take(&box, &(struct job_mail *){NULL}), mails, (unsigned[]){0, 1, 2}, 3);
    ck_assert(mailbox_is_empty(&box));
    ck_assert_uint_eq(wakes, 0); /* the owner was awake */
}
END_TEST

START_TEST(a_chain_keeps_its_order_behind_what_was_there)
{
    struct mailbox box;
    struct job_mail mails[4];
    mailbox_init(&box, wake);
    mails_init(mails, 4);
    mailbox_post(&box, &mails[0]);
    mails[1].job_next = &mails[2];
    mails[2].job_next = &mails[3];
    mailbox_post_chain(&box, &mails[1], &mails[3]);
    assert_order(mailbox_take(&box, &(struct job_mail *){NULL}), mails, (unsigned[]){0, 1, 2, 3}, 4);

    mails[0].job_next = NULL;
    mailbox_post_chain(&box, &mails[0], &mails[0]);
    assert_order(mailbox_take(&box, &(struct job_mail *){NULL}), mails, (unsigned[]){0}, 1);
}
END_TEST

START_TEST(only_the_first_post_to_a_sleeper_wakes_and_that_wake_is_owed)
{
    struct mailbox box;
    struct job_mail mails[2];
    mailbox_init(&box, wake);
    mails_init(mails, 2);
    wakes = 0;
    ck_assert(mailbox_sleep(&box));
    ck_assert(mailbox_is_empty(&box));
    mailbox_post(&box, &mails[0]);
    mailbox_post(&box, &mails[1]);
    ck_assert_uint_eq(wakes, 1);
    mailbox_awake(&box);
    ck_assert_uint_eq(box.wakes_owed, 1);
    assert_order(mailbox_take(&box, &(struct job_mail *){NULL}), mails, (unsigned[]){0, 1}, 2);
}
END_TEST

START_TEST(who_has_mail_may_not_sleep_and_who_wakes_alone_is_owed_nothing)
{
    struct mailbox box;
    struct job_mail mail;
    mailbox_init(&box, wake);
    mails_init(&mail, 1);
    mailbox_post(&box, &mail);
    ck_assert(!mailbox_sleep(&box));
    ck_assert_ptr_eq(mailbox_take(&box, &(struct job_mail *){NULL}), &mail);
    ck_assert(mailbox_sleep(&box));
    mailbox_awake(&box);
    ck_assert_uint_eq(box.wakes_owed, 0);
    ck_assert_ptr_null(mailbox_take(&box, &(struct job_mail *){NULL}));
}
END_TEST

START_TEST(a_lane_is_full_at_its_capacity_and_first_in_first_out_for_ever)
{
    struct root root = {0};
    for (unsigned capacity = 1; capacity <= 8; capacity *= 2) {
        struct lane *lane = lane_open(&root, capacity);
        int items[64];
        unsigned in = 0, out = 0;
        for (unsigned round = 0; round < 40; round++) { /* indices wrap several times */
            while (lane_push(lane, &items[in % 64]))
                in++;
            ck_assert_uint_eq(in - out, capacity);
            unsigned take = 1 + round % capacity;
            while (take-- > 0)
                ck_assert_ptr_eq(lane_pop(lane), &items[out++ % 64]);
        }
        while (out < in)
            ck_assert_ptr_eq(lane_pop(lane), &items[out++ % 64]);
        ck_assert(lane_is_empty(lane));
        ck_assert_ptr_null(lane_pop(lane));
        lane_free(&root, lane);
    }
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0); /* one thread */
}
END_TEST

START_TEST(room_is_told_once_when_half_is_free)
{
    struct root root = {0};
    struct mailbox home;
    struct lane *lane = lane_open(&root, 4);
    int item;
    mailbox_init(&home, wake);
    lane->home = &home;
    lane->room_mail.job_deliver = deliver;
    while (lane_push(lane, &item)) {
    }
    ck_assert(!lane_want_room(lane));
    ck_assert_ptr_nonnull(lane_pop(lane));
    ck_assert(mailbox_is_empty(&home)); /* three of four: not yet */
    ck_assert_ptr_nonnull(lane_pop(lane));
    ck_assert_ptr_eq(mailbox_take(&home, &(struct job_mail *){NULL}), &lane->room_mail);
    ck_assert_ptr_nonnull(lane_pop(lane));
    ck_assert(mailbox_is_empty(&home));
    ck_assert(lane_want_room(lane)); /* there is room: no mail follows */
    ck_assert_ptr_nonnull(lane_pop(lane));
    ck_assert(mailbox_is_empty(&home));
    lane_free(&root, lane);
}
END_TEST

static struct deque deque;
static void *deque_slots[DEQUE_LENGTH];
static int items[DEQUE_LENGTH + 1];

static void fill(uint64_t start)
{
    deque_init(&deque, deque_slots, DEQUE_LENGTH, start);
    for (unsigned i = 0; i < DEQUE_LENGTH; i++)
        ck_assert(deque_push(&deque, &items[i]));
    ck_assert(!deque_push(&deque, &items[DEQUE_LENGTH]));
}

static const uint64_t starts[] = {0, 1, DEQUE_LENGTH - 1, UINT32_MAX - 1, UINT64_MAX - 2};

START_TEST(the_owner_takes_the_newest_and_a_thief_the_oldest)
{
    fill(starts[_i]);
    unsigned oldest = 0, newest = DEQUE_LENGTH;
    while (oldest < newest) {
        ck_assert_ptr_eq(deque_take(&deque), &items[--newest]);
        if (oldest < newest)
            ck_assert_ptr_eq(deque_steal(&deque), &items[oldest++]);
    }
    ck_assert(deque_is_empty(&deque));
    ck_assert_ptr_null(deque_take(&deque));
    ck_assert_ptr_null(deque_steal(&deque));
    ck_assert(deque_push(&deque, &items[0])); /* empty is as good as new */
    ck_assert(!deque_is_empty(&deque));
    ck_assert_ptr_eq(deque_steal(&deque), &items[0]);
}
END_TEST

START_TEST(a_theft_makes_room_for_a_push)
{
    fill(starts[_i]);
    ck_assert_ptr_eq(deque_steal(&deque), &items[0]);
    ck_assert(deque_push(&deque, &items[DEQUE_LENGTH]));
    ck_assert(!deque_push(&deque, &items[0]));
    ck_assert_ptr_eq(deque_take(&deque), &items[DEQUE_LENGTH]);
}
END_TEST

START_TEST(a_notice_between_prepare_and_sleep_is_not_lost)
{
    struct park park;
    park_init(&park, 1);
    park_prepare(&park, false);
    park_notify(&park);
    park_sleep(&park); /* returns at once, or the test hangs */
    ck_assert(!park_found(&park));
    ck_assert_uint_eq(load_relaxed(&park.idlers), 0); /* one thread */
    ck_assert_uint_eq(load_relaxed(&park.tokens), 0);
}
END_TEST

START_TEST(a_cancelled_sleep_leaves_no_token_behind)
{
    struct park park;
    park_init(&park, 1);
    park_prepare(&park, false);
    ck_assert(!park_cancel(&park)); /* nobody noticed it */
    park_prepare(&park, false);
    park_notify(&park);
    ck_assert(park_cancel(&park)); /* it was made a searcher: it takes its token */
    ck_assert(!park_found(&park));
    ck_assert_uint_eq(load_relaxed(&park.tokens), 0);
    ck_assert_uint_eq(load_relaxed(&park.idlers), 0);
}
END_TEST

START_TEST(a_notice_wakes_nobody_while_one_searches_or_none_sleeps)
{
    struct park park;
    park_init(&park, 4);
    park_notify(&park);
    ck_assert_uint_eq(load_relaxed(&park.woken), 0);
    ck_assert(park_search(&park));
    park_prepare(&park, false); /* another one */
    park_notify(&park);
    ck_assert_uint_eq(load_relaxed(&park.woken), 0);
    ck_assert(park_found(&park)); /* the last searcher passes it on */
    park_notify(&park);
    ck_assert_uint_eq(load_relaxed(&park.woken), 1);
    park_sleep(&park);
}
END_TEST

START_TEST(a_searcher_that_took_the_only_work_wakes_nobody)
{
    struct park park;
    park_init(&park, 2);
    ck_assert(park_search(&park));
    park_prepare(&park, false);
    ck_assert(park_found(&park)); /* and looks whether there is more */
    ck_assert_uint_eq(load_relaxed(&park.woken), 0);
    ck_assert(!park_cancel(&park));
}
END_TEST

START_TEST(a_hint_wakes_only_when_all_sleep_and_a_last_look_also_beside_a_searcher)
{
    struct park park;
    park_init(&park, 2);
    park_prepare(&park, false);
    park_hint(&park);
    ck_assert_uint_eq(load_relaxed(&park.woken), 0);
    park_prepare(&park, false);
    park_hint(&park);
    ck_assert_uint_eq(load_relaxed(&park.woken), 1);
    park_notify(&park); /* one searches already */
    ck_assert_uint_eq(load_relaxed(&park.woken), 1);
    park_wake(&park);
    ck_assert_uint_eq(load_relaxed(&park.woken), 2);
    park_sleep(&park);
    park_sleep(&park);
    ck_assert(!park_found(&park));
    ck_assert(!park_found(&park));
    ck_assert_uint_eq(load_relaxed(&park.idlers), 0);
}
END_TEST

START_TEST(at_most_half_of_those_awake_search)
{
    struct park park;
    park_init(&park, 4);
    ck_assert(park_search(&park));
    ck_assert(park_search(&park));
    ck_assert(!park_search(&park));
}
END_TEST

START_TEST(notify_all_gives_each_sleeper_a_token)
{
    struct park park;
    park_init(&park, 3);
    for (int i = 0; i < 3; i++)
        park_prepare(&park, false);
    park_notify_all(&park);
    ck_assert_uint_eq(load_relaxed(&park.tokens), 3);
    for (int i = 0; i < 3; i++)
        park_sleep(&park);
    park_notify_all(&park); /* nobody sleeps: nothing is left for the next one */
    ck_assert_uint_eq(load_relaxed(&park.tokens), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("queues");
    TCase *tcase = tcase_create("queues");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, mail_comes_out_oldest_first_and_all_at_once);
    tcase_add_test(tcase, a_chain_keeps_its_order_behind_what_was_there);
    tcase_add_test(tcase, only_the_first_post_to_a_sleeper_wakes_and_that_wake_is_owed);
    tcase_add_test(tcase, who_has_mail_may_not_sleep_and_who_wakes_alone_is_owed_nothing);
    tcase_add_test(tcase, a_lane_is_full_at_its_capacity_and_first_in_first_out_for_ever);
    tcase_add_test(tcase, room_is_told_once_when_half_is_free);
    tcase_add_loop_test(tcase, the_owner_takes_the_newest_and_a_thief_the_oldest, 0, 5);
    tcase_add_loop_test(tcase, a_theft_makes_room_for_a_push, 0, 5);
    tcase_add_test(tcase, a_notice_between_prepare_and_sleep_is_not_lost);
    tcase_add_test(tcase, a_cancelled_sleep_leaves_no_token_behind);
    tcase_add_test(tcase, a_notice_wakes_nobody_while_one_searches_or_none_sleeps);
    tcase_add_test(tcase, a_searcher_that_took_the_only_work_wakes_nobody);
    tcase_add_test(tcase, a_hint_wakes_only_when_all_sleep_and_a_last_look_also_beside_a_searcher);
    tcase_add_test(tcase, at_most_half_of_those_awake_search);
    tcase_add_test(tcase, notify_all_gives_each_sleeper_a_token);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
