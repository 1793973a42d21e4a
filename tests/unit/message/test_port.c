/* test_port.c — ports on one loop: delivery, order, limits, start and stop, what messages hold. */
#include "ports.h"

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
static unsigned received_when_fired, in_order;
static bool has_fired;

static void fired(struct job_timer *late)
{
    received_when_fired = b.received;
    has_fired = true;
    job_timer_close(late, NULL);
}

static void start_timer(struct peer *peer, struct job_message *message)
{
    (void)message;
    if (peer->received == 1)
        ck_assert_ok(job_timer_start(&timer, 0));
}

#ifdef JOB_SMALL
enum { BACKLOG = 10000 };   /* of which a turn takes two */
#else
enum { BACKLOG = 100000 };
#endif

START_TEST(P06_a_backlog_does_not_keep_a_timer_waiting)
{
    unsigned backlog = BACKLOG;
    open_both(&(struct job_channel_options){.messages_max = backlog});
    for (unsigned i = 0; i < backlog; i++) {
        if (post_number(&a.port, i) < 0)
            ck_abort_msg("post %u", i);
    }
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    b.then = start_timer;
    has_fired = false;

    while (!has_fired)
        turns(1);

    ck_assert_uint_gt(received_when_fired, 0);
    ck_assert_uint_le(received_when_fired, 2 * 256);   /* a budget a turn, whatever the backlog */
    while (b.received < backlog)
        turns(1);
}
END_TEST

enum { MANY = 100, EACH = 300 };

static struct job_port busy[MANY], quiet[MANY];
static unsigned received_by_all, received_by_all_when_fired;

static void all_fired(struct job_timer *late)
{
    received_by_all_when_fired = received_by_all;
    has_fired = true;
    job_timer_close(late, NULL);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Takes 2 us, whatever the machine. */
static void received_slowly(struct job_port *port, struct job_message *message)
{
    (void)port, (void)message;
    if (received_by_all++ == 0)
        ck_assert_ok(job_timer_start(&timer, 0));
    uint64_t begin = now_ns();
    while (now_ns() - begin < 2000) {
    }
}

static const struct job_port_events slow_events = {.message = received_slowly}, no_events = {0};

static void post_to_all(void)
{
    for (unsigned i = 0; i < MANY * EACH; i++)
        ck_assert_ok(job_port_post(&quiet[i % MANY], &(struct job_post){0}));
}

/* Ports that go on with a backlog, or all of which are woken at once. */
START_TEST(P06_the_backlogs_of_many_ports_keep_a_timer_waiting_no_longer_than_that_of_one)
{
    bool is_woken = _i == 1;
    has_fired = false;
    received_by_all = 0;
    for (unsigned i = 0; i < MANY; i++) {
        open_channel(&(struct job_channel_options){.messages_max = EACH});
        ck_assert_ok(job_port_open(loop, &quiet[i], &ends[0], &no_events));
        ck_assert_ok(job_port_open(loop, &busy[i], &ends[1], &slow_events));
    }
    ck_assert_ok(job_timer_open(loop, &timer, all_fired));
    if (is_woken)
        turns(3);   /* all sleep */
    post_to_all();

    while (!has_fired)
        turns(1);

    ck_assert_uint_gt(received_by_all_when_fired, 0);
    ck_assert_uint_le(received_by_all_when_fired, 4 * 500);   /* 500 take a millisecond; it was 256 of each port */
    while (received_by_all < MANY * EACH)
        turns(1);
}
END_TEST

static void check_order(struct peer *peer, struct job_message *message)
{
    unsigned number;
    (void)peer;
    memcpy(&number, job_message_bytes(message, NULL), sizeof number);
    ck_assert_uint_eq(number, in_order++);
}

START_TEST(P06_a_long_backlog_is_put_in_order_without_keeping_a_timer_waiting)
{
    unsigned backlog = BACKLOG, rest = 10;
    open_channel(&(struct job_channel_options){.messages_max = backlog + rest});
    for (unsigned i = 0; i < backlog; i++) {
        if (end_post_number(ends[0], i) < 0)
            ck_abort_msg("post %u", i);
    }
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    ck_assert_ok(job_timer_start(&timer, 0));
    b.then = check_order;
    has_fired = false;
    in_order = 0;

    turns(4);

    ck_assert(has_fired);
    ck_assert_uint_eq(received_when_fired, 0);
    ck_assert_uint_eq(b.received, 0);   /* the oldest is found last, and some turns later */
    for (unsigned i = 0; i < rest; i++)
        ck_assert_ok(end_post_number(ends[0], backlog + i));   /* behind all that is put in order just now */
    while (b.received < backlog / 2)
        turns(1);
    job_port_close(&b.port);   /* both what is in order and what is not are still delivered */
    while (b.closed == 0)
        turns(1);
    ck_assert_uint_eq(b.received, backlog + rest);
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

static unsigned stops_at;

static void stop_there(struct peer *peer, struct job_message *message)
{
    (void)message;
    if (peer->received == stops_at)
        ck_assert_ok(job_port_stop(&peer->port));
}

static void start_until(unsigned received)
{
    ck_assert_ok(job_port_start(&b.port));
    while (b.received < received)   /* a turn may deliver few */
        turns(1);
    turns(4);
    ck_assert_uint_eq(b.received, received);
}

START_TEST(P24_room_below_half_is_told_to_nobody)
{
    enum { LIMIT = 256 };
    open_both(&(struct job_channel_options){.messages_max = LIMIT});
    for (unsigned i = 0; i < LIMIT; i++)
        ck_assert_ok(post_number(&a.port, i));
    ck_assert_int_eq(post_number(&a.port, LIMIT), -EAGAIN);
    b.then = stop_there;

    for (stops_at = LIMIT / 4; stops_at < LIMIT / 2; stops_at++) {
        start_until(stops_at);
        ck_assert_uint_eq(a.writable, 0);
    }

    start_until(LIMIT / 2);
    ck_assert_uint_eq(a.writable, 1);
    b.then = NULL;
    start_until(LIMIT);
    ck_assert_uint_eq(a.writable, 1);   /* once for each time that it was refused */
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

static struct job_region *region_of(size_t size, size_t size_max)
{
    struct job_region *region = NULL;
    struct job_region_options options = {.size = size, .size_max = size_max};
    ck_assert_ok(job_region_open_with(runtime, &options, &region));
    return region;
}

/* Its sender lets go of it: the queue alone holds it. */
static int post_region(struct job_port *port, size_t size)
{
    struct job_region *region = region_of(size, 0);
    struct job_item item = {.kind = JOB_ITEM_REGION, .region = region};
    int err = job_port_post(port, &(struct job_post){.items = &item, .count = 1});
    job_region_release(&region);
    return err;
}

START_TEST(regions_that_wait_are_bounded_by_the_limit_in_bytes)
{
    struct job_counts counts;
    size_t bytes;
    open_both(&(struct job_channel_options){.bytes_max = 10000});
    ck_assert_ok(job_port_stop(&b.port));
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(post_region(&a.port, 2500));
    ck_assert_int_eq(post_region(&a.port, 1), -EAGAIN);
    ck_assert_ok(post_region(&a.port, 0));
    job_port_unread(&a.port, NULL, &bytes);
    ck_assert_uint_eq(bytes, 10000);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.regions, 5);
    ck_assert_ok(job_port_start(&b.port));

    turns(4);

    ck_assert_uint_eq(b.received, 5);
    ck_assert_uint_eq(a.writable, 1);
    job_port_unread(&a.port, NULL, &bytes);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

START_TEST(a_region_that_is_larger_than_the_queue_waits_alone)
{
    size_t bytes;
    open_both(&(struct job_channel_options){.bytes_max = 10000});
    ck_assert_ok(post_number(&a.port, 1));
    ck_assert_int_eq(post_region(&a.port, 20000), -EAGAIN);
    turns(3);
    ck_assert_uint_eq(a.writable, 1);
    ck_assert_ok(job_port_stop(&b.port));

    ck_assert_ok(post_region(&a.port, 20000));

    job_port_unread(&a.port, NULL, &bytes);
    ck_assert_uint_eq(bytes, 10000);
    ck_assert_int_eq(post_number(&a.port, 2), -EAGAIN);
    ck_assert_int_eq(post_region(&a.port, 20000), -EAGAIN);
    ck_assert_ok(job_port_start(&b.port));
    turns(3);
    ck_assert_uint_eq(a.writable, 2);
    ck_assert_uint_eq(b.received, 2);
}
END_TEST

START_TEST(a_region_counts_in_each_message_with_the_size_that_it_has_then)
{
    struct job_region *region = region_of(3000, 8000);
    struct job_item item = {.kind = JOB_ITEM_REGION, .region = region}, items[] = {item, item};
    struct job_post once = {.items = items, .count = 1}, twice = {.items = items, .count = 2};
    size_t bytes;
    open_both(&(struct job_channel_options){.bytes_max = 10000});
    ck_assert_ok(job_port_post(&a.port, &once));
    ck_assert_ok(job_region_grow(region, 5000));
    ck_assert_int_eq(job_port_post(&a.port, &twice), -EAGAIN);
    ck_assert_ok(job_port_post(&a.port, &once));
    job_port_unread(&a.port, NULL, &bytes);
    ck_assert_uint_eq(bytes, 8000);
    job_region_release(&region);

    turns(3);

    job_port_unread(&a.port, NULL, &bytes);
    ck_assert_uint_eq(bytes, 0);
    ck_assert_uint_eq(b.received, 2);
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

START_TEST(a_stopped_port_that_closes_drops_what_waits)
{
    open_both(NULL);
    ck_assert_ok(job_port_stop(&b.port));
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(post_number(&a.port, i));
    turns(3);
    job_port_close(&b.port);
    turns(3);

    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(b.received, 0);
    ck_assert_uint_eq(dropped(), 3);
}
END_TEST

static int opened_late;

static void open_late(struct job_timer *closed)
{
    (void)closed;
    opened_late = job_port_open(loop, &a.port, &ends[0], &events);
}

START_TEST(a_closing_loop_opens_no_port_and_leaves_the_end)
{
    open_channel(NULL);
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    opened_late = 0;
    job_timer_close(&timer, open_late);   /* told while the loop closes */
    ck_assert_ok(job_loop_close(&loop, 0));

    ck_assert_int_eq(opened_late, -ECANCELED);
    ck_assert_ptr_nonnull(ends[0]);
    ck_assert_ok(end_post_number(ends[0], 1));   /* it is whole */
}
END_TEST

static char order[8];

static void note(char what)
{
    size_t len = strlen(order);
    ck_assert_uint_lt(len + 1, sizeof order);
    order[len] = what;
}

static void note_timer(struct job_timer *due)
{
    note('t');
    job_timer_close(due, NULL);
}

static void note_message(struct peer *peer, struct job_message *message)
{
    (void)peer, (void)message;
    note('m');
}

static void note_deferred(struct job_call *call)
{
    (void)call;
    note('d');
}

static struct job_call deferred;

/* In the reverse order. The port was stopped with a message, so that it has its turn in this very one of the loop. */
static void begin_all(struct job_call *call)
{
    (void)call;
    deferred = (struct job_call){.run = note_deferred};
    ck_assert_ok(job_loop_defer(loop, &deferred));
    ck_assert_ok(job_port_start(&b.port));
    ck_assert_ok(job_timer_start(&timer, 0));
}

START_TEST(in_one_turn_due_timers_come_first_then_messages_then_what_was_deferred)
{
    struct job_call begin = {.run = begin_all};
    memset(order, 0, sizeof order);
    open_both(NULL);
    b.then = note_message;
    ck_assert_ok(job_timer_open(loop, &timer, note_timer));
    ck_assert_ok(job_port_stop(&b.port));
    ck_assert_ok(post_number(&a.port, 1));
    turns(3);

    ck_assert_ok(job_loop_call(loop, &begin));
    turns(3);

    ck_assert_str_eq(order, "tmd");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("port");
    TCase *tcase = tcase_create("port");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_test(tcase, P01_messages_wait_until_the_port_is_opened);
    tcase_add_test(tcase, P01_messages_wait_while_the_port_is_stopped);
    tcase_add_test(tcase, P03_bytes_are_those_of_the_moment_of_the_post);
    tcase_add_test(tcase, P04_no_callback_runs_inside_a_post);
    tcase_add_test(tcase, P06_a_backlog_does_not_keep_a_timer_waiting);
    tcase_add_loop_test(tcase, P06_the_backlogs_of_many_ports_keep_a_timer_waiting_no_longer_than_that_of_one, 0, 2);
    tcase_add_test(tcase, P06_a_long_backlog_is_put_in_order_without_keeping_a_timer_waiting);
    tcase_add_test(tcase, P24_a_full_port_refuses_and_tells_once_when_half_is_free);
    tcase_add_test(tcase, P24_room_below_half_is_told_to_nobody);
    tcase_add_test(tcase, P24_the_limit_in_bytes_counts_bufs_as_well);
    tcase_add_test(tcase, regions_that_wait_are_bounded_by_the_limit_in_bytes);
    tcase_add_test(tcase, a_region_that_is_larger_than_the_queue_waits_alone);
    tcase_add_test(tcase, a_region_counts_in_each_message_with_the_size_that_it_has_then);
    tcase_add_test(tcase, P27_an_empty_message_is_a_message);
    tcase_add_test(tcase, bytes_of_every_length_arrive_beside_items);
    tcase_add_test(tcase, a_stopped_port_that_closes_drops_what_waits);
    tcase_add_test(tcase, a_closing_loop_opens_no_port_and_leaves_the_end);
    tcase_add_test(tcase, in_one_turn_due_timers_come_first_then_messages_then_what_was_deferred);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
