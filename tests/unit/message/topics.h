/* topics.h — a topic and who listens to it: shared by the tests of topics. */
#ifndef TESTS_UNIT_MESSAGE_TOPICS_H
#define TESTS_UNIT_MESSAGE_TOPICS_H

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

static inline void on_message(struct job_subscriber *subscriber, const struct job_news *news)
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

static inline void on_closed(struct job_subscriber *subscriber)
{
    struct listener *listener = job_container_of(subscriber, struct listener, subscriber);
    listener->closed++;
    listener->received_at_close = listener->received;
    listener->status = job_subscriber_status(subscriber);
}

static const struct job_subscriber_events events = {.message = on_message, .closed = on_closed};

static inline void listen_to(struct listener *listener, struct job_topic *to,
                             const struct job_subscriber_options *options)
{
    ck_assert_ok(job_subscriber_open(loop, &listener->subscriber, to, options, &events));
}

static inline int post_number(unsigned number, struct job_topic_result *result)
{
    return job_topic_post(topic, &(struct job_post){.bytes = &number, .len = sizeof number}, result);
}

static inline void setup(void)
{
    memset(listeners, 0, sizeof listeners);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_topic_open(runtime, "news", &topic));
}

static inline void teardown(void)
{
    struct job_counts counts;
    ck_assert_ok(job_loop_close(&loop, 0));
    job_topic_close(&topic);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static inline void turns(unsigned count)
{
    fixture_turns(loop, count);
}

static inline struct job_buf *view_of(const char *text)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, text, strlen(text)));
    ck_assert_ok(job_buf_freeze(buf));
    return buf;
}

#endif
