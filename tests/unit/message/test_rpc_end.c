/* test_rpc_end.c — calls whose caller, callee or loop ends. */
#include "unit/message/rpcs.h"

START_TEST(a_caller_that_closes_ends_its_calls_before_closed)
{
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "held"));
    turns(2);
    ck_assert_ok(ask(&a, 1, "not yet there"));
    ck_assert_ok(ask(&a, 2, "canceled already"));
    job_rpc_cancel(&callers[2].call);
    job_rpc_close(&a.rpc);
    job_rpc_close(&a.rpc);
    ck_assert_uint_eq(all_done(), 0);
    ck_assert_int_eq(ask(&a, 3, "late"), -ECANCELED);
    int err = answer(&b, 0, 0, "nobody hears");
    ck_assert_int_eq(err, -EPIPE);
    ck_assert_ptr_nonnull(b.held[0]);
    turns(5);

    ck_assert_uint_eq(a.done_at_close, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(callers[i].done, 1);
        ck_assert_int_eq(callers[i].status, -ECANCELED);
    }
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

START_TEST(each_open_call_of_a_dead_callee_ends_once_with_EOWNERDEAD)
{
    open_both(NULL, NULL);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(ask(&a, i, "held"));
    turns(2);
    ck_assert_ok(answer(&b, 1, 4, "answered"));
    ck_assert_ok(ask(&a, 3, "not yet there"));
    job_rpc_close(&b.rpc);
    ck_assert_int_eq(answer(&b, 0, 0, "closing"), -ECANCELED);
    turns(6);

    ck_assert_uint_eq(all_done(), 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(callers[i].done, 1);
        ck_assert_int_eq(callers[i].status, i == 1 ? 4 : -EOWNERDEAD);
        ck_assert(callers[i].has_answer == (i == 1));
    }
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(a.done_at_close, 4);
}
END_TEST

static int calls_in_done[2];

static void ask_the_dead(struct job_rpc_call *call, int status, struct job_message *message)
{
    on_done(call, status, message);
    calls_in_done[0] = ask(&a, 1, "anybody?");
    calls_in_done[1] = answer(&a, 0, 0, "for nobody");
}

START_TEST(in_done_of_a_dead_callee_its_end_is_closed)
{
    open_both(NULL, NULL);
    callers[0].call.done = ask_the_dead;
    ck_assert_ok(ask(&a, 0, "held"));
    ck_assert_ok(ask(&b, 2, "held as well"));
    turns(2);
    ck_assert_uint_eq(a.held_count, 1);
    job_rpc_close(&b.rpc);
    turns(4);

    ck_assert_int_eq(callers[0].status, -EOWNERDEAD);
    ck_assert_int_eq(calls_in_done[0], -EPIPE);
    ck_assert_int_eq(calls_in_done[1], -EPIPE);
    ck_assert_uint_eq(a.closed, 1);
}
END_TEST

static unsigned told_closed;

static void forget(struct job_handle *handle)
{
    told_closed++;
    memset(handle, 0xa5, sizeof(struct job_rpc));   /* it is ours again */
}

START_TEST(without_a_closed_event_an_rpc_tells_who_was_named_for_its_handle)
{
    static const struct job_rpc_events deaf = {0};
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &deaf));
    job_handle_on_closed(&a.rpc.handle, forget);
    job_rpc_close(&a.rpc);
    turns(4);
    ck_assert_uint_eq(told_closed, 1);
}
END_TEST

START_TEST(a_callee_whose_end_never_came_to_a_loop_is_dead_when_it_is_closed)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));
    ck_assert_ok(ask(&a, 0, "anybody?"));
    turns(2);
    job_end_close(&ends[1]);
    ck_assert_int_eq(ask(&a, 1, "too late"), -EPIPE);
    turns(3);

    ck_assert_uint_eq(all_done(), 1);
    ck_assert_int_eq(callers[0].status, -EOWNERDEAD);
    ck_assert_uint_eq(a.closed, 1);
}
END_TEST

static void close_in_done(struct job_rpc_call *call, int status, struct job_message *message)
{
    on_done(call, status, message);
    job_rpc_close(&a.rpc);
    ck_assert_int_lt(ask(&a, 9, "more"), 0);
}

START_TEST(closing_in_done_ends_the_others_once)
{
    for (unsigned i = 0; i < 3; i++)
        callers[i].call.done = close_in_done;
    for (unsigned round = 0; round < 2; round++) {
        open_both(NULL, NULL);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_ok(ask(&a, i, "held"));
        turns(2);
        if (round == 0)
            ck_assert_ok(answer(&b, 0, 0, ""));
        else
            job_rpc_close(&b.rpc);
        turns(6);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_uint_eq(callers[i].done, round + 1);
        ck_assert_uint_eq(a.closed, 1);
        ck_assert_uint_eq(b.closed, 1);
        a.closed = b.closed = b.held_count = 0;
    }
}
END_TEST

START_TEST(a_loop_that_closes_ends_open_calls)
{
    open_both(NULL, NULL);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(ask(&a, i, "held"));
    turns(2);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[3].call, NULL, 1000000000));
    ck_assert_ok(job_loop_close(&loop, 0));

    ck_assert_uint_eq(all_done(), 4);
    ck_assert_int_eq(callers[3].status, -ECANCELED);
    ck_assert_uint_eq(a.closed + b.closed, 2);
}
END_TEST

START_TEST(a_caller_keeps_its_loop_alive_only_while_a_call_is_open)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &asks_only));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, NULL, 1000000));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(callers[0].status, -ETIMEDOUT);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[1].call, NULL, 0));
    job_rpc_cancel(&callers[1].call);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(callers[1].status, -ECANCELED);
}
END_TEST

static unsigned calls_heard;

static void close_at_the_call(struct side *side, struct job_message *message)
{
    (void)message;
    calls_heard++;
    job_rpc_close(&side->rpc);
}

START_TEST(closing_in_a_call_hears_none_of_those_that_wait)
{
    calls_heard = 0;
    open_both(NULL, NULL);
    b.then = close_at_the_call;
    for (unsigned i = 0; i < 5; i++)
        ck_assert_ok(ask(&a, i, "anybody?"));
    turns(6);

    ck_assert_uint_eq(calls_heard, 1);
    ck_assert_uint_eq(all_done(), 5);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(callers[i].status, -EOWNERDEAD);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc end");
    TCase *tcase = tcase_create("rpc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_caller_that_closes_ends_its_calls_before_closed);
    tcase_add_test(tcase, each_open_call_of_a_dead_callee_ends_once_with_EOWNERDEAD);
    tcase_add_test(tcase, in_done_of_a_dead_callee_its_end_is_closed);
    tcase_add_test(tcase, without_a_closed_event_an_rpc_tells_who_was_named_for_its_handle);
    tcase_add_test(tcase, a_callee_whose_end_never_came_to_a_loop_is_dead_when_it_is_closed);
    tcase_add_test(tcase, closing_in_done_ends_the_others_once);
    tcase_add_test(tcase, a_loop_that_closes_ends_open_calls);
    tcase_add_test(tcase, a_caller_keeps_its_loop_alive_only_while_a_call_is_open);
    tcase_add_test(tcase, closing_in_a_call_hears_none_of_those_that_wait);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
