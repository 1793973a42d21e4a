/* test_topic_end.c — the end of a topic, a subscriber, or their loop. */
#include "unit/message/topics.h"

START_TEST(L11_close_twice_is_harmless_and_nothing_comes_afterwards)
{
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    ck_assert_ok(post_number(1, NULL));
    job_subscriber_close(&a->subscriber);
    job_subscriber_close(&a->subscriber);
    ck_assert_int_eq(job_subscriber_post(&a->subscriber, &(struct job_post){0}, NULL), -EPIPE);
    ck_assert_ok(post_number(2, NULL));
    turns(4);
    job_subscriber_close(&a->subscriber);
    ck_assert_int_eq(job_subscriber_post(&a->subscriber, &(struct job_post){0}, NULL), -EPIPE);

    ck_assert_uint_eq(a->received, 0);
    ck_assert_uint_eq(a->closed, 1);
    ck_assert_int_eq(a->status, 0);
    ck_assert_uint_eq(b->received, 2);
    ck_assert_uint_eq(b->closed, 0);
}
END_TEST

START_TEST(L11_a_post_after_the_end_is_refused_and_its_view_stays)
{
    struct job_buf *view = view_of("mine");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &view};
    job_topic_end(topic);
    job_topic_end(topic);
    job_topic_end(NULL);
    ck_assert_int_eq(job_topic_post(topic, &(struct job_post){.items = &item, .count = 1}, NULL), -EPIPE);
    ck_assert_uint_eq(job_buf_len(view), 4);
    ck_assert_int_eq(job_subscriber_open(loop, &a->subscriber, topic, NULL, &events), -EPIPE);
    job_buf_free(&view);
}
END_TEST

START_TEST(when_a_topic_ends_each_gets_what_waits_and_closes_once)
{
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    for (unsigned i = 0; i < 600; i++)   /* more than one turn delivers */
        ck_assert_ok(post_number(i, NULL));
    job_topic_end(topic);
    struct job_topic *next = NULL;
    ck_assert_ok(job_topic_open(runtime, "news", &next));
    ck_assert_ptr_ne(next, topic);
    ck_assert_ok(job_topic_post(next, &(struct job_post){0}, NULL));
    ck_assert_int_eq(job_loop_run(loop), 0);   /* nothing is left that keeps it alive */

    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(listeners[i].received_at_close, 600);
        ck_assert_uint_eq(listeners[i].closed, 1);
        ck_assert_int_eq(listeners[i].status, -EPIPE);
    }
    job_topic_close(&next);
}
END_TEST

static void closes_itself(struct listener *listener, const struct job_news *news)
{
    (void)news;
    job_subscriber_close(&listener->subscriber);
}

START_TEST(closing_in_the_callback_drops_the_rest_and_counts_it)
{
    struct job_counts counts;
    a->then = closes_itself;
    listen_to(a, topic, NULL);
    for (unsigned i = 0; i < 5; i++)
        ck_assert_ok(post_number(i, NULL));
    turns(3);
    ck_assert_uint_eq(a->received_at_close, 1);
    ck_assert_uint_eq(a->closed, 1);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.dropped_messages, 4);
}
END_TEST

START_TEST(a_loop_that_closes_closes_its_subscribers)
{
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    ck_assert_ok(post_number(1, NULL));
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(a->closed + b->closed, 2);
    struct job_topic_result result;
    ck_assert_ok(post_number(2, &result));
    ck_assert_uint_eq(result.reached, 0);
}
END_TEST

static void *post_by_a(void *err)
{
    *(int *)err = job_subscriber_post(&a->subscriber, &(struct job_post){0}, NULL);
    return NULL;
}

START_TEST(a_subscriber_that_is_closed_can_be_called_though_its_loop_is_gone)
{
    pthread_t thread;
    int err = 0;
    listen_to(a, topic, NULL);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_int_eq(pthread_create(&thread, NULL, post_by_a, &err), 0);   /* there it is not right by chance */
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(err, -EPIPE);
}
END_TEST

static unsigned told_closed;

static void forget(struct job_handle *handle)
{
    told_closed++;
    memset(handle, 0xa5, sizeof(struct job_subscriber));   /* it is ours again */
}

static void ignore(struct job_subscriber *subscriber, const struct job_news *news)
{
    (void)subscriber, (void)news;
}

START_TEST(without_a_closed_event_a_subscriber_tells_who_was_named_for_its_handle)
{
    static const struct job_subscriber_events no_closed = {.message = ignore};
    ck_assert_ok(job_subscriber_open(loop, &a->subscriber, topic, NULL, &no_closed));
    job_handle_on_closed(&a->subscriber.handle, forget);
    job_subscriber_close(&a->subscriber);
    turns(2);
    ck_assert_uint_eq(told_closed, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic end");
    TCase *tcase = tcase_create("topic");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, L11_close_twice_is_harmless_and_nothing_comes_afterwards);
    tcase_add_test(tcase, L11_a_post_after_the_end_is_refused_and_its_view_stays);
    tcase_add_test(tcase, when_a_topic_ends_each_gets_what_waits_and_closes_once);
    tcase_add_test(tcase, closing_in_the_callback_drops_the_rest_and_counts_it);
    tcase_add_test(tcase, a_loop_that_closes_closes_its_subscribers);
    tcase_add_test(tcase, a_subscriber_that_is_closed_can_be_called_though_its_loop_is_gone);
    tcase_add_test(tcase, without_a_closed_event_a_subscriber_tells_who_was_named_for_its_handle);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
