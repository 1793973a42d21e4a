/* test_stream_hangup.c — a connection that is reset while nobody receives from it: paused, or without memory; and while somebody does. */
#include "support/stream.h"

static struct job_timer timer;
static struct job_buf *hoard[4096];
static int hoarded;
static bool must_wait, peer_is_open;

static void hoards(struct job_stream *s, struct job_buf **in)
{
    if (must_wait)
        hoard[hoarded++] = job_buf_take(in);   /* so that memory stays short */
    on_data(s, in);
}

static const struct job_stream_events hoarding = {.data = hoards, .end = on_end, .closed = on_closed};

static void setup(void)
{
    int fds[2];
    struct job_runtime_options options = {.memory_limit_bytes = 8U << 20, .log = fixture_log};
    struct job_loop_options loop_options = {.receive_slots = 4, .receive_slot_bytes = 4096};
    fixture_tcp_pair(fds);
    stream_begin(fds, &options, &loop_options);
    stream.job_events = &hoarding;
    in_end = close_it;
}

static void teardown(void)
{
    while (hoarded > 0)
        job_buf_free(&hoard[--hoarded]);
    stream_done();
}

static void resets(struct job_timer *t)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    if (must_wait && stats.starved == 0) {   /* until the receive lacks memory */
        ck_assert_ok(job_timer_start(t, MS));
        return;
    }
    ck_assert_uint_eq(ends, 0);
    reset_peer();
    job_timer_close(t, NULL);
}

static void reset_after(uint64_t timeout_ns)
{
    ck_assert_ok(job_timer_open(loop, &timer, resets));
    ck_assert_ok(job_timer_start(&timer, timeout_ns));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ECONNRESET);
}

START_TEST(a_paused_stream_whose_receive_was_cancelled_hears_of_a_reset)
{
    struct job_counts counts;
    must_wait = false;
    job_stream_pause(&stream);
    fixture_write(peer, "hello", 5);

    reset_after(20 * MS);

    ck_assert_uint_eq(datas, 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_le(counts.bufs, 1);
}
END_TEST

START_TEST(a_stream_without_memory_to_receive_into_hears_of_a_reset)
{
    static char bytes[100000];
    must_wait = true;
    for (hoarded = 0; job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &hoard[hoarded]) == 0; hoarded++)
        ck_assert_int_lt(hoarded, 3000);
    fixture_write(peer, bytes, sizeof bytes);

    reset_after(MS);
}
END_TEST

static void shuts_down_both(struct job_timer *t)
{
    ck_assert_uint_eq(ends, 0);
    if (peer_is_open) {
        peer_is_open = false;
        shutdown(peer, SHUT_WR);
        ck_assert_ok(job_stream_shutdown(&stream));   /* POLLHUP, and no error */
        ck_assert_ok(job_timer_start(t, 20 * MS));
        return;
    }
    job_stream_resume(&stream);
    job_timer_close(t, NULL);
}

START_TEST(an_orderly_end_of_both_directions_waits_behind_the_data)
{
    job_stream_pause(&stream);
    peer_is_open = true;
    must_wait = false;
    fixture_write(peer, "hello", 5);
    ck_assert_ok(job_timer_open(loop, &timer, shuts_down_both));
    ck_assert_ok(job_timer_start(&timer, 20 * MS));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(datas, 1);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, 0);
}
END_TEST

/* The peer closes beside a byte that it has not read: a Unix socket has an error then, and all data before it. */

enum { MANY = 64000 };

static size_t received;

static void counts_bytes(struct job_stream *s, struct job_buf **in)
{
    received += job_buf_len(*in);
    on_data(s, in);
}

static void is_done(struct job_stream *s, int status)
{
    on_end(s, status);
    job_stream_close(s);
}

static const struct job_stream_events counting = {
    .data = counts_bytes, .end = is_done, .sent = on_sent, .closed = on_closed};

static void writes_and_goes(void)
{
    static char bytes[MANY];
    fixture_write(peer, bytes, sizeof bytes);
    close(peer);
    peer = -1;
}

static void setup_unix(void)
{
    int fds[2];
    struct job_loop_options options = {.receive_slots = 64, .receive_slot_bytes = 4096};
    struct job_runtime_options of_runtime = {.memory_limit_bytes = 2U << 20, .log = fixture_log};   /* a receive's share: some KB */
    received = 0;
    fixture_pair(fds);
    stream_begin(fds, &of_runtime, &options);
    stream.job_events = &counting;
    ck_assert_ok(job_stream_write(&stream, "?", 1));   /* which the peer does not read */
}

START_TEST(an_error_of_a_unix_socket_comes_behind_the_data_before_it)
{
    in_sent = writes_and_goes;

    run();

    ck_assert_uint_eq(received, MANY);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ECONNRESET);
}
END_TEST

/* Never received from, so no operation has ended that a pause could follow. */

static int accepting;

static void connected_and_pauses(struct job_stream *s, int status)
{
    ck_assert_int_eq(status, 0);
    job_stream_pause(s);
}

static void accepts_and_resets(struct job_timer *t)
{
    ck_assert_uint_eq(ends, 0);
    peer = accept4(accepting, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(peer, 0);
    reset_peer();
    job_timer_close(t, NULL);
}

START_TEST(a_stream_that_is_paused_as_soon_as_it_is_connected_hears_of_a_reset)
{
    static const struct job_stream_events pausing = {
        .data = on_data, .end = is_done, .closed = on_closed, .connected = connected_and_pauses};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    char text[JOB_ADDRESS_TEXT];
    close_it();
    ck_assert_int_eq(job_loop_run(loop), 0);
    close(peer);
    closes = 0;
    accepting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(accepting, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(accepting, 1), 0);
    ck_assert_int_eq(getsockname(accepting, (struct sockaddr *)&address, &len), 0);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(address.sin_port));
    ck_assert_ok(job_stream_connect(loop, &stream, text, NULL, &pausing));
    ck_assert_ok(job_timer_open(loop, &timer, accepts_and_resets));
    ck_assert_ok(job_timer_start(&timer, 20 * MS));

    run();

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ECONNRESET);
    close(accepting);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream hangup");
    TCase *tcase = tcase_create("stream hangup");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, a_paused_stream_whose_receive_was_cancelled_hears_of_a_reset);
    tcase_add_test(tcase, a_stream_without_memory_to_receive_into_hears_of_a_reset);
    tcase_add_test(tcase, an_orderly_end_of_both_directions_waits_behind_the_data);
    tcase_add_test(tcase, a_stream_that_is_paused_as_soon_as_it_is_connected_hears_of_a_reset);
    suite_add_tcase(suite, tcase);
    TCase *of_unix = tcase_create("unix");
    tcase_add_checked_fixture(of_unix, setup_unix, stream_done);
    tcase_set_timeout(of_unix, 5);
    tcase_add_test(of_unix, an_error_of_a_unix_socket_comes_behind_the_data_before_it);
    suite_add_tcase(suite, of_unix);
    return fixture_run(suite);
}
