/* test_port_room.c — a port that was refused for want of room: who waits for it, who does not, and what gives room back. */
#include "ports.h"

enum { LIMIT = 2 };

static const struct job_channel_options two_messages = {.messages_max = LIMIT};

static void fill(void)
{
    for (unsigned i = 0; i < LIMIT; i++)
        ck_assert_ok(post_number(&a.port, i));
    ck_assert_int_eq(post_number(&a.port, LIMIT), -EAGAIN);
}

START_TEST(a_port_whose_end_is_taken_waits_for_room_no_more)
{
    open_both(&two_messages);
    ck_assert_ok(job_port_stop(&b.port));
    fill();
    ck_assert_ok(job_port_take(&a.port, &ends[0]));
    turns(3);
    ck_assert_uint_eq(a.closed, 1);
    memset(&a.port, 0xa5, sizeof a.port);   /* it is ours again */

    ck_assert_ok(job_port_start(&b.port));   /* makes room */
    turns(4);

    ck_assert_uint_eq(b.received, LIMIT);
    ck_assert_uint_eq(a.writable, 0);
    ck_assert_ok(end_post_number(ends[0], LIMIT));
}
END_TEST

static const struct job_port_events not_writable = {.message = on_message, .closed = on_closed};

START_TEST(a_full_port_without_an_event_for_room_is_refused_and_goes_on)
{
    open_channel(&two_messages);
    ck_assert_ok(job_port_open(loop, &a.port, &ends[0], &not_writable));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    fill();

    turns(4);   /* there is room, and nobody to tell */

    ck_assert_uint_eq(b.received, LIMIT);
    ck_assert_ok(post_number(&a.port, LIMIT));
    turns(3);
    ck_assert_uint_eq(b.received, LIMIT + 1);
}
END_TEST

static const struct job_port_events only_writable = {.writable = on_writable, .closed = on_closed};

static void make_room(struct job_timer *timer)
{
    for (unsigned i = 0; i < LIMIT; i++) {
        struct job_message *message = NULL;
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        job_message_free(&message);
    }
    job_timer_close(timer, NULL);
}

/* The timer that makes room does not keep the loop itself. */
START_TEST(a_port_that_waits_for_room_keeps_its_loop_until_it_is_told)
{
    struct job_timer timer;
    open_channel(&two_messages);
    ck_assert_ok(job_port_open(loop, &a.port, &ends[0], &only_writable));
    ck_assert_ok(job_timer_open(loop, &timer, make_room));
    job_handle_unref(&timer.handle);
    ck_assert_int_eq(job_loop_run(loop), 0);   /* it waits for nothing yet */
    fill();
    ck_assert_ok(job_timer_start(&timer, 20000000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(a.writable, 1);
}
END_TEST

static struct job_message *kept;

static void keep(struct peer *peer, struct job_message *message)
{
    (void)peer;
    job_message_free(&kept);
    job_message_keep(message);
    kept = message;
}

START_TEST(a_message_that_is_kept_has_left_the_queue)
{
    unsigned messages = 7;
    size_t bytes = 7;
    open_both(&(struct job_channel_options){.bytes_max = 8});
    b.then = keep;
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ok(job_port_post(&a.port, &(struct job_post){.bytes = "12345678", .len = 8}));
        turns(3);

        ck_assert_uint_eq(b.received, i + 1);
        job_port_queued(&b.port, &messages, &bytes);
        ck_assert_uint_eq(messages, 0);
        ck_assert_uint_eq(bytes, 0);
    }
    job_message_free(&kept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("port room");
    TCase *tcase = tcase_create("room");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_test(tcase, a_port_whose_end_is_taken_waits_for_room_no_more);
    tcase_add_test(tcase, a_full_port_without_an_event_for_room_is_refused_and_goes_on);
    tcase_add_test(tcase, a_port_that_waits_for_room_keeps_its_loop_until_it_is_told);
    tcase_add_test(tcase, a_message_that_is_kept_has_left_the_queue);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
