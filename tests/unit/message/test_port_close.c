/* test_port_close.c — how ports and ends end: close, close-now, an end that is taken or travels, what messages carry then. */
#include "ports.h"

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

/* From another thread: what a loop that is gone says of its owner cannot be right by chance then. */
static void *call_all(void *errs)
{
    for (unsigned call = 0; call < 5; call++)
        ((int *)errs)[call] = call_each(&a.port, call);
    return NULL;
}

START_TEST(P11_a_port_that_is_closed_can_be_called_though_its_loop_is_gone)
{
    for (unsigned is_taken = 0; is_taken < 2; is_taken++) {
        open_both(NULL);
        if (is_taken)
            ck_assert_ok(job_port_take(&a.port, &ends[0]));
        ck_assert_ok(job_loop_close(&loop, 0));
        pthread_t thread;
        int errs[5];
        ck_assert_int_eq(pthread_create(&thread, NULL, call_all, errs), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (unsigned call = 0; call < 5; call++)
            ck_assert_int_eq(errs[call], is_taken ? -ENXIO : -ECANCELED);
        job_port_close_now(&a.port);
        job_end_close(&ends[0]);
        ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    }
}
END_TEST

static struct job_handle *told_closed;

static void forget(struct job_handle *handle)
{
    told_closed = handle;
    memset(handle, 0xa5, sizeof(struct job_port));   /* it is ours again */
}

START_TEST(without_a_closed_event_a_port_tells_who_was_named_for_its_handle)
{
    static const struct job_port_events deaf = {0};
    open_channel(NULL);
    ck_assert_ok(job_port_open(loop, &a.port, &ends[0], &deaf));
    job_handle_on_closed(&a.port.handle, forget);
    job_port_close(&a.port);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ptr_eq(told_closed, &a.port.handle);
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

static struct job_connection *taken_off;

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    (void)stream;
    taken_off = *connection;
    *connection = NULL;
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
}

/* A connection with bytes that nobody was told of, and its other side. */
static void take_connection_off(int *far_end)
{
    static const struct job_stream_events stream_events = {.data = on_data};
    struct job_stream stream;
    int fds[2];
    fixture_pair(fds);
    fixture_write(fds[1], "unread", 6);
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[0], &stream_events));
    ck_assert_ok(job_stream_detach(&stream, on_detached));
    ck_assert_int_eq(job_loop_run(loop), 0);
    *far_end = fds[1];
}

START_TEST(P21_closing_a_port_closes_all_that_its_messages_carry)
{
    enum { MESSAGES = 20 };
    int before = fixture_descriptors();
    struct job_end *inner[2];
    struct job_sender *sender = NULL;
    struct job_region *region = NULL;
    struct job_buf *buf = NULL;
    int pipes[2], far_ends[MESSAGES];
    open_channel(NULL);
    for (unsigned i = 0; i < MESSAGES; i++) {
        take_connection_off(&far_ends[i]);
        ck_assert_ok(job_channel_open(runtime, &inner[0], &inner[1], NULL));
        ck_assert_ok(job_end_sender(inner[0], &sender));
        ck_assert_ok(job_region_open(runtime, 64, &region));
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        ck_assert_int_eq(pipe(pipes), 0);
        struct job_item items[] = {
            {.kind = JOB_ITEM_END, .end = &inner[0]}, {.kind = JOB_ITEM_END, .end = &inner[1]},
            {.kind = JOB_ITEM_SENDER, .sender = &sender}, {.kind = JOB_ITEM_REGION, .region = region},
            {.kind = JOB_ITEM_BUF, .buf = &buf}, {.kind = JOB_ITEM_FD, .fd = &pipes[0]},
            {.kind = JOB_ITEM_FD, .fd = &pipes[1]}, {.kind = JOB_ITEM_CONNECTION, .connection = &taken_off},
        };
        ck_assert_ok(job_end_post(ends[0], &(struct job_post){.items = items, .count = 8}));
        ck_assert_int_eq(pipes[0], -1);
        ck_assert_ptr_null(taken_off);
        job_region_release(&region);
    }

    job_end_close(&ends[1]);

    for (unsigned i = 0; i < MESSAGES; i++) {
        char byte;
        ssize_t count = recv(far_ends[i], &byte, 1, MSG_DONTWAIT);   /* the peer sees an end, or that its bytes were not read */
        ck_assert(count == 0 || (count < 0 && errno == ECONNRESET));
        close(far_ends[i]);
    }
    ck_assert_int_eq(fixture_descriptors(), before);
    ck_assert_uint_eq(dropped(), MESSAGES);
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

static void free_inside(struct peer *peer, struct job_message *message)
{
    struct job_message *copy = message;
    job_message_free(&copy);   /* ignored, and said so in the log */
    ck_assert_ptr_eq(copy, message);
    if (peer->received == 2)
        ck_assert_ok(job_port_take(&peer->port, &ends[1]));   /* then nobody else gives it back */
}

START_TEST(a_message_that_was_not_kept_cannot_be_freed_in_its_callback)
{
    open_both(NULL);
    b.then = free_inside;
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(post_number(&a.port, i));
    turns(2);
    for (unsigned i = 3; i < 103; i++)   /* each has a place of its own */
        ck_assert_ok(post_number(&a.port, i));
    struct job_message *message = NULL;
    for (unsigned i = 2; i < 103; i++) {
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        ck_assert_mem_eq(job_message_bytes(message, NULL), &i, sizeof i);
        job_message_free(&message);
    }
    job_port_close(&a.port);
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

START_TEST(closing_the_loop_drops_the_backlog_of_a_port_that_closes)
{
    enum { MANY = 1000 };   /* more than it delivers in one turn */
    open_both(NULL);
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_ok(post_number(&a.port, i));
    job_port_close(&b.port);
    turns(1);
    unsigned received = b.received;
    ck_assert_uint_lt(received, MANY);
    ck_assert_uint_eq(b.closed, 0);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(b.received, received);
    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(dropped(), MANY - received);
}
END_TEST

START_TEST(a_stopped_port_is_closed_with_its_peer_once_nothing_waits)
{
    open_both(NULL);
    ck_assert_ok(job_port_stop(&b.port));
    turns(3);

    job_port_close(&a.port);
    turns(5);

    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(b.received, 0);
}
END_TEST

START_TEST(a_stopped_port_with_messages_is_closed_when_it_has_told_them)
{
    open_both(NULL);
    ck_assert_ok(job_port_stop(&b.port));
    turns(3);
    ck_assert_ok(post_number(&a.port, 1));
    turns(3);
    ck_assert_ok(post_number(&a.port, 2));
    job_port_close(&a.port);
    turns(5);
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(b.closed, 0);
    ck_assert_uint_eq(b.received, 0);

    ck_assert_ok(job_port_start(&b.port));
    turns(3);

    ck_assert_uint_eq(b.received, 2);
    ck_assert_uint_eq(b.seen[0], 1);
    ck_assert_uint_eq(b.closed, 1);
    ck_assert_uint_eq(b.seen_at_close, 2);
}
END_TEST

static void stop_after_one(struct peer *peer, struct job_message *message)
{
    (void)message;
    ck_assert_ok(job_port_stop(&peer->port));
}

START_TEST(a_port_that_stops_at_its_last_message_hears_the_close_behind_it)
{
    open_both(NULL);
    b.then = stop_after_one;
    ck_assert_ok(post_number(&a.port, 1));
    job_port_close(&a.port);

    turns(6);

    ck_assert_uint_eq(b.received, 1);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("port_close");
    TCase *tcase = tcase_create("port_close");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, P07_closing_one_end_closes_both_once);
    tcase_add_test(tcase, P08_what_was_posted_before_close_arrives_before_closed);
    tcase_add_test(tcase, P09_a_post_to_a_closed_peer_leaves_the_buf_with_the_sender);
    tcase_add_test(tcase, P10_close_in_the_callback_delivers_what_waits);
    tcase_add_test(tcase, P10_close_now_drops_what_waits_and_its_bufs);
    tcase_add_test(tcase, P11_each_call_says_what_is_wrong_in_each_state);
    tcase_add_test(tcase, P11_a_port_that_is_closed_can_be_called_though_its_loop_is_gone);
    tcase_add_test(tcase, without_a_closed_event_a_port_tells_who_was_named_for_its_handle);
    tcase_add_test(tcase, P14_a_started_port_keeps_the_loop_alive_until_it_is_stopped_or_unreferenced);
    tcase_add_test(tcase, P16_a_port_whose_end_was_taken_refuses_and_the_new_owner_is_untouched);
    tcase_add_test(tcase, P17_an_end_in_its_own_message_is_refused);
    tcase_add_test(tcase, P18_an_end_sent_to_itself_is_refused);
    tcase_add_test(tcase, P18_ends_that_would_travel_inside_each_other_are_refused);
    tcase_add_test(tcase, P21_closing_a_port_closes_all_that_its_messages_carry);
    tcase_add_test(tcase, P25_close_needs_no_room);
    tcase_add_test(tcase, a_message_that_is_kept_outlives_its_port);
    tcase_add_test(tcase, a_message_that_was_not_kept_cannot_be_freed_in_its_callback);
    tcase_add_test(tcase, an_end_that_is_taken_and_closed_in_the_callback_leaves_the_message);
    tcase_add_test(tcase, closing_the_loop_drops_what_waits);
    tcase_add_test(tcase, closing_the_loop_drops_the_backlog_of_a_port_that_closes);
    tcase_add_test(tcase, a_stopped_port_is_closed_with_its_peer_once_nothing_waits);
    tcase_add_test(tcase, a_stopped_port_with_messages_is_closed_when_it_has_told_them);
    tcase_add_test(tcase, a_port_that_stops_at_its_last_message_hears_the_close_behind_it);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
