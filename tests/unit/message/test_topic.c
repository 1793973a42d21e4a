/* test_topic.c — a topic: who hears what, in which order, and what may not be posted. */
#include "unit/message/topics.h"

START_TEST(L10_all_hear_all_in_the_order_of_posts_from_their_subscription_on)
{
    ck_assert_ok(post_number(0, NULL));   /* nobody listens */
    listen_to(a, topic, NULL);
    ck_assert_ok(post_number(1, NULL));
    listen_to(b, topic, NULL);
    for (unsigned i = 2; i < 10; i++)
        ck_assert_ok(post_number(i, NULL));
    ck_assert_uint_eq(a->received, 0);    /* never inside */
    turns(10);

    ck_assert_uint_eq(a->received, 9);
    ck_assert_uint_eq(b->received, 8);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_uint_eq(a->seen[i], i + 1);
    for (unsigned i = 0; i < 8; i++)
        ck_assert_uint_eq(b->seen[i], i + 2);
}
END_TEST

static unsigned order[LISTENERS], ordered;

static void note_order(struct listener *listener, const struct job_news *news)
{
    (void)news;
    order[ordered++] = (unsigned)(listener - listeners);
}

START_TEST(L10_who_subscribed_first_hears_first)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        unsigned who = (i * 3 + 1) % LISTENERS;
        listeners[who].then = note_order;
        listen_to(&listeners[who], topic, NULL);
    }
    ordered = 0;
    ck_assert_ok(post_number(1, NULL));
    turns(2);
    ck_assert_uint_eq(ordered, LISTENERS);
    for (unsigned i = 0; i < LISTENERS; i++)
        ck_assert_uint_eq(order[i], (i * 3 + 1) % LISTENERS);
}
END_TEST

/* Each kind that moves, alone and behind something good. */
START_TEST(L12_what_would_move_is_refused_and_nothing_changes)
{
    struct job_buf *view = view_of("good"), *buf = NULL, *none = NULL, *same = view;
    struct job_end *ends[2];
    struct job_sender *sender = NULL;
    struct job_runtime *other = fixture_runtime();
    struct job_region *region = NULL;
    int fd = 0;
    listen_to(a, topic, NULL);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_end_sender(ends[0], &sender));
    ck_assert_ok(job_region_open(other, 100, &region));
    struct job_item bad[] = {{.kind = JOB_ITEM_BUF, .buf = &buf},    {.kind = JOB_ITEM_BUF, .buf = &none},
                             {.kind = JOB_ITEM_END, .end = &ends[0]}, {.kind = JOB_ITEM_SENDER, .sender = &sender},
                             {.kind = JOB_ITEM_FD, .fd = &fd},       {.kind = JOB_ITEM_NONE},
                             {.kind = JOB_ITEM_REGION},              {.kind = JOB_ITEM_REGION, .region = region},
                             {.kind = JOB_ITEM_BUF},                 {.kind = JOB_ITEM_BUF, .buf = &view}};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct job_item items[2] = {{.kind = JOB_ITEM_BUF, .buf = &view}, bad[i]};
        ck_assert_int_eq(job_topic_post(topic, &(struct job_post){.items = items, .count = 2}, NULL), -EINVAL);
        ck_assert_ptr_eq(view, same);
    }
    turns(2);
    ck_assert_uint_eq(a->received, 0);
    ck_assert(buf && ends[0] && sender && fd == 0);
    job_sender_close(&sender);
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    job_buf_free(&buf);
    job_buf_free(&view);
    job_region_release(&region);
    fixture_close(other);
}
END_TEST

static void slice_it(struct listener *listener, const struct job_news *news)
{
    ck_assert_uint_eq(job_news_count(news), 2);
    ck_assert_ptr_null(job_news_region(news, 0));
    ck_assert_ptr_null(job_news_view(news, 1));
    ck_assert_ptr_nonnull(job_news_region(news, 1));
    ck_assert_ptr_null(job_news_view(news, 2));
    ck_assert_ok(job_buf_slice(job_news_view(news, 0), 0, 6, &listener->slice));
}

/* Long bytes lie elsewhere than short ones. */
START_TEST(bytes_views_and_regions_are_the_same_for_all_and_copied_for_none)
{
    static char bytes[5000] = "long";
    struct job_buf *view = view_of("shared"), *same = view;
    const void *data = job_buf_data(view);
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, 64, &region));
    for (unsigned i = 0; i < 3; i++) {
        listeners[i].then = slice_it;
        listen_to(&listeners[i], topic, NULL);
    }
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &view}, {.kind = JOB_ITEM_REGION, .region = region}};
    struct job_topic_result result;
    ck_assert_ok(job_topic_post(topic, &(struct job_post){bytes, sizeof bytes, items, 2}, &result));
    ck_assert_uint_eq(result.reached, 3);
    ck_assert_ptr_null(view);
    job_region_release(&region);
    turns(3);

    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ptr_eq(listeners[i].view, same);
        ck_assert_ptr_eq(listeners[i].address, listeners[0].address);
        ck_assert_ptr_eq(job_buf_data(listeners[i].slice), data);
        job_buf_free(&listeners[i].slice);
    }
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs + counts.regions, 0);   /* the last one has freed it */
}
END_TEST

static const struct job_news *kept;

static void keep(struct listener *listener, const struct job_news *news)
{
    (void)listener;
    kept = job_news_retain(news);
}

START_TEST(news_can_be_kept_beyond_the_topic)
{
    size_t len;
    a->then = keep;
    listen_to(a, topic, NULL);
    ck_assert_ok(job_topic_post(topic, &(struct job_post){"kept", 5, NULL, 0}, NULL));
    turns(2);
    job_subscriber_close(&a->subscriber);
    job_topic_close(&topic);
    turns(2);
    ck_assert_str_eq(job_news_bytes(kept, &len), "kept");
    ck_assert_uint_eq(len, 5);
    job_news_release(&kept);
    ck_assert_ptr_null(kept);
    job_news_release(&kept);
    job_news_release(NULL);
    ck_assert_ptr_null(job_news_retain(NULL));
    ck_assert_ptr_null(job_news_bytes(NULL, &len));
    ck_assert_uint_eq(len, 0);
}
END_TEST

START_TEST(a_name_means_one_topic_in_a_runtime_and_none_in_another)
{
    struct job_topic *same = NULL, *different = NULL, *elsewhere = NULL;
    struct job_runtime *other = fixture_runtime();
    ck_assert_ok(job_topic_open(runtime, "news", &same));
    ck_assert_ok(job_topic_open(runtime, "new", &different));
    ck_assert_ok(job_topic_open(other, "news", &elsewhere));
    listen_to(a, topic, NULL);
    ck_assert_int_eq(job_subscriber_open(loop, &b->subscriber, elsewhere, NULL, &events), -EINVAL);
    ck_assert_ok(job_topic_post(same, &(struct job_post){0}, NULL));
    ck_assert_ok(job_topic_post(different, &(struct job_post){0}, NULL));
    ck_assert_ok(job_topic_post(elsewhere, &(struct job_post){0}, NULL));
    turns(2);
    ck_assert_uint_eq(a->received, 1);
    job_topic_close(&same);
    job_topic_close(&different);
    job_topic_close(&elsewhere);
    fixture_close(other);
}
END_TEST

START_TEST(a_subscriber_does_not_hear_itself)
{
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    ck_assert_ok(job_subscriber_post(&a->subscriber, &(struct job_post){0}, NULL));
    turns(2);
    ck_assert_uint_eq(a->received, 0);
    ck_assert_uint_eq(b->received, 1);
}
END_TEST

static void posts_and_joins(struct listener *listener, const struct job_news *news)
{
    (void)news;
    if (listener->received > 1)
        return;
    listen_to(c, topic, NULL);
    job_subscriber_close(&b->subscriber);
    ck_assert_ok(post_number(2, NULL));
}

/* b closes while its mail is on its way. */
START_TEST(callbacks_may_post_join_and_close)
{
    a->then = posts_and_joins;
    listen_to(a, topic, NULL);
    listen_to(b, topic, NULL);
    ck_assert_ok(post_number(1, NULL));
    turns(4);
    ck_assert_uint_eq(a->received, 2);
    ck_assert_uint_eq(b->received, 0);
    ck_assert_uint_eq(b->closed, 1);
    ck_assert_uint_eq(c->received, 1);
    ck_assert_uint_eq(c->seen[0], 2);
}
END_TEST

static unsigned late;

static void release_posts(void *arg, void *memory, size_t len)
{
    (void)arg, (void)memory, (void)len;
    late++;
    ck_assert_ok(post_number(100, NULL));   /* no lock is held around it */
}

START_TEST(a_view_that_is_dropped_may_post_from_its_release_function)
{
    struct job_buf *view = NULL;
    late = 0;
    listen_to(a, topic, &(struct job_subscriber_options){.messages_max = 1});
    ck_assert_ok(job_buf_wrap(job_runtime_arena(runtime), "static", 6, release_posts, NULL, &view));
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &view};
    ck_assert_ok(job_topic_post(topic, &(struct job_post){.items = &item, .count = 1}, NULL));
    ck_assert_ok(post_number(1, NULL));   /* drops the view */
    ck_assert_uint_eq(late, 1);
    ck_assert_ok(job_buf_wrap(job_runtime_arena(runtime), "static", 6, release_posts, NULL, &view));
    ck_assert_ok(job_topic_post(topic, &(struct job_post){.items = &item, .count = 1}, NULL));
    job_subscriber_close(&a->subscriber);
    ck_assert_uint_eq(late, 2);
    turns(2);
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    static const struct job_subscriber_events deaf = {.closed = on_closed};
    struct job_subscriber never = {0};
    struct job_topic *none = NULL;
    struct job_subscriber_stats stats;
    char name[65];
    memset(name, 'x', sizeof name);
    name[64] = '\0';
    ck_assert_int_eq(job_topic_open(NULL, "x", &none), -EINVAL);
    ck_assert_int_eq(job_topic_open(runtime, NULL, &none), -EINVAL);
    ck_assert_int_eq(job_topic_open(runtime, "", &none), -EINVAL);
    ck_assert_int_eq(job_topic_open(runtime, name, &none), -EINVAL);
    ck_assert_int_eq(job_topic_open(runtime, "x", NULL), -EINVAL);
    name[63] = '\0';
    ck_assert_ok(job_topic_open(runtime, name, &none));
    job_topic_close(&none);
    job_topic_close(&none);
    job_topic_close(NULL);
    ck_assert_int_eq(job_topic_post(NULL, &(struct job_post){0}, NULL), -EINVAL);
    ck_assert_int_eq(job_topic_post(topic, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_topic_post(topic, &(struct job_post){.len = 1}, NULL), -EINVAL);
    ck_assert_int_eq(job_topic_post(topic, &(struct job_post){.bytes = "", .len = (size_t)1 << 31}, NULL), -EMSGSIZE);
    ck_assert_int_eq(job_topic_post(topic, &(struct job_post){.count = 1}, NULL), -EINVAL);
    ck_assert_int_eq(job_subscriber_open(NULL, &a->subscriber, topic, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_subscriber_open(loop, NULL, topic, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_subscriber_open(loop, &a->subscriber, NULL, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_subscriber_open(loop, &a->subscriber, topic, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_subscriber_open(loop, &a->subscriber, topic, NULL, &deaf), -EINVAL);
    struct job_subscriber_options many = {.messages_max = (1 << 20) + 1}, odd = {.policy = (enum job_topic_policy)3};
    ck_assert_int_eq(job_subscriber_open(loop, &a->subscriber, topic, &many, &events), -EINVAL);
    ck_assert_int_eq(job_subscriber_open(loop, &a->subscriber, topic, &odd, &events), -EINVAL);
    ck_assert_int_eq(job_subscriber_post(NULL, &(struct job_post){0}, NULL), -EINVAL);
    ck_assert_int_eq(job_subscriber_post(&never, &(struct job_post){0}, NULL), -EINVAL);
    ck_assert_int_eq(job_subscriber_stop(NULL), -EINVAL);
    ck_assert_int_eq(job_subscriber_stop(&never), -EINVAL);
    ck_assert_int_eq(job_subscriber_start(NULL), -EINVAL);
    ck_assert_int_eq(job_subscriber_start(&never), -EINVAL);
    ck_assert_int_eq(job_subscriber_status(&never), 0);
    job_subscriber_stats(&never, &stats);
    ck_assert_uint_eq(stats.received, 0);
    job_subscriber_stats(&never, NULL);
    job_subscriber_close(&never);
    job_subscriber_close(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("topic");
    TCase *tcase = tcase_create("topic");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, L10_all_hear_all_in_the_order_of_posts_from_their_subscription_on);
    tcase_add_test(tcase, L10_who_subscribed_first_hears_first);
    tcase_add_test(tcase, L12_what_would_move_is_refused_and_nothing_changes);
    tcase_add_test(tcase, bytes_views_and_regions_are_the_same_for_all_and_copied_for_none);
    tcase_add_test(tcase, news_can_be_kept_beyond_the_topic);
    tcase_add_test(tcase, a_name_means_one_topic_in_a_runtime_and_none_in_another);
    tcase_add_test(tcase, a_subscriber_does_not_hear_itself);
    tcase_add_test(tcase, callbacks_may_post_join_and_close);
    tcase_add_test(tcase, a_view_that_is_dropped_may_post_from_its_release_function);
    tcase_add_test(tcase, bad_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
