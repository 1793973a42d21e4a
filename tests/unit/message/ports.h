/* ports.h — two ends of a channel on one loop, and what each of them has seen: what the tests of messages share. */
#ifndef TESTS_UNIT_MESSAGE_PORTS_H
#define TESTS_UNIT_MESSAGE_PORTS_H

#include "support/fixture.h"

enum { SEEN_MAX = 2048 };

struct peer {
    struct job_port port;
    unsigned received, closed, writable;
    unsigned seen[SEEN_MAX];           /* the numbers, in order */
    unsigned seen_at_close;
    bool is_receiving;
    void (*then)(struct peer *peer, struct job_message *message);
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_end *ends[2];
static struct peer a, b;

static inline void on_message(struct job_port *port, struct job_message *message)
{
    struct peer *peer = job_container_of(port, struct peer, port);
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    ck_assert_ptr_nonnull(bytes);
    ck_assert(!peer->is_receiving);
    peer->is_receiving = true;
    if (len == sizeof(unsigned) && peer->received < SEEN_MAX)
        memcpy(&peer->seen[peer->received], bytes, len);
    peer->received++;
    if (peer->then)
        peer->then(peer, message);
    peer->is_receiving = false;
}

static inline void on_writable(struct job_port *port)
{
    job_container_of(port, struct peer, port)->writable++;
}

static inline void on_closed(struct job_port *port)
{
    struct peer *peer = job_container_of(port, struct peer, port);
    peer->closed++;
    peer->seen_at_close = peer->received;
}

static const struct job_port_events events = {.message = on_message, .writable = on_writable, .closed = on_closed};

static inline void open_channel(const struct job_channel_options *options)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], options));
}

static inline void open_both(const struct job_channel_options *options)
{
    open_channel(options);
    ck_assert_ok(job_port_open(loop, &a.port, &ends[0], &events));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    ck_assert_ptr_null(ends[0]);
}

static inline void setup(void)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static inline void teardown(void)
{
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    ck_assert_ok(job_loop_close(&loop, 0));
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static inline int post_number(struct job_port *port, unsigned number)
{
    return job_port_post(port, &(struct job_post){.bytes = &number, .len = sizeof number});
}

static inline int end_post_number(struct job_end *end, unsigned number)
{
    return job_end_post(end, &(struct job_post){.bytes = &number, .len = sizeof number});
}

/* Two each: what a call posts is heard in the turn behind it. */
static inline void turns(unsigned count)
{
    fixture_turns(loop, 2 * count);
}

static inline uint64_t dropped(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.dropped_messages;
}

#endif
