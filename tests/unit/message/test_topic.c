/* test_topic.c — topics on one loop: who hears what in which order, what is shared, limits and their policies, the ends of both sides. */
#include "support/fixture.h"

enum { SEEN_MAX = 4096, LISTENERS = 4 };

struct listener {
    struct job_subscriber subscriber;
    unsigned received, closed, received_at_close;
    unsigned seen[SEEN_MAX];
    int status;
    const void *address;                 /* of the last bytes */
    const struct job_buf *view;
    struct job_buf *slice;
    void (*then)(struct listener *listener, const struct job_news *news);
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_topic *topic;
static struct listener listeners[LISTENERS];
static struct listener *const a = &listeners[0], *const b = &listeners[1], *const c = &listeners[2];

static void on_message(struct job_subscriber *subscriber, const struct job_news *news)
{
    struct listener *listener = job_container_of(subscriber, struct listener, subscriber);
    size_t len;
    listener->address = job_news_bytes(news, &len);
    ck_assert_ptr_nonnull(listener->address);
    ck_assert_uint_eq(listener->closed, 0);
    if (len == sizeof(unsigned) && listener->received < SEEN_MAX)
        memcpy(&listener->seen[listener->received], listener->address, len);
    listener->received++;
    listener->view = job_news_view(news, 0);
    if (listener->then)
        listener->then(listener, news);
}

static void on_closed(struct job_subscriber *subscriber)
{
    struct listener *listener = job_container_of(subscriber, struct listener, subscriber);
    listener->closed++;
    listener->received_at_close = listener->received;
    listener->status = job_subscriber_status(subscriber);
}

static const struct job_subscriber_events events = {.message = on_message, .closed = on_closed};

static void listen_to(struct listener *listener, struct job_topic *to, const struct job_subscriber_options *options)
{
    ck_assert_ok(job_subscriber_open(loop, &listener->subscriber, to, options, &events));
}

static int post_number(unsigned number, struct job_topic_result *result)
{
    return job_topic_post(topic, &(struct job_post){.bytes = &number, .len = sizeof number}, result);
}

static void setup(void)
{
    memset(listeners, 0, sizeof listeners);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_topic_open(runtime, "news", &topic));
}

static void teardown(void)
{
    struct job_counts counts;
    ck_assert_ok(job_loop_close(&loop, 0));
    job_topic_close(&topic);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static void stop(struct job_call *call)
{
    (void)call;
    job_loop_stop(loop);
}

static void turns(unsigned count)
{
    while (count-- > 0) {
        struct job_call call = {.run = stop};
        ck_assert_ok(job_loop_call(loop, &call));
        ck_assert_int_eq(job_loop_run(loop), 1);
    }
}

static struct job_buf *view_of(const char *text)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, text, strlen(text)));
    ck_assert_ok(job_buf_freeze(buf));
    return buf;
}

static struct job_subscriber_stats stats_of(const struct listener *listener)
{
    struct job_subscriber_stats stats;
    job_subscriber_stats(&listener->subscriber, &stats);
    return stats;
}

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
    tcase_add_test(tcase, L11_close_twice_is_harmless_and_nothing_comes_afterwards);
    tcase_add_test(tcase, L11_a_post_after_the_end_is_refused_and_its_view_stays);
    tcase_add_test(tcase, L12_what_would_move_is_refused_and_nothing_changes);
    tcase_add_test(tcase, bytes_views_and_regions_are_the_same_for_all_and_copied_for_none);
    tcase_add_test(tcase, news_can_be_kept_beyond_the_topic);
    tcase_add_test(tcase, a_full_queue_drops_the_oldest_and_counts_them);
    tcase_add_test(tcase, a_full_queue_refuses_the_newest_and_counts_them);
    tcase_add_test(tcase, a_full_queue_is_disconnected_after_what_waits);
    tcase_add_test(tcase, who_is_stopped_hears_nothing_until_it_is_started_and_then_all_in_order);
    tcase_add_test(tcase, the_queue_of_who_is_stopped_is_bounded_by_its_policy);
    tcase_add_test(tcase, who_is_stopped_when_its_topic_ends_hears_the_rest_when_it_is_started);
    tcase_add_test(tcase, bytes_are_limited_as_messages_are);
    tcase_add_test(tcase, bytes_of_regions_are_limited_as_well);
    tcase_add_test(tcase, when_a_topic_ends_each_gets_what_waits_and_closes_once);
    tcase_add_test(tcase, a_name_means_one_topic_in_a_runtime_and_none_in_another);
    tcase_add_test(tcase, a_subscriber_does_not_hear_itself);
    tcase_add_test(tcase, callbacks_may_post_join_and_close);
    tcase_add_test(tcase, closing_in_the_callback_drops_the_rest_and_counts_it);
    tcase_add_test(tcase, a_view_that_is_dropped_may_post_from_its_release_function);
    tcase_add_test(tcase, a_flood_does_not_starve_the_rest_of_the_loop);
    tcase_add_test(tcase, a_loop_that_closes_closes_its_subscribers);
    tcase_add_test(tcase, a_subscriber_that_is_closed_can_be_called_though_its_loop_is_gone);
    tcase_add_test(tcase, without_a_closed_event_a_subscriber_tells_who_was_named_for_its_handle);
    tcase_add_test(tcase, bad_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
