/* test_rpc_limits.c — how many calls may be open, and for how long. */
#include "unit/message/rpcs.h"

static void stop_when_due(struct job_timer *timer)
{
    (void)timer;
    job_loop_stop(loop);
}

/* Until something is so, or the runner ends the test. */
#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        struct job_timer timer = {0};                                                                                  \
        ck_assert_ok(job_timer_open(loop, &timer, stop_when_due));                                                     \
        while (!(condition)) {                                                                                         \
            ck_assert_ok(job_timer_start(&timer, 100000));                                                             \
            ck_assert_ok(job_loop_run(loop));                                                                          \
        }                                                                                                              \
        job_timer_close(&timer, NULL);                                                                                 \
        turns(2);                                                                                                      \
    } while (0)

START_TEST(a_call_times_out_once_and_its_late_answer_is_dropped_and_counted)
{
    struct job_buf *buf = text_buf("late");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    open_both(NULL, NULL);

    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, NULL, 1000000));
    run_until(callers[0].done > 0);
    ck_assert_int_eq(callers[0].status, -ETIMEDOUT);
    ck_assert(!callers[0].has_answer);
    ck_assert_ok(ask(&a, 0, "again"));   /* the same slot: the late answer must not be taken for this one's */
    ck_assert_ok(job_rpc_answer(&b.rpc, &b.held[0], 0, &(struct job_post){.items = &item, .count = 1}));
    turns(3);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_uint_eq(stats_of(&a).late, 1);
    ck_assert_uint_eq(stats_of(&a).timed_out, 1);
    ck_assert_ok(answer(&b, 1, 5, "in time"));
    turns(3);
    ck_assert_uint_eq(callers[0].done, 2);
    ck_assert_int_eq(callers[0].status, 5);
}
END_TEST

/* Its time-out lay before that of another call, which is seen to pass. */
START_TEST(a_call_that_is_answered_does_not_time_out_as_well)
{
    b.then = echo;
    open_both(NULL, NULL);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, NULL, 20000000));
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[1].call, NULL, UINT64_MAX));
    run_until(all_done() == 2);
    b.then = hold;
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[2].call, NULL, 20000000));
    run_until(callers[2].done > 0);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_int_eq(callers[1].status, 7);
    ck_assert_int_eq(callers[2].status, -ETIMEDOUT);
}
END_TEST

START_TEST(a_canceled_call_ends_later_and_once)
{
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);

    job_rpc_cancel(&callers[0].call);
    ck_assert_uint_eq(callers[0].done, 0);
    ck_assert_int_eq(ask(&a, 0, "too early"), -EBUSY);
    job_rpc_cancel(&callers[0].call);
    turns(2);
    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_int_eq(callers[0].status, -ECANCELED);
    job_rpc_cancel(&callers[0].call);   /* idle */
    job_rpc_cancel(NULL);
    ck_assert_ok(answer(&b, 0, 0, "late"));
    turns(2);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_uint_eq(stats_of(&a).late, 1);
    ck_assert_uint_eq(stats_of(&a).canceled, 1);
}
END_TEST

START_TEST(open_calls_are_limited_and_room_is_told_once)
{
    open_both(NULL, &(struct job_rpc_options){.calls_max = 2});
    ck_assert_ok(ask(&a, 0, "0"));
    ck_assert_ok(ask(&a, 1, "1"));
    ck_assert_int_eq(ask(&a, 2, "2"), -EAGAIN);
    ck_assert_int_eq(ask(&a, 2, "2"), -EAGAIN);
    turns(3);
    ck_assert_uint_eq(a.writable, 0);

    ck_assert_ok(answer(&b, 1, 0, ""));
    turns(3);
    ck_assert_uint_eq(a.writable, 1);
    ck_assert_uint_eq(callers[2].done, 0);
    ck_assert_ok(ask(&a, 2, "2"));
    ck_assert_ok(answer(&b, 0, 0, ""));
    turns(3);

    ck_assert_uint_eq(a.writable, 1);
    ck_assert_uint_eq(stats_of(&a).open, 1);
}
END_TEST

static void give_up(unsigned index)
{
    job_rpc_cancel(&callers[index].call);
    turns(2);
    ck_assert_int_eq(callers[index].status, -ECANCELED);
}

START_TEST(calls_that_were_given_up_are_held_within_the_callers_limit)
{
    open_both(NULL, &(struct job_rpc_options){.calls_max = 2});
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_ok(ask(&a, i, "given up"));
        turns(2);
        give_up(i);
    }
    struct job_buf *buf = text_buf("for nobody");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[2].call, &(struct job_post){.items = &item, .count = 1}, 0));
    turns(3);
    ck_assert_int_eq(callers[2].status, -EBUSY);
    ck_assert(callers[2].has_answer);
    ck_assert_uint_eq(b.held_count, 2);
    ck_assert_uint_eq(stats_of(&b).refused, 1);
    ck_assert_uint_eq(stats_of(&b).unanswered, 2);

    ck_assert_ok(answer(&b, 0, 0, "late"));
    ck_assert_ok(ask(&a, 3, "there is room again"));
    turns(3);
    ck_assert_uint_eq(b.held_count, 3);
    ck_assert_uint_eq(callers[3].done, 0);
    ck_assert_ok(answer(&b, 2, 9, ""));
    turns(3);
    ck_assert_int_eq(callers[3].status, 9);
    ck_assert_uint_eq(stats_of(&b).served, 4);
}
END_TEST

START_TEST(a_full_queue_refuses_calls_and_leaves_their_bufs)
{
    struct job_buf *buf = text_buf("mine");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    struct job_post post = {.items = &item, .count = 1};
    b.then = echo;
    open_both(&(struct job_channel_options){.messages_max = 1}, NULL);
    ck_assert_ok(ask(&a, 0, "0"));

    ck_assert_int_eq(job_rpc_call(&a.rpc, &callers[1].call, &post, 1), -EAGAIN);
    ck_assert_ptr_nonnull(buf);
    turns(4);

    ck_assert_uint_eq(a.writable, 1);
    ck_assert_uint_eq(callers[1].done, 0);   /* it never began */
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[1].call, &post, 0));
    turns(4);
    ck_assert_uint_eq(callers[1].done, 1);
}
END_TEST

/* Before it answers its first call, b asks as much as a's queue holds. */
static void ask_back(struct side *side, struct job_message *message)
{
    hold(side, message);
    for (unsigned i = 0; i < 4 && side->held_count == 1; i++)
        ck_assert_ok(ask(side, 8 + i, "back"));
    if (side->held_count == 1)   /* later some may have been delivered */
        ck_assert_int_eq(ask(side, 12, "one more"), -EAGAIN);
    ck_assert_ok(answer(side, side->held_count - 1, 0, "into a's full queue"));
}

START_TEST(crossed_calls_at_their_limits_go_on)
{
    a.then = echo;
    b.then = ask_back;
    open_both(&(struct job_channel_options){.messages_max = 4}, NULL);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(ask(&a, i, "there"));   /* b's queue is full */
    ck_assert_int_eq(ask(&a, 4, "one more"), -EAGAIN);
    turns(8);

    ck_assert_uint_eq(all_done(), 8);
    for (unsigned i = 8; i < 12; i++)
        ck_assert_int_eq(callers[i].status, 7);
}
END_TEST

START_TEST(a_callee_that_does_not_answer_is_reported_once_a_call)
{
    open_both(NULL, &(struct job_rpc_options){.calls_max = 3, .overdue_ns = 1000000});
    ck_assert_ok(ask(&a, 0, "question"));
    ck_assert_ok(ask(&a, 1, "question"));
    run_until(stats_of(&a).overdue == 2);
    unsigned told = warnings;
    ck_assert_uint_ge(told, 1);
    ck_assert_uint_eq(stats_of(&a).open, 2);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[2].call, NULL, 0));
    run_until(stats_of(&a).overdue == 3);
    job_rpc_cancel(&callers[2].call);
    turns(2);

    ck_assert_uint_eq(warnings, told + 1);
    ck_assert_uint_eq(all_done(), 1);
    ck_assert_ok(answer(&b, 0, 0, "at last"));
    turns(3);
    ck_assert_uint_eq(callers[0].done, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc limits");
    TCase *tcase = tcase_create("rpc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_call_times_out_once_and_its_late_answer_is_dropped_and_counted);
    tcase_add_test(tcase, a_call_that_is_answered_does_not_time_out_as_well);
    tcase_add_test(tcase, a_canceled_call_ends_later_and_once);
    tcase_add_test(tcase, open_calls_are_limited_and_room_is_told_once);
    tcase_add_test(tcase, calls_that_were_given_up_are_held_within_the_callers_limit);
    tcase_add_test(tcase, a_full_queue_refuses_calls_and_leaves_their_bufs);
    tcase_add_test(tcase, crossed_calls_at_their_limits_go_on);
    tcase_add_test(tcase, a_callee_that_does_not_answer_is_reported_once_a_call);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
