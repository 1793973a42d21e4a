/* test_stream_stall.c — no room for one more operation: what begins says -EAGAIN, what is open waits for one to end. */
#include <signal.h>

#include "engine/engine.h"
#include "engine/inflight.h"
#include "io/stream.h"
#include "loop/loop.h"
#include "support/stream.h"

int __real_inflight_add(struct inflight *table, struct op *op);
int __wrap_inflight_add(struct inflight *table, struct op *op);

static unsigned refusals, refused;
static bool let_one_pass;

int __wrap_inflight_add(struct inflight *table, struct op *op)
{
    if (refusals == 0 || let_one_pass) {
        let_one_pass = false;
        return __real_inflight_add(table, op);
    }
    refusals--;
    refused++;
    return -EAGAIN;
}

static int other_peer;
static struct job_stream other;
static unsigned others;

static void other_data(struct job_stream *s, struct job_buf **in)
{
    (void)s, (void)in;
    others++;
    fixture_write(other_peer, "x", 1);   /* so that the next operation ends as well */
}

static const struct job_stream_events other_events = {.data = other_data};

static void setup(void)
{
    int fds[2];
    ck_assert_ok(job_signals_block(&(int){SIGUSR1}, 1));   /* before the runtime: its helper is a thread */
    fixture_pair(fds);
    refusals = refused = others = 0;
    stream_begin(fds, NULL, NULL);
    fixture_pair(fds);
    other_peer = fds[0];
    ck_assert_ok(job_stream_adopt(loop, &other, fds[1], &other_events));
    fixture_write(other_peer, "x", 1);
}

static void teardown(void)
{
    stream_done();
    close(other_peer);
}

static void stop(void)
{
    job_loop_stop(loop);
}

START_TEST(what_is_queued_goes_out_when_an_operation_has_ended)
{
    char got[6] = {0};
    in_sent = stop;
    refusals = 3;
    ck_assert_ok(job_stream_write(&stream, "hello", 5));

    run();

    ck_assert_uint_eq(refused, 3);
    ck_assert_uint_ge(others, 2);   /* one ends for each further look */
    ck_assert_uint_eq(fixture_read(peer, got, 5), 5);
    ck_assert_str_eq(got, "hello");
}
END_TEST

static struct job_timer timer;
static unsigned ticks;

static void resumes(struct job_timer *t)
{
    if (ticks == 0 && !op_is_in_flight(stream_receive_op(&stream))) {   /* else the cancel is still under way */
        ticks++;
        refusals = 3;
        job_stream_resume(&stream);
    } else if (refused == 3) {
        fixture_write(peer, "more", 4);
        return;
    }
    ck_assert_ok(job_timer_start(t, 20 * MS));
}

static void stop_at_the_second(void)
{
    if (datas == 2)
        stop();
}

START_TEST(a_resumed_stream_receives_when_an_operation_has_ended)
{
    ticks = 0;
    in_data = stop_at_the_second;
    job_stream_pause(&stream);
    fixture_write(peer, "hello", 5);   /* makes it cancel its receive */
    ck_assert_ok(job_timer_open(loop, &timer, resumes));
    ck_assert_ok(job_timer_start(&timer, 20 * MS));

    run();

    ck_assert_uint_eq(ends, 0);
    ck_assert_uint_eq(datas, 2);
}
END_TEST

static void closes_it(struct job_timer *t)
{
    refusals = 0;
    close_it();
    job_timer_close(t, NULL);
    job_stream_close(&other);
}

START_TEST(close_ends_the_wait)
{
    refusals = UINT32_MAX;
    ck_assert_ok(job_stream_write(&stream, "hello", 5));
    ck_assert_ok(job_timer_open(loop, &timer, closes_it));
    ck_assert_ok(job_timer_start(&timer, 5 * MS));

    run();

    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(sents, 0);
}
END_TEST

/* The watch for the end of a Unix socket is an operation beside the receive; the kernel may forget to wake the receive
 * (stream_hangup.c). */

static void count_poll(struct op *op, void *arg)
{
    *(unsigned *)arg += op->kind == OP_POLL && op->fd == stream.job_fd;
}

static unsigned polls(void)
{
    unsigned count = 0;
    loop->engine->type->each(loop->engine, count_poll, &count);
    return count;
}

static void looks_for_the_watch(struct job_timer *t)
{
    if (polls() == 0) {
        ck_assert_ok(job_timer_start(t, MS));
        return;
    }
    job_timer_close(t, NULL);
    stop();
}

START_TEST(the_watch_for_the_end_begins_when_an_operation_has_ended)
{
    ck_assert_uint_eq(polls(), 1);
    close_it();
    while (closes == 0) {   /* the other one has something to do in each turn */
        job_loop_stop(loop);
        run();
    }

    int fds[2];
    fixture_pair(fds);
    close(peer);
    peer = fds[0];
    closes = 0;
    let_one_pass = true;   /* the receive has the last entry */
    refusals = 3;
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], &events));
    ck_assert_uint_eq(polls(), 0);
    ck_assert_ok(job_timer_open(loop, &timer, looks_for_the_watch));
    ck_assert_ok(job_timer_start(&timer, 20 * MS));

    run();

    ck_assert_uint_eq(refused, 3);
    ck_assert_uint_eq(polls(), 1);
}
END_TEST

static void takes_nothing(struct job_listener *listener, struct job_incoming *incoming)
{
    (void)incoming;
    job_listener_close(listener, NULL);
    stop();
}

START_TEST(what_begins_says_so_and_leaves_nothing_open)
{
    int fds[2], descriptors;
    static struct job_listener listener;
    static struct job_stream fresh;
    fixture_pair(fds);
    ck_assert_ok(job_listener_open(loop, &listener, NULL, takes_nothing));
    char address[JOB_ADDRESS_TEXT];
    ck_assert_ok(job_listener_address(&listener, address, sizeof address));
    descriptors = fixture_descriptors();

    refusals = 2;
    ck_assert_int_eq(job_stream_adopt(loop, &fresh, fds[1], &events), -EAGAIN);
    ck_assert_int_eq(job_stream_connect(loop, &fresh, address, NULL, &events), -EAGAIN);

    ck_assert_uint_eq(refused, 2);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    close(fds[0]);
    close(fds[1]);
    run();   /* the listener has seen the connection come */
}
END_TEST

START_TEST(a_listener_accepts_when_there_is_room)
{
    static struct job_listener listener;
    refusals = 1;
    ck_assert_ok(job_listener_open(loop, &listener, NULL, takes_nothing));
    ck_assert_uint_eq(refused, 1);
    int fd = fixture_connect(job_listener_port(&listener));

    run();

    close(fd);
}
END_TEST

static struct job_signal signal_handle;
static unsigned caught_count;

/* The table is full by the time the callback returns: what it has started took the entry that the read had. */
static void caught(struct job_signal *handle, int number)
{
    ck_assert_int_eq(number, SIGUSR1);
    if (++caught_count == 2) {
        job_signal_close(handle, NULL);
        stop();
        return;
    }
    refusals = 3;
    kill(getpid(), SIGUSR1);
}

START_TEST(signals_are_caught_again_when_an_operation_has_ended)
{
    const int number = SIGUSR1;
    caught_count = 0;
    ck_assert_ok(job_signal_open(loop, &signal_handle, &number, 1, caught));
    kill(getpid(), SIGUSR1);

    run();

    ck_assert_uint_eq(caught_count, 2);
    ck_assert_uint_eq(refused, 3);
}
END_TEST

static void closes_the_signal(struct job_timer *t)
{
    refusals = 0;
    job_signal_close(&signal_handle, NULL);
    job_timer_close(t, NULL);
}

static void closes_while_it_waits(struct job_signal *handle, int number)
{
    (void)handle, (void)number;
    refusals = UINT32_MAX;
    job_stream_close(&other);   /* so that no operation ends by itself */
    close_it();
    ck_assert_ok(job_timer_open(loop, &timer, closes_the_signal));
    ck_assert_ok(job_timer_start(&timer, 5 * MS));
}

START_TEST(close_ends_the_wait_of_a_signal)
{
    const int number = SIGUSR1;
    ck_assert_ok(job_signal_open(loop, &signal_handle, &number, 1, closes_while_it_waits));
    job_handle_ref(&signal_handle.handle);
    kill(getpid(), SIGUSR1);

    run();   /* to its end: nothing is left */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream stall");
    TCase *tcase = tcase_create("stream stall");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, what_is_queued_goes_out_when_an_operation_has_ended);
    tcase_add_test(tcase, a_resumed_stream_receives_when_an_operation_has_ended);
    tcase_add_test(tcase, close_ends_the_wait);
    tcase_add_test(tcase, what_begins_says_so_and_leaves_nothing_open);
    tcase_add_test(tcase, the_watch_for_the_end_begins_when_an_operation_has_ended);
    tcase_add_test(tcase, signals_are_caught_again_when_an_operation_has_ended);
    tcase_add_test(tcase, close_ends_the_wait_of_a_signal);
    tcase_add_test(tcase, a_listener_accepts_when_there_is_room);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
