/* test_topic_queue.c — what a subscriber's queue does when it is full, stopped, or flooded. */
#include "unit/message/topics.h"

static struct job_subscriber_stats stats_of(const struct listener *listener)
{
    struct job_subscriber_stats stats;
    job_subscriber_stats(&listener->subscriber, &stats);
    return stats;
}

START_TEST(a_full_queue_drops_the_oldest_and_counts_them)
{
    struct job_topic_result result = {0};
    listen_to(a, topic, &(struct job_subscriber_options){.messages_max = 3});
    listen_to(b, topic, NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(post_number(i, &result));
    ck_assert_uint_eq(result.reached, 2);
    ck_assert_uint_eq(result.dropped, 1);
    ck_assert_uint_eq(stats_of(a).waiting, 3);
    turns(5);

    ck_assert_uint_eq(b->received, 10);   /* the slow one is no trouble of others */
    ck_assert_uint_eq(a->received, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(a->seen[i], i + 7);
    ck_assert_uint_eq(stats_of(a).dropped, 7);
    ck_assert_uint_eq(stats_of(a).received, 3);
    ck_assert_uint_eq(stats_of(b).dropped, 0);
}
END_TEST

START_TEST(a_full_queue_refuses_the_newest_and_counts_them)
{
    struct job_topic_result result = {0};
    listen_to(a, topic, &(struct job_subscriber_options){.messages_max = 3, .policy = JOB_TOPIC_REFUSE});
    listen_to(b, topic, NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(post_number(i, &result));
    ck_assert_uint_eq(result.reached, 1);
    ck_assert_uint_eq(result.refused, 1);
    turns(5);

    ck_assert_uint_eq(b->received, 10);
    ck_assert_uint_eq(a->received, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(a->seen[i], i);
    ck_assert_uint_eq(stats_of(a).refused, 7);
    ck_assert_ok(post_number(10, &result));
    ck_assert_uint_eq(result.reached, 2);
}
END_TEST

START_TEST(a_full_queue_is_disconnected_after_what_waits)
{
    struct job_topic_result result = {0};
    listen_to(a, topic, &(struct job_subscriber_options){.messages_max = 3, .policy = JOB_TOPIC_DISCONNECT});
    listen_to(b, topic, NULL);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(post_number(i, &result));
    ck_assert_uint_eq(result.disconnected, 1);
    ck_assert_uint_eq(result.reached, 1);
    ck_assert_ok(post_number(4, &result));
    ck_assert_uint_eq(result.disconnected, 0);
    turns(5);

    ck_assert_uint_eq(a->received_at_close, 3);
    ck_assert_uint_eq(a->closed, 1);
    ck_assert_int_eq(a->status, -ENOBUFS);
    ck_assert_uint_eq(b->received, 5);
}
END_TEST

/* Bytes of views count as well. What never fits is refused, and drops nothing that waits. */
static void stop_it(struct listener *listener, const struct job_news *news)
{
    (void)news;
    ck_assert_ok(job_subscriber_stop(&listener->subscriber));
}

START_TEST(who_is_stopped_hears_nothing_until_it_is_started_and_then_all_in_order)
{
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    a->then = stop_it;                    /* at its first message, with more of them due in the same turn */
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(post_number(i, NULL));
    turns(5);
    ck_assert_uint_eq(a->received, 1);
    ck_assert_uint_eq(stats_of(a).waiting, 3);
    ck_assert_uint_eq(b->received, 4);
    ck_assert_ok(post_number(4, NULL));
    ck_assert_ok(job_subscriber_stop(&a->subscriber));
    turns(5);
    ck_assert_uint_eq(a->received, 1);

    a->then = NULL;
    ck_assert_ok(job_subscriber_start(&a->subscriber));
    ck_assert_ok(job_subscriber_start(&a->subscriber));
    ck_assert_uint_eq(a->received, 1);    /* never inside */
    turns(5);
    ck_assert_ok(post_number(5, NULL));
    turns(5);
    ck_assert_uint_eq(a->received, 6);
    for (unsigned i = 0; i < 6; i++)
        ck_assert_uint_eq(a->seen[i], i);
}
END_TEST

START_TEST(the_queue_of_who_is_stopped_is_bounded_by_its_policy)
{
    struct job_topic_result result = {0};
    listen_to(a, topic, &(struct job_subscriber_options){.messages_max = 2, .policy = JOB_TOPIC_DROP_OLDEST});
    listen_to(b, topic, &(struct job_subscriber_options){.messages_max = 2, .policy = JOB_TOPIC_REFUSE});
    listen_to(c, topic, &(struct job_subscriber_options){.messages_max = 2, .policy = JOB_TOPIC_DISCONNECT});
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(job_subscriber_stop(&listeners[i].subscriber));
    ck_assert_int_eq(job_loop_run(loop), 0);   /* they keep nothing alive */
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(post_number(i, &result));
    ck_assert_uint_eq(result.reached, 1);
    ck_assert_uint_eq(result.dropped, 1);
    ck_assert_uint_eq(result.refused, 1);
    ck_assert_uint_eq(result.disconnected, 1);
    turns(5);
    ck_assert_uint_eq(c->closed, 1);           /* without a start: whoever stopped it must hear of it */
    ck_assert_int_eq(c->status, -ENOBUFS);
    ck_assert_uint_eq(c->received, 0);
    ck_assert_int_eq(job_subscriber_start(&c->subscriber), -ECANCELED);

    ck_assert_ok(job_subscriber_start(&a->subscriber));
    ck_assert_ok(job_subscriber_start(&b->subscriber));
    turns(5);
    ck_assert_uint_eq(a->received, 2);
    ck_assert_uint_eq(a->seen[0], 1);
    ck_assert_uint_eq(b->received, 2);
    ck_assert_uint_eq(b->seen[0], 0);
}
END_TEST

START_TEST(who_is_stopped_when_its_topic_ends_hears_the_rest_when_it_is_started)
{
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    ck_assert_ok(job_subscriber_stop(&a->subscriber));
    ck_assert_ok(job_subscriber_stop(&b->subscriber));
    ck_assert_ok(post_number(7, NULL));
    job_topic_end(topic);
    turns(5);
    ck_assert_uint_eq(a->closed, 0);

    ck_assert_ok(job_subscriber_start(&a->subscriber));
    job_subscriber_close(&b->subscriber);
    turns(5);
    ck_assert_uint_eq(a->received, 1);
    ck_assert_uint_eq(a->closed, 1);
    ck_assert_int_eq(a->status, -EPIPE);
    ck_assert_uint_eq(b->received, 0);
    ck_assert_uint_eq(b->closed, 1);
}
END_TEST

START_TEST(bytes_are_limited_as_messages_are)
{
    struct job_topic_result result = {0};
    listen_to(a, topic, &(struct job_subscriber_options){.bytes_max = 10});
    ck_assert_ok(job_topic_post(topic, &(struct job_post){"1234", 4, NULL, 0}, NULL));
    struct job_buf *view = view_of("56");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &view};
    ck_assert_ok(job_topic_post(topic, &(struct job_post){"1234", 4, &item, 1}, NULL));
    ck_assert_uint_eq(stats_of(a).waiting_bytes, 10);
    ck_assert_ok(job_topic_post(topic, &(struct job_post){"12345678901", 11, NULL, 0}, &result));
    ck_assert_uint_eq(result.refused, 1);
    ck_assert_uint_eq(stats_of(a).waiting, 2);
    ck_assert_ok(job_topic_post(topic, &(struct job_post){"1234567890", 10, NULL, 0}, &result));
    ck_assert_uint_eq(result.dropped, 2);
    turns(2);
    ck_assert_uint_eq(a->received, 1);
}
END_TEST

static void post_region(size_t size, struct job_topic_result *result)
{
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, size, &region));
    struct job_item item = {.kind = JOB_ITEM_REGION, .region = region};
    ck_assert_ok(job_topic_post(topic, &(struct job_post){.items = &item, .count = 1}, result));
    job_region_release(&region);
}

/* One that is larger than the queue is heard, alone. */
START_TEST(bytes_of_regions_are_limited_as_well)
{
    struct job_topic_result result = {0};
    struct job_counts counts;
    listen_to(a, topic, &(struct job_subscriber_options){.bytes_max = 1000});
    listen_to(b, topic, &(struct job_subscriber_options){.bytes_max = 1000, .policy = JOB_TOPIC_REFUSE});
    for (unsigned i = 0; i < 3; i++)
        post_region(400, &result);
    ck_assert_uint_eq(result.dropped, 1);
    ck_assert_uint_eq(result.refused, 1);
    ck_assert_uint_eq(stats_of(a).waiting_bytes, 800);
    ck_assert_uint_eq(stats_of(b).waiting_bytes, 800);
    post_region(5000, &result);
    ck_assert_uint_eq(result.dropped, 2);
    ck_assert_uint_eq(result.refused, 1);
    ck_assert_uint_eq(stats_of(a).waiting_bytes, 1000);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.regions, 3);
    turns(2);
    ck_assert_uint_eq(a->received, 1);
    ck_assert_uint_eq(b->received, 2);
    ck_assert_uint_eq(stats_of(a).waiting_bytes, 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.regions, 0);
}
END_TEST

static unsigned timers;

static void on_timer(struct job_timer *timer)
{
    timers = a->received;
    job_timer_close(timer, NULL);
}

START_TEST(a_flood_does_not_starve_the_rest_of_the_loop)
{
    struct job_timer timer;
    listen_to(a, topic, &(struct job_subscriber_options){.messages_max = 4000});
    for (unsigned i = 0; i < 4000; i++)
        ck_assert_ok(post_number(i, NULL));
    ck_assert_ok(job_timer_open(loop, &timer, on_timer));
    ck_assert_ok(job_timer_start(&timer, 0));
    job_topic_end(topic);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(a->received, 4000);
    ck_assert_uint_lt(timers, 4000);
}
END_TEST

START_TEST(what_waits_when_its_subscriber_closes_is_counted_as_dropped)
{
    listen_to(a, topic, NULL);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(post_number(i, NULL));
    job_subscriber_close(&a->subscriber);
    ck_assert_uint_eq(stats_of(a).waiting, 0);
    ck_assert_uint_eq(stats_of(a).dropped, 3);
    turns(3);

    ck_assert_uint_eq(a->closed, 1);
    ck_assert_uint_eq(a->received, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic queue");
    TCase *tcase = tcase_create("topic");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_full_queue_drops_the_oldest_and_counts_them);
    tcase_add_test(tcase, a_full_queue_refuses_the_newest_and_counts_them);
    tcase_add_test(tcase, a_full_queue_is_disconnected_after_what_waits);
    tcase_add_test(tcase, who_is_stopped_hears_nothing_until_it_is_started_and_then_all_in_order);
    tcase_add_test(tcase, the_queue_of_who_is_stopped_is_bounded_by_its_policy);
    tcase_add_test(tcase, who_is_stopped_when_its_topic_ends_hears_the_rest_when_it_is_started);
    tcase_add_test(tcase, bytes_are_limited_as_messages_are);
    tcase_add_test(tcase, bytes_of_regions_are_limited_as_well);
    tcase_add_test(tcase, a_flood_does_not_starve_the_rest_of_the_loop);
    tcase_add_test(tcase, what_waits_when_its_subscriber_closes_is_counted_as_dropped);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
