/* test_stream_connect.c — connect over IPv4, IPv6 and Unix sockets, all ways in which it ends, and what waits for it. */
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>

#include "support/fixture.h"

enum { MS = 1000000 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_listener listener;
static struct job_stream client, server;
static unsigned connects, ends, closes, served;
static int connect_status, end_status;
static char received[64];
static void (*in_connected)(void);

static void on_connected(struct job_stream *stream, int status)
{
    ck_assert_ptr_eq(stream, &client);
    ck_assert_uint_eq(closes, 0);
    connects++;
    connect_status = status;
    if (in_connected)
        in_connected();
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    size_t len = job_buf_len(*in);
    (void)stream;
    ck_assert_uint_lt(strlen(received) + len, sizeof received);
    ck_assert_ok(job_buf_read(*in, 0, received + strlen(received), len));
}

static void on_end(struct job_stream *stream, int status)
{
    ends++;
    end_status = status;
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    closes += stream == &client;
}

static const struct job_stream_events events = {
    .data = on_data, .end = on_end, .closed = on_closed, .connected = on_connected};
static const struct job_stream_events no_connected = {.data = on_data, .end = on_end, .closed = on_closed};

static void accepted(struct job_listener *from, struct job_incoming *incoming)
{
    served++;
    ck_assert_ok(job_stream_accept(&server, incoming, &events));
    ck_assert_ok(job_stream_write(&server, "welcome", 7));
    ck_assert_ok(job_stream_finish(&server, 0));
    job_listener_close(from, NULL);
}

static char abstract[JOB_ADDRESS_TEXT], named[JOB_ADDRESS_TEXT];   /* of this process: names are the whole machine's */
static const char *const addresses[] = {"127.0.0.1", "::1", abstract, named};

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    memset(&server, 0, sizeof server);
    memset(received, 0, sizeof received);
    connects = ends = closes = served = 0;
    connect_status = end_status = 1;
    in_connected = NULL;
    (void)snprintf(abstract, sizeof abstract, "unix:@job-test-%d", (int)getpid());
    (void)snprintf(named, sizeof named, "unix:/tmp/test_stream_connect.%d", (int)getpid());
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

enum { ADDRESSES = sizeof addresses / sizeof addresses[0] };

/* Its address as clients use it. */
static const char *listen_on(const char *address)
{
    static char text[JOB_ADDRESS_TEXT];
    ck_assert_ok(job_listener_open(loop, &listener, &(struct job_listener_options){.address = address}, accepted));
    ck_assert_ok(job_listener_address(&listener, text, sizeof text));
    return text;
}

START_TEST(a_client_is_connected_once_receives_and_its_sends_wait_for_the_connection)
{
    const char *address = listen_on(addresses[_i]);
    ck_assert_ok(job_stream_connect(loop, &client, address, NULL, &events));
    ck_assert_ok(job_stream_write(&client, "hello", 5));
    ck_assert_uint_eq(connects, 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(connects, 1);
    ck_assert_int_eq(connect_status, 0);
    ck_assert_str_eq(received, "welcome");
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(job_stream_sent(&client), 5);
    ck_assert_int_ne(access(named + strlen("unix:"), F_OK), 0);   /* the listener has removed it */
}
END_TEST

static void look_at_both_ends(void)
{
    char text[JOB_ADDRESS_TEXT], expected[JOB_ADDRESS_TEXT];
    int on = 0, count = 0;
    socklen_t len = sizeof on;
    ck_assert_ok(job_stream_peer(&client, text, sizeof text));
    (void)snprintf(expected, sizeof expected, "127.0.0.1:%u", job_listener_port(&listener));
    ck_assert_str_eq(text, expected);
    ck_assert_ok(job_stream_local(&client, text, sizeof text));
    ck_assert_int_eq(strncmp(text, "127.0.0.1:", 10), 0);
    ck_assert_int_eq(job_stream_peer(&client, text, 3), -ENOSPC);
    ck_assert_int_eq(job_stream_peer(NULL, text, 3), -EINVAL);
    ck_assert_int_eq(getsockopt(client.job_fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    ck_assert_int_ne(on, 0);
    ck_assert_int_eq(getsockopt(client.job_fd, IPPROTO_TCP, TCP_KEEPCNT, &count, &len), 0);
    ck_assert_int_eq(count, 3);
    ck_assert_int_ne(fcntl(client.job_fd, F_GETFD) & FD_CLOEXEC, 0);
}

START_TEST(both_addresses_and_the_options_are_those_asked_for)
{
    const char *address = listen_on("127.0.0.1:0");
    in_connected = look_at_both_ends;
    struct job_connect_options options = {.from = "127.0.0.1", .socket = {.keepalive = true, .keepalive_count = 3}};
    ck_assert_ok(job_stream_connect(loop, &client, address, &options, &events));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(connects, 1);
    ck_assert_int_eq(job_stream_peer(&client, (char[8]){0}, 8), -ECANCELED);
}
END_TEST

static void close_client(void)
{
    struct job_buf *none = NULL;
    ck_assert_int_eq(job_stream_send(&client, &none), -EINVAL);
    ck_assert_int_eq(job_stream_write(&client, "x", 1), connect_status);
    ck_assert_int_eq(job_stream_status(&client), connect_status);
    job_stream_close(&client);
}

/* A port on which nobody listens: bound, so that nobody else gets it meanwhile. */
static int closed_port(char *text, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    ck_assert_ok(job_address_format((struct sockaddr *)&address, len, text, size));
    return fd;
}

START_TEST(a_refusal_is_told_by_connected_alone_and_what_was_queued_goes_back)
{
    char address[JOB_ADDRESS_TEXT];
    int fd = closed_port(address, sizeof address);
    in_connected = close_client;
    ck_assert_ok(job_stream_connect(loop, &client, _i ? "unix:@nobody-listens-here" : address, NULL, &events));
    ck_assert_ok(job_stream_write(&client, "hello", 5));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(connects, 1);
    ck_assert_int_eq(connect_status, -ECONNREFUSED);
    ck_assert_uint_eq(ends, 0);
    ck_assert_uint_eq(closes, 1);
    close(fd);
}
END_TEST

/* A listener whose backlog is full and that accepts nothing: the kernel drops what the client sends to connect. */
static int black_hole(char *text, size_t size, int fillers[4])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    ck_assert_ok(job_address_format((struct sockaddr *)&address, len, text, size));
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&address, len);
    }
    struct tcp_info info = {0};
    while (info.tcpi_unacked <= info.tcpi_sacked)   /* of one that listens: how many wait, and how many may */
        ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof info}), 0);
    return fd;
}

static void close_hole(int fd, const int fillers[4])
{
    close(fd);
    for (int i = 0; i < 4; i++)
        close(fillers[i]);
}

static unsigned sents, notices;
static int notice_status;
static struct job_timer a_turn_later;

static void on_sent(struct job_stream *stream, int status)
{
    (void)stream, (void)status;
    sents++;
}

static void on_notice(struct job_notice *notice, int status)
{
    (void)notice;
    notices++;
    notice_status = status;
}

static void close_in_silence(struct job_timer *of)
{
    ck_assert_uint_eq(sents + notices + ends, 0);
    close_client();
    job_timer_close(of, NULL);
}

static void close_a_turn_later(void)
{
    ck_assert_int_eq(job_stream_write(&client, "x", 1), connect_status);
    ck_assert_ok(job_timer_open(loop, &a_turn_later, close_in_silence));
    ck_assert_ok(job_timer_start(&a_turn_later, MS));
}

/* At once, in the turn in which something was queued, and later. */
START_TEST(after_a_connect_that_failed_nothing_comes_until_the_close)
{
    static const int statuses[] = {-ECONNREFUSED, -ECONNREFUSED, -ETIMEDOUT};
    struct job_stream_events all = events;
    struct job_notice notice = {.sent = on_notice};
    struct job_connect_options options = {.timeout_ns = 20 * MS};
    char address[JOB_ADDRESS_TEXT] = "unix:@nobody-listens-here";
    int fillers[4], fd = -1;
    if (_i == 1)
        fd = closed_port(address, sizeof address);
    else if (_i == 2)
        fd = black_hole(address, sizeof address, fillers);
    all.sent = on_sent;
    sents = notices = 0;
    in_connected = close_a_turn_later;
    ck_assert_ok(job_stream_connect(loop, &client, address, _i == 2 ? &options : NULL, &all));
    ck_assert_ok(job_stream_write(&client, "hello", 5));   /* it is queued, whatever connect(2) has said */
    ck_assert_ok(job_stream_notify(&client, &notice));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(connect_status, statuses[_i]);
    ck_assert_uint_eq(connects, 1);
    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(sents, 0);
    ck_assert_uint_eq(notices, 1);
    ck_assert_int_eq(notice_status, statuses[_i]);
    if (_i == 2)
        close_hole(fd, fillers);
    else if (_i == 1)
        close(fd);
}
END_TEST

static void finish_now(void)
{
    ck_assert_ok(job_stream_finish(&client, 0));
}

static void finish_in_silence(struct job_timer *of)
{
    ck_assert_uint_eq(sents + ends, 0);
    finish_now();
    job_timer_close(of, NULL);
}

static void finish_a_turn_later(void)
{
    ck_assert_ok(job_timer_open(loop, &a_turn_later, finish_in_silence));
    ck_assert_ok(job_timer_start(&a_turn_later, MS));
}

/* Inside `connected`, later, and before, when `connected` is not told: then `sent` is what is owed. */
START_TEST(a_connect_that_failed_is_told_once_also_if_the_stream_is_finished)
{
    static void (*const finishes[])(void) = {finish_now, finish_a_turn_later, NULL};
    struct job_stream_events all = events;
    all.sent = on_sent;
    sents = 0;
    in_connected = finishes[_i];
    ck_assert_ok(job_stream_connect(loop, &client, "unix:@nobody-listens-here", NULL, &all));
    ck_assert_ok(job_stream_write(&client, "hello", 5));
    if (!in_connected)
        finish_now();

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(connects, in_connected ? 1 : 0);
    ck_assert_uint_eq(sents, in_connected ? 0 : 1);
    ck_assert_uint_eq(ends, 0);
    ck_assert_uint_eq(closes, 1);
    ck_assert_int_eq(job_stream_status(&client), -ECONNREFUSED);
}
END_TEST

START_TEST(without_connected_a_failure_is_told_by_end)
{
    ck_assert_ok(job_stream_connect(loop, &client, "unix:@nobody-listens-here", NULL, &no_connected));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ECONNREFUSED);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(a_peer_that_does_not_answer_is_given_up_at_the_time_out)
{
    char address[JOB_ADDRESS_TEXT];
    int fillers[4], fd = black_hole(address, sizeof address, fillers);
    struct job_connect_options options = {.timeout_ns = 20 * MS};
    in_connected = close_client;
    ck_assert_ok(job_stream_connect(loop, &client, address, &options, &events));
    if (_i)
        ck_assert_ok(job_stream_set_deadline(&client, MS));   /* of what is received: there is nothing yet */

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(connects, 1);
    ck_assert_int_eq(connect_status, -ETIMEDOUT);
    ck_assert_uint_eq(closes, 1);
    close_hole(fd, fillers);
}
END_TEST

START_TEST(close_cancels_and_finish_does_not_wait_longer_than_it_may)
{
    char address[JOB_ADDRESS_TEXT];
    int fillers[4], fd = black_hole(address, sizeof address, fillers);
    ck_assert_ok(job_stream_connect(loop, &client, address, NULL, &events));
    ck_assert_ok(job_stream_write(&client, "hello", 5));
    if (_i == 0)
        job_stream_close(&client);
    else if (_i == 1)
        ck_assert_ok(job_stream_finish(&client, 20 * MS));
    else
        ck_assert_int_eq(job_loop_close(&loop, 0), 0);

    if (_i < 2)
        ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(connects + ends, 0);
    ck_assert_uint_eq(closes, 1);
    close_hole(fd, fillers);
    if (_i == 2)
        ck_assert_ok(job_loop_open(runtime, &loop, NULL));   /* for teardown */
}
END_TEST

START_TEST(a_client_that_is_finished_before_it_is_connected_sends_what_it_has)
{
    const char *address = listen_on(abstract);
    ck_assert_ok(job_stream_connect(loop, &client, address, NULL, &events));
    ck_assert_ok(job_stream_write(&client, "hello", 5));
    ck_assert_ok(job_stream_finish(&client, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(served, 1);
    ck_assert_uint_eq(connects + ends, 0);
    ck_assert_int_eq(job_stream_status(&client), 0);
    ck_assert_uint_eq(job_stream_sent(&client), 5);
}
END_TEST

static struct job_timer timer;

static void resumes(struct job_timer *t)
{
    ck_assert_uint_eq(connects, 1);
    ck_assert_str_eq(received, "");
    job_stream_resume(&client);
    job_timer_close(t, NULL);
}

static void resume_soon(void)
{
    ck_assert_ok(job_timer_start(&timer, 20 * MS));
}

START_TEST(a_client_that_is_paused_before_it_is_connected_receives_after_resume)
{
    const char *address = listen_on("127.0.0.1");
    in_connected = resume_soon;
    ck_assert_ok(job_timer_open(loop, &timer, resumes));
    ck_assert_ok(job_stream_connect(loop, &client, address, NULL, &events));
    job_stream_pause(&client);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_str_eq(received, "welcome");
}
END_TEST

START_TEST(a_stream_that_is_open_connects_to_nobody)
{
    const char *address = listen_on("127.0.0.1:0");
    int descriptors = fixture_descriptors();
    ck_assert_ok(job_stream_connect(loop, &client, address, NULL, &events));
    ck_assert_int_eq(job_stream_connect(loop, &client, address, NULL, &events), -EBUSY);
    ck_assert_int_eq(fixture_descriptors(), descriptors + 1);
    struct pollfd backlog = {.fd = listener.job_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&backlog, 1, 1000), 1);
    close(accept(listener.job_fd, NULL, NULL));
    ck_assert_int_eq(poll(&backlog, 1, 0), 0);   /* no second one: over loopback it would be there */
    job_stream_close(&client);
    job_listener_close(&listener, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(bad_arguments_leave_nothing_open)
{
    int descriptors = fixture_descriptors();
    const struct job_stream_events none = {.end = on_end};
    struct job_connect_options foreign = {.from = "192.0.2.1"}, nonsense = {.from = "x"};
    const char *const bad[] = {"", "localhost:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "unix:", "::1"};
    ck_assert_int_eq(job_stream_connect(NULL, &client, "127.0.0.1:1", NULL, &events), -EINVAL);
    ck_assert_int_eq(job_stream_connect(loop, NULL, "127.0.0.1:1", NULL, &events), -EINVAL);
    ck_assert_int_eq(job_stream_connect(loop, &client, NULL, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_stream_connect(loop, &client, "127.0.0.1:1", NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_stream_connect(loop, &client, "127.0.0.1:1", NULL, &none), -EINVAL);
    ck_assert_int_eq(job_stream_connect(loop, &client, "127.0.0.1:1", &nonsense, &events), -EINVAL);
    ck_assert_int_eq(job_stream_connect(loop, &client, "127.0.0.1:1", &foreign, &events), -EADDRNOTAVAIL);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(job_stream_connect(loop, &client, bad[i], NULL, &events) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream connect");
    TCase *tcase = tcase_create("stream connect");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 5);
    tcase_add_loop_test(tcase, a_client_is_connected_once_receives_and_its_sends_wait_for_the_connection, 0, ADDRESSES);
    tcase_add_test(tcase, both_addresses_and_the_options_are_those_asked_for);
    tcase_add_loop_test(tcase, a_refusal_is_told_by_connected_alone_and_what_was_queued_goes_back, 0, 2);
    tcase_add_loop_test(tcase, after_a_connect_that_failed_nothing_comes_until_the_close, 0, 3);
    tcase_add_loop_test(tcase, a_connect_that_failed_is_told_once_also_if_the_stream_is_finished, 0, 3);
    tcase_add_test(tcase, without_connected_a_failure_is_told_by_end);
    tcase_add_loop_test(tcase, a_peer_that_does_not_answer_is_given_up_at_the_time_out, 0, 2);
    tcase_add_loop_test(tcase, close_cancels_and_finish_does_not_wait_longer_than_it_may, 0, 3);
    tcase_add_test(tcase, a_client_that_is_finished_before_it_is_connected_sends_what_it_has);
    tcase_add_test(tcase, a_client_that_is_paused_before_it_is_connected_receives_after_resume);
    tcase_add_test(tcase, a_stream_that_is_open_connects_to_nobody);
    tcase_add_test(tcase, bad_arguments_leave_nothing_open);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
