/* test_port.c — ports on one loop: delivery, order, limits, start and stop, closing, and what each call says in each state. */
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

static void on_message(struct job_port *port, struct job_message *message)
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

static void on_writable(struct job_port *port)
{
    job_container_of(port, struct peer, port)->writable++;
}

static void on_closed(struct job_port *port)
{
    struct peer *peer = job_container_of(port, struct peer, port);
    peer->closed++;
    peer->seen_at_close = peer->received;
}

static const struct job_port_events events = {.message = on_message, .writable = on_writable, .closed = on_closed};

static void open_channel(const struct job_channel_options *options)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], options));
}

static void open_both(const struct job_channel_options *options)
{
    open_channel(options);
    ck_assert_ok(job_port_open(loop, &a.port, &ends[0], &events));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    ck_assert_ptr_null(ends[0]);
}

static void setup(void)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static void teardown(void)
{
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    ck_assert_ok(job_loop_close(&loop, 0));
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static int post_number(struct job_port *port, unsigned number)
{
    return job_port_post(port, &(struct job_post){.bytes = &number, .len = sizeof number});
}

static int end_post_number(struct job_end *end, unsigned number)
{
    return job_end_post(end, &(struct job_post){.bytes = &number, .len = sizeof number});
}

static void run_call(struct job_call *call)
{
    (void)call;
    job_loop_stop(loop);
}

/* Some turns, also when nothing keeps the loop alive. */
static void turns(unsigned count)
{
    while (count-- > 0) {
        struct job_call call = {.run = run_call};
        ck_assert_ok(job_loop_call(loop, &call));
        ck_assert_int_eq(job_loop_run(loop), 1);
    }
}

static uint64_t dropped(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.dropped_messages;
}

START_TEST(P01_messages_wait_until_the_port_is_opened)
{
    open_channel(NULL);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_ok(end_post_number(ends[0], i));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));

    turns(100);

    ck_assert_uint_eq(b.received, 100);
    for (unsigned i = 0; i < 100; i++)
        ck_assert_uint_eq(b.seen[i], i);
}
END_TEST

static void stop_at_three(struct peer *peer, struct job_message *message)
{
    (void)message;
    if (peer->received == 3)
        ck_assert_ok(job_port_stop(&peer->port));
}

START_TEST(P01_messages_wait_while_the_port_is_stopped)
{
    open_both(NULL);
    b.then = stop_at_three;
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(post_number(&a.port, i));

    turns(3);
    ck_assert_uint_eq(b.received, 3);
    ck_assert_ok(post_number(&a.port, 10));
    turns(2);
    ck_assert_uint_eq(b.received, 3);

    ck_assert_ok(job_port_start(&b.port));
    turns(3);
    ck_assert_uint_eq(b.received, 11);
    for (unsigned i = 0; i < 11; i++)
        ck_assert_uint_eq(b.seen[i], i);
}
END_TEST

START_TEST(P03_bytes_are_those_of_the_moment_of_the_post)
{
    open_both(NULL);
    unsigned number = 7;
    ck_assert_ok(job_port_post(&a.port, &(struct job_post){.bytes = &number, .len = sizeof number}));
    number = 8;

    turns(3);

    ck_assert_uint_eq(b.received, 1);
    ck_assert_uint_eq(b.seen[0], 7);
}
END_TEST

static void post_back(struct peer *peer, struct job_message *message)
{
    (void)message;
    struct peer *other = peer == &a ? &b : &a;
    unsigned before = other->received;
    if (peer->received < 50)
        ck_assert_ok(post_number(&peer->port, peer->received));
    ck_assert_uint_eq(other->received, before);
}

START_TEST(P04_no_callback_runs_inside_a_post)
{
    open_both(NULL);
    a.then = b.then = post_back;   /* on_message() checks that callbacks do not nest */

    ck_assert_ok(post_number(&a.port, 0));
    ck_assert_uint_eq(b.received, 0);
    turns(120);

    ck_assert_uint_eq(b.received, 50);
}
END_TEST

static struct job_timer timer;
static unsigned received_when_fired;

static void fired(struct job_timer *late)
{
    received_when_fired = b.received;
    job_timer_close(late, NULL);
}

static void start_timer(struct peer *peer, struct job_message *message)
{
    (void)message;
    if (peer->received == 1)
        ck_assert_ok(job_timer_start(&timer, 0));
}

START_TEST(P06_a_backlog_does_not_keep_a_timer_waiting)
{
    unsigned backlog = 100000;
    open_both(&(struct job_channel_options){.messages_max = backlog});
    for (unsigned i = 0; i < backlog; i++)
        ck_assert_ok(post_number(&a.port, i));
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    b.then = start_timer;

    turns(4);

    ck_assert_uint_gt(received_when_fired, 0);
    ck_assert_uint_le(received_when_fired, 2 * 256);   /* a budget a turn, whatever the backlog */
    while (b.received < backlog)
        turns(1);
}
END_TEST

START_TEST(P07_closing_one_end_closes_both_once)
{
    open_both(NULL);
    turns(1);

    job_port_close(&a.port);
    ck_assert_uint_eq(a.closed, 0);   /* not inside the call */
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(b.closed, 1);
    job_port_close(&a.port);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(a.closed, 1);
}
END_TEST

START_TEST(P08_what_was_posted_before_close_arrives_before_closed)
{
    open_both(NULL);
    for (unsigned i = 0; i < 700; i++)
        ck_assert_ok(post_number(&a.port, i));
    job_port_close(&a.port);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(b.received, 700);
    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(b.seen_at_close, 700);
}
END_TEST

START_TEST(P09_a_post_to_a_closed_peer_leaves_the_buf_with_the_sender)
{
    struct job_buf *buf = NULL;
    open_channel(NULL);
    ck_assert_ok(job_port_open(loop, &a.port, &ends[0], &events));
    job_end_close(&ends[1]);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, "still here", 10));
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};

    ck_assert_int_eq(job_port_post(&a.port, &(struct job_post){.items = &item, .count = 1}), -EPIPE);

    ck_assert_ptr_nonnull(buf);
    ck_assert_mem_eq(job_buf_data(buf), "still here", 10);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_int_eq(job_port_post(&a.port, &(struct job_post){.items = &item, .count = 1}), -ECANCELED);
    job_buf_free(&buf);
}
END_TEST

static void close_at_first(struct peer *peer, struct job_message *message)
{
    (void)message;
    if (peer->received == 1)
        job_port_close(&peer->port);
}

static void close_now_at_second(struct peer *peer, struct job_message *message)
{
    (void)message;
    if (peer->received == 1)
        job_port_close(&peer->port);
    if (peer->received == 2)
        job_port_close_now(&peer->port);
}

START_TEST(P10_close_in_the_callback_delivers_what_waits)
{
    open_both(NULL);
    b.then = close_at_first;
    for (unsigned i = 0; i < 5; i++)
        ck_assert_ok(post_number(&a.port, i));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(b.received, 5);
    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(dropped(), 0);
}
END_TEST

START_TEST(P10_close_now_drops_what_waits_and_its_bufs)
{
    open_both(NULL);
    b.then = close_now_at_second;
    for (unsigned i = 0; i < 5; i++) {
        struct job_buf *buf = NULL;
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
        ck_assert_ok(job_port_post(&a.port, &(struct job_post){.items = &item, .count = 1}));
        ck_assert_ptr_null(buf);
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(b.received, 2);
    ck_assert_uint_eq(dropped(), 3);   /* teardown looks for the bufs */
}
END_TEST

static int call_each(struct job_port *port, unsigned index)
{
    struct job_end *end = NULL;
    struct job_sender *sender = NULL;
    int err;
    switch (index) {
    case 0:
        return post_number(port, 1);
    case 1:
        return job_port_start(port);
    case 2:
        return job_port_stop(port);
    case 3:
        err = job_port_take(port, &end);
        job_end_close(&end);
        return err;
    default:
        err = job_port_sender(port, &sender);
        job_sender_close(&sender);
        return err;
    }
}

START_TEST(P11_each_call_says_what_is_wrong_in_each_state)
{
    struct peer never = {0};
    for (unsigned call = 0; call < 5; call++) {
        ck_assert_int_eq(call_each(&never.port, call), -EINVAL);
        ck_assert_int_eq(call_each(NULL, call), -EINVAL);
        open_both(NULL);
        ck_assert_int_eq(call_each(&a.port, call), 0);
        job_port_close(&b.port);
        ck_assert_int_eq(call_each(&b.port, call), -ECANCELED);
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_int_eq(call_each(&b.port, call), -ECANCELED);
        job_port_close(&b.port);
        job_port_close_now(&b.port);
        job_port_close(&a.port);
        ck_assert_int_eq(job_loop_run(loop), 0);
    }
    job_port_close(NULL);
    job_port_close_now(NULL);
    job_port_close(&never.port);
    ck_assert_int_eq(job_port_open(loop, &a.port, &ends[0], &events), -EINVAL);
}
END_TEST

START_TEST(P14_a_started_port_keeps_the_loop_alive_until_it_is_stopped_or_unreferenced)
{
    open_both(NULL);
    turns(2);
    ck_assert_ok(job_port_stop(&a.port));
    job_handle_unref(&b.port.handle);
    ck_assert(!job_handle_has_ref(&b.port.handle));

    ck_assert_int_eq(job_loop_run(loop), 0);   /* returns */

    job_handle_ref(&b.port.handle);
    ck_assert_ok(post_number(&a.port, 1));
    b.then = close_at_first;
    ck_assert_int_eq(job_loop_run(loop), 0);   /* only after the close */
    ck_assert_uint_eq(b.received, 1);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

START_TEST(P16_a_port_whose_end_was_taken_refuses_and_the_new_owner_is_untouched)
{
    struct peer c = {0};
    open_both(NULL);
    ck_assert_ok(post_number(&a.port, 1));
    ck_assert_ok(job_port_take(&b.port, &ends[1]));
    ck_assert_ptr_nonnull(ends[1]);

    for (unsigned call = 0; call < 5; call++)
        ck_assert_int_eq(call_each(&b.port, call), -ENXIO);
    turns(3);
    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(b.received, 0);

    ck_assert_ok(job_port_open(loop, &c.port, &ends[1], &events));
    ck_assert_ok(post_number(&a.port, 2));
    turns(3);
    ck_assert_uint_eq(c.received, 2);
    ck_assert_uint_eq(c.seen[0], 1);
    ck_assert_uint_eq(c.seen[1], 2);
    job_port_close(&c.port);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(c.closed, 1);
}
END_TEST

START_TEST(P17_an_end_in_its_own_message_is_refused)
{
    open_channel(NULL);
    struct job_item item = {.kind = JOB_ITEM_END, .end = &ends[0]};

    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = &item, .count = 1}), -EINVAL);

    ck_assert_ok(end_post_number(ends[0], 1));   /* both still work */
    ck_assert_ok(end_post_number(ends[1], 2));
}
END_TEST

START_TEST(P18_an_end_sent_to_itself_is_refused)
{
    open_channel(NULL);
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &buf}, {.kind = JOB_ITEM_END, .end = &ends[1]}};

    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = items, .count = 2}), -EDEADLK);

    ck_assert_ptr_nonnull(ends[1]);
    ck_assert_ptr_nonnull(buf);
    job_buf_free(&buf);
    ck_assert_ok(end_post_number(ends[0], 1));
    struct job_message *message = NULL;
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    job_message_free(&message);
}
END_TEST

START_TEST(P18_ends_that_would_travel_inside_each_other_are_refused)
{
    struct job_end *others[2], *third[2];
    open_channel(NULL);
    ck_assert_ok(job_channel_open(runtime, &others[0], &others[1], NULL));
    ck_assert_ok(job_channel_open(runtime, &third[0], &third[1], NULL));
    struct job_item one = {.kind = JOB_ITEM_END, .end = &ends[1]};
    struct job_item two = {.kind = JOB_ITEM_END, .end = &others[1]};
    struct job_item three = {.kind = JOB_ITEM_END, .end = &third[1]};

    ck_assert_ok(job_end_post(others[0], &(struct job_post){.items = &one, .count = 1}));   /* 1 is in 2's queue */
    ck_assert_ok(job_end_post(third[0], &(struct job_post){.items = &two, .count = 1}));    /* 2 in 3's */
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = &three, .count = 1}), -EDEADLK);

    struct job_message *message = NULL;
    ck_assert_ok(job_end_receive(third[1], &message, 0));   /* 2 has arrived: no ring any more */
    others[1] = job_message_take_end(message, 0);
    job_message_free(&message);
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.items = &three, .count = 1}));
    job_end_close(&others[1]);   /* with 1, with 3 */
    job_end_close(&others[0]);
    job_end_close(&third[0]);
    ck_assert_uint_eq(dropped(), 2);
}
END_TEST

START_TEST(P21_closing_a_port_closes_all_that_its_messages_carry)
{
    int before = fixture_descriptors();
    struct job_end *inner[2];
    struct job_sender *sender = NULL;
    struct job_region *region = NULL;
    struct job_buf *buf = NULL;
    int pipes[2];
    open_channel(NULL);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_ok(job_channel_open(runtime, &inner[0], &inner[1], NULL));
        ck_assert_ok(job_end_sender(inner[0], &sender));
        ck_assert_ok(job_region_open(runtime, 64, &region));
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        ck_assert_int_eq(pipe(pipes), 0);
        struct job_item items[] = {
            {.kind = JOB_ITEM_END, .end = &inner[0]}, {.kind = JOB_ITEM_END, .end = &inner[1]},
            {.kind = JOB_ITEM_SENDER, .sender = &sender}, {.kind = JOB_ITEM_REGION, .region = region},
            {.kind = JOB_ITEM_BUF, .buf = &buf}, {.kind = JOB_ITEM_FD, .fd = &pipes[0]},
            {.kind = JOB_ITEM_FD, .fd = &pipes[1]},
        };
        ck_assert_ok(job_end_post(ends[0], &(struct job_post){.items = items, .count = 7}));
        ck_assert_int_eq(pipes[0], -1);
        job_region_release(&region);
    }

    job_end_close(&ends[1]);

    ck_assert_int_eq(fixture_descriptors(), before);
    ck_assert_uint_eq(dropped(), 20);
}
END_TEST

START_TEST(P24_a_full_port_refuses_and_tells_once_when_half_is_free)
{
    open_both(&(struct job_channel_options){.messages_max = 8});
    ck_assert_ok(job_port_stop(&b.port));
    for (unsigned i = 0; i < 8; i++)
        ck_assert_ok(post_number(&a.port, i));
    ck_assert_int_eq(post_number(&a.port, 8), -EAGAIN);
    ck_assert_int_eq(post_number(&a.port, 8), -EAGAIN);

    turns(2);
    ck_assert_uint_eq(a.writable, 0);
    ck_assert_ok(job_port_start(&b.port));
    turns(4);

    ck_assert_uint_eq(b.received, 8);
    ck_assert_uint_eq(a.writable, 1);
    ck_assert_ok(post_number(&a.port, 8));
}
END_TEST

START_TEST(P24_the_limit_in_bytes_counts_bufs_as_well)
{
    open_channel(&(struct job_channel_options){.bytes_max = 10000});
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 9000, NULL, &buf));
    ck_assert_ok(job_buf_extend(buf, 9000));
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    char bytes[10001] = {0};
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.bytes = bytes, .len = sizeof bytes}), -EMSGSIZE);
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.items = &item, .count = 1}));
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.bytes = bytes, .len = 1001}), -EAGAIN);
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.bytes = bytes, .len = 1000}));
}
END_TEST

START_TEST(P25_close_needs_no_room)
{
    open_both(&(struct job_channel_options){.messages_max = 4});
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(post_number(&a.port, i));
    ck_assert_int_eq(post_number(&a.port, 4), -EAGAIN);

    job_port_close(&a.port);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(b.received, 4);
    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(a.writable, 0);   /* the wait ended with the close */
}
END_TEST

START_TEST(P27_an_empty_message_is_a_message)
{
    open_both(NULL);
    ck_assert_ok(job_port_post(&a.port, &(struct job_post){0}));

    turns(3);

    ck_assert_uint_eq(b.received, 1);
    ck_assert_uint_eq(b.closed, 0);
}
END_TEST

static const char *long_bytes;
static size_t long_len;

static void compare_long(struct peer *peer, struct job_message *message)
{
    size_t len;
    const char *bytes = job_message_bytes(message, &len);
    (void)peer;
    ck_assert_uint_eq(len, long_len);
    ck_assert_mem_eq(bytes, long_bytes, len);
}

START_TEST(bytes_of_every_length_arrive_beside_items)
{
    static char bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    long_bytes = bytes;
    open_both(NULL);
    b.then = compare_long;
    for (unsigned count = 0; count <= 6; count++) {
        for (long_len = 0; long_len < 300; long_len++) {
            struct job_region *region = NULL;
            ck_assert_ok(job_region_open(runtime, 64, &region));
            struct job_item items[6];
            for (unsigned i = 0; i < count; i++)
                items[i] = (struct job_item){.kind = JOB_ITEM_REGION, .region = region};
            ck_assert_ok(job_port_post(&a.port, &(struct job_post){bytes, long_len, items, count}));
            job_region_release(&region);
            turns(2);
        }
    }
    long_len = 5000;
    ck_assert_ok(job_port_post(&a.port, &(struct job_post){bytes, long_len, NULL, 0}));
    turns(3);
    ck_assert_uint_eq(b.received, 7 * 300 + 1);
}
END_TEST

static struct job_message *kept;

static void keep(struct peer *peer, struct job_message *message)
{
    (void)peer;
    if (!kept) {
        job_message_keep(message);
        job_message_keep(message);
        kept = message;
    }
}

START_TEST(a_message_that_is_kept_outlives_its_port)
{
    open_both(NULL);
    b.then = keep;
    kept = NULL;
    ck_assert_ok(post_number(&a.port, 77));
    ck_assert_ok(post_number(&a.port, 78));
    job_port_close(&a.port);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(b.received, 2);
    ck_assert_uint_eq(b.closed, 1);

    unsigned number = 0;
    memcpy(&number, job_message_bytes(kept, NULL), sizeof number);
    ck_assert_uint_eq(number, 77);
    job_message_free(&kept);
}
END_TEST

static void take_inside(struct peer *peer, struct job_message *message)
{
    unsigned number = 0;
    ck_assert_ok(job_port_take(&peer->port, &ends[1]));
    job_end_close(&ends[1]);
    job_port_close(&a.port);
    if (kept == message)
        return;
    memcpy(&number, job_message_bytes(message, NULL), sizeof number);
    ck_assert_uint_eq(number, 5);   /* its memory is still there */
    if (peer->seen[0] == 5 && peer->writable == 100) {
        job_message_keep(message);
        kept = message;
    }
}

START_TEST(an_end_that_is_taken_and_closed_in_the_callback_leaves_the_message)
{
    for (unsigned keeps = 0; keeps < 2; keeps++) {
        memset(&b, 0, sizeof b);
        kept = NULL;
        open_both(NULL);
        b.then = take_inside;
        b.writable = keeps ? 100 : 0;
        ck_assert_ok(post_number(&a.port, 5));
        ck_assert_ok(post_number(&a.port, 6));
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_uint_eq(b.received, 1);
        ck_assert_uint_eq(b.closed, 1);
        if (keeps) {
            unsigned number = 0;
            memcpy(&number, job_message_bytes(kept, NULL), sizeof number);
            ck_assert_uint_eq(number, 5);
            job_message_free(&kept);
        }
    }
    ck_assert_uint_eq(dropped(), 2);
}
END_TEST

START_TEST(try_receive_takes_in_order_and_says_when_there_is_nothing)
{
    struct job_message *message = NULL;
    open_channel(NULL);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(end_post_number(ends[0], i));
    for (unsigned i = 0; i < 3; i++) {
        unsigned number;
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        memcpy(&number, job_message_bytes(message, NULL), sizeof number);
        ck_assert_uint_eq(number, i);
        job_message_free(&message);
    }
    ck_assert_int_eq(job_end_receive(ends[1], &message, 1000000), -ETIMEDOUT);
    job_end_close(&ends[0]);
    ck_assert_int_eq(job_end_receive(ends[1], &message, -1), -EPIPE);
    ck_assert_int_eq(job_end_receive(ends[1], &message, -1), -EPIPE);
}
END_TEST

START_TEST(the_room_of_what_was_received_comes_back)
{
    struct job_message *message = NULL;
    open_channel(&(struct job_channel_options){.messages_max = 2});
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_ok(end_post_number(ends[0], i));
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        job_message_free(&message);
        ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    }
}
END_TEST

static void wait_on_loop(struct job_call *call)
{
    struct job_message *message = NULL;
    (void)call;
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 1), -EDEADLK);
    ck_assert_int_eq(job_end_receive(ends[1], &message, -1), -EDEADLK);
}

START_TEST(a_loop_thread_may_not_wait_for_a_message)
{
    open_channel(NULL);
    struct job_call call = {.run = wait_on_loop};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(closing_the_loop_drops_what_waits)
{
    open_both(NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(post_number(&a.port, i));
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(b.received, 0);
    ck_assert_uint_eq(a.closed + b.closed, 2);
    ck_assert_uint_eq(dropped(), 10);
}
END_TEST

static unsigned told;

static void sender_told(struct job_sender *sender, void *data)
{
    (void)sender;
    ck_assert_ptr_eq(data, &told);
    told++;
}

START_TEST(a_sender_is_told_of_room_once_and_its_box_lives_until_the_last_sender)
{
    struct job_sender *one = NULL, *two = NULL;
    unsigned number = 1;
    struct job_post post = {.bytes = &number, .len = sizeof number};
    open_channel(&(struct job_channel_options){.messages_max = 2});
    ck_assert_ok(job_end_sender(ends[0], &one));
    ck_assert_ok(job_sender_clone(one, &two));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    job_end_close(&ends[0]);
    ck_assert_ok(job_sender_post(one, &post));
    ck_assert_ok(job_sender_post(two, &post));
    ck_assert_int_eq(job_sender_post(one, &post), -EAGAIN);
    ck_assert_ok(job_sender_when_writable(one, loop, sender_told, &told));
    ck_assert_int_eq(job_sender_when_writable(one, loop, sender_told, &told), -EALREADY);
    told = 0;

    turns(5);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(b.received, 2);
    job_sender_close(&one);
    turns(2);
    ck_assert_uint_eq(b.closed, 0);
    ck_assert_ok(job_sender_post(two, &post));
    job_sender_close(&two);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(b.received, 3);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

START_TEST(a_loop_that_closes_ends_the_waits_of_senders)
{
    struct job_sender *sender = NULL;
    struct job_loop *own = NULL;
    struct job_post post = {.bytes = "x", .len = 1};
    open_channel(&(struct job_channel_options){.messages_max = 1});
    told = 0;
    ck_assert_ok(job_end_sender(ends[0], &sender));
    ck_assert_ok(job_sender_post(sender, &post));
    ck_assert_int_eq(job_sender_post(sender, &post), -EAGAIN);
    ck_assert_ok(job_loop_open(runtime, &own, NULL));
    ck_assert_ok(job_sender_when_writable(sender, own, sender_told, &told));
    ck_assert_ok(job_loop_close(&own, 0));
    ck_assert_uint_eq(told, 0);
    ck_assert_ok(job_sender_when_writable(sender, loop, sender_told, &told));   /* it may wait elsewhere */
    job_end_close(&ends[1]);
    turns(2);
    ck_assert_uint_eq(told, 1);
    job_sender_close(&sender);
}
END_TEST

START_TEST(a_sender_that_is_closed_while_its_answer_is_on_the_way_is_not_called)
{
    struct job_sender *sender = NULL;
    struct job_message *message = NULL;
    unsigned number = 1;
    struct job_post post = {.bytes = &number, .len = sizeof number};
    open_channel(&(struct job_channel_options){.messages_max = 1});
    ck_assert_ok(job_end_sender(ends[0], &sender));
    ck_assert_ok(job_sender_post(sender, &post));
    ck_assert_int_eq(job_sender_post(sender, &post), -EAGAIN);
    ck_assert_ok(job_sender_when_writable(sender, loop, sender_told, &told));
    told = 0;
    ck_assert_ok(job_end_receive(ends[1], &message, 0));   /* room: the mail is posted */
    job_message_free(&message);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    job_sender_close(&sender);
    turns(2);
    ck_assert_uint_eq(told, 0);
}
END_TEST

START_TEST(bad_options_and_arguments_are_refused)
{
    struct job_end *end = NULL, *other = NULL;
    struct job_message *message = NULL;
    struct job_port port = {0};
    ck_assert_int_eq(job_channel_open(NULL, &end, &other, NULL), -EINVAL);
    ck_assert_int_eq(job_channel_open(runtime, &end, &end, NULL), -EINVAL);
    const struct job_channel_options many = {.messages_max = 1 << 21}, large = {.bytes_max = (size_t)1 << 40};
    ck_assert_int_eq(job_channel_open(runtime, &end, &other, &many), -EINVAL);
    ck_assert_int_eq(job_channel_open(runtime, &end, &other, &large), -EINVAL);
    ck_assert_int_eq(job_port_open(loop, &port, &end, &events), -EINVAL);
    ck_assert_int_eq(job_end_post(NULL, &(struct job_post){0}), -EINVAL);
    ck_assert_int_eq(job_end_receive(NULL, &message, 0), -EINVAL);
    job_message_free(NULL);
    job_message_free(&message);
    job_end_close(NULL);
    job_sender_close(NULL);
    ck_assert_ptr_null(job_message_bytes(NULL, NULL));
    ck_assert_uint_eq(job_message_count(NULL), 0);
    open_channel(NULL);
    ck_assert_int_eq(job_end_post(ends[0], NULL), -EINVAL);
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.len = 1}), -EINVAL);
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.count = 1}), -EINVAL);
    struct job_item items[65] = {{0}};
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = items, .count = 1}), -EINVAL);
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = items, .count = 65}), -EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("port");
    TCase *tcase = tcase_create("port");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, P01_messages_wait_until_the_port_is_opened);
    tcase_add_test(tcase, P01_messages_wait_while_the_port_is_stopped);
    tcase_add_test(tcase, P03_bytes_are_those_of_the_moment_of_the_post);
    tcase_add_test(tcase, P04_no_callback_runs_inside_a_post);
    tcase_add_test(tcase, P06_a_backlog_does_not_keep_a_timer_waiting);
    tcase_add_test(tcase, P07_closing_one_end_closes_both_once);
    tcase_add_test(tcase, P08_what_was_posted_before_close_arrives_before_closed);
    tcase_add_test(tcase, P09_a_post_to_a_closed_peer_leaves_the_buf_with_the_sender);
    tcase_add_test(tcase, P10_close_in_the_callback_delivers_what_waits);
    tcase_add_test(tcase, P10_close_now_drops_what_waits_and_its_bufs);
    tcase_add_test(tcase, P11_each_call_says_what_is_wrong_in_each_state);
    tcase_add_test(tcase, P14_a_started_port_keeps_the_loop_alive_until_it_is_stopped_or_unreferenced);
    tcase_add_test(tcase, P16_a_port_whose_end_was_taken_refuses_and_the_new_owner_is_untouched);
    tcase_add_test(tcase, P17_an_end_in_its_own_message_is_refused);
    tcase_add_test(tcase, P18_an_end_sent_to_itself_is_refused);
    tcase_add_test(tcase, P18_ends_that_would_travel_inside_each_other_are_refused);
    tcase_add_test(tcase, P21_closing_a_port_closes_all_that_its_messages_carry);
    tcase_add_test(tcase, P24_a_full_port_refuses_and_tells_once_when_half_is_free);
    tcase_add_test(tcase, P24_the_limit_in_bytes_counts_bufs_as_well);
    tcase_add_test(tcase, P25_close_needs_no_room);
    tcase_add_test(tcase, P27_an_empty_message_is_a_message);
    tcase_add_test(tcase, bytes_of_every_length_arrive_beside_items);
    tcase_add_test(tcase, a_message_that_is_kept_outlives_its_port);
    tcase_add_test(tcase, an_end_that_is_taken_and_closed_in_the_callback_leaves_the_message);
    tcase_add_test(tcase, try_receive_takes_in_order_and_says_when_there_is_nothing);
    tcase_add_test(tcase, the_room_of_what_was_received_comes_back);
    tcase_add_test(tcase, a_loop_thread_may_not_wait_for_a_message);
    tcase_add_test(tcase, closing_the_loop_drops_what_waits);
    tcase_add_test(tcase, a_sender_is_told_of_room_once_and_its_box_lives_until_the_last_sender);
    tcase_add_test(tcase, a_loop_that_closes_ends_the_waits_of_senders);
    tcase_add_test(tcase, a_sender_that_is_closed_while_its_answer_is_on_the_way_is_not_called);
    tcase_add_test(tcase, bad_options_and_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
