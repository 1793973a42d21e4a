/* test_stream_detach.c — connections that leave their stream: what goes along, what is refused, and where the descriptor is at each
 * moment. */
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "io/stream.h"
#include "support/fixture.h"

enum { TEXT_MAX = 256 };

struct side {
    struct job_stream stream;
    char text[TEXT_MAX];
    size_t len;
    unsigned ends, closed, detached;
    int status;
    struct job_connection *connection;
    bool leaves_it;                    /* in `detached` */
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_timer tick;
static struct side a, b;
static int peer, descriptors;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct side *side = job_container_of(stream, struct side, stream);
    size_t len = job_buf_len(*in);
    ck_assert_uint_eq(side->detached + side->closed + side->ends, 0);
    ck_assert_uint_lt(side->len + len, TEXT_MAX);
    ck_assert_ok(job_buf_read(*in, 0, side->text + side->len, len));
    side->len += len;
}

static void on_end(struct job_stream *stream, int status)
{
    struct side *side = job_container_of(stream, struct side, stream);
    ck_assert_uint_eq(side->detached, 0);
    side->ends++;
    side->status = status;
}

static void on_closed(struct job_stream *stream)
{
    job_container_of(stream, struct side, stream)->closed++;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    struct side *side = job_container_of(stream, struct side, stream);
    ck_assert_uint_eq(side->closed, 0);
    ck_assert_ptr_nonnull(*connection);
    side->detached++;
    if (side->leaves_it)
        return;
    side->connection = *connection;
    *connection = NULL;
}

static void stop_loop(struct job_timer *timer)
{
    (void)timer;
    job_loop_stop(loop);
}

#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        while (!(condition))                                                                                           \
            run_once();                                                                                                \
    } while (0)

/* What was started is in the kernel afterwards. */
static void run_once(void)
{
    ck_assert_ok(job_timer_start(&tick, 100000));
    ck_assert_ok(job_loop_run(loop));
}

static void setup(void)
{
    int fds[2];
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &tick, stop_loop));
    descriptors = fixture_descriptors();
    fixture_pair(fds);
    peer = fds[0];
    ck_assert_ok(job_stream_adopt(loop, &a.stream, fds[1], &events));
}

static void teardown(void)
{
    struct job_counts counts;
    job_connection_close(&a.connection);
    if (peer >= 0)
        close(peer);
    if (loop)
        ck_assert_ok(job_loop_close(&loop, 0));
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.fds, 0);
    fixture_close(runtime);
}

static void send_text(const char *text)
{
    fixture_write(peer, text, strlen(text));
}

static void detach(void)
{
    ck_assert_ok(job_stream_detach(&a.stream, on_detached));
    ck_assert_uint_eq(a.detached, 0);   /* never inside */
    run_until(a.closed > 0);
    ck_assert_uint_eq(a.detached, 1);
}

static void attach(void)
{
    ck_assert_ok(job_stream_attach(loop, &b.stream, &a.connection, &events));
    ck_assert_ptr_null(a.connection);
}

static bool peer_sees_the_end(void)
{
    char byte;
    return recv(peer, &byte, 1, 0) == 0;
}

START_TEST(what_was_received_and_not_told_comes_first)
{
    job_stream_pause(&a.stream);
    send_text("one ");
    run_until(job_stream_received(&a.stream) == 4);
    detach();
    ck_assert_uint_eq(job_connection_waiting(a.connection), 4);
    send_text("two");
    attach();
    run_until(b.len == 7);

    ck_assert_str_eq(b.text, "one two");
    ck_assert_uint_eq(a.len, 0);
    ck_assert_ok(job_stream_write(&b.stream, "back", 4));
    char back[5] = "";
    run_until(job_stream_sent(&b.stream) == 4);
    ck_assert_uint_eq(fixture_read(peer, back, 4), 4);
    ck_assert_str_eq(back, "back");
}
END_TEST

static void detach_in_data(struct job_stream *stream, struct job_buf **in)
{
    on_data(stream, in);
    ck_assert_ok(job_stream_detach(stream, on_detached));
}

START_TEST(a_stream_can_be_detached_inside_of_data)
{
    static const struct job_stream_events leaving = {.data = detach_in_data, .closed = on_closed};
    int fds[2];
    fixture_pair(fds);
    struct side side = {0};
    ck_assert_ok(job_stream_adopt(loop, &side.stream, fds[1], &leaving));
    fixture_write(fds[0], "head", 4);
    run_until(side.closed > 0);
    fixture_write(fds[0], "body", 4);
    ck_assert_ok(job_stream_attach(loop, &b.stream, &side.connection, &events));
    run_until(b.len == 4);
    ck_assert_str_eq(side.text, "head");
    ck_assert_str_eq(b.text, "body");
    close(fds[0]);
}
END_TEST

START_TEST(an_end_that_was_not_told_travels_behind_the_data)
{
    job_stream_pause(&a.stream);
    send_text("last");
    run_until(job_stream_received(&a.stream) == 4);
    shutdown(peer, SHUT_WR);
    detach();
    attach();
    run_until(b.ends > 0);
    ck_assert_str_eq(b.text, "last");
    ck_assert_int_eq(b.status, 0);
    ck_assert_uint_eq(a.ends, 0);
}
END_TEST

START_TEST(an_end_that_was_told_is_told_again_and_answers_can_be_sent)
{
    char answer[3] = "";
    shutdown(peer, SHUT_WR);
    run_until(a.ends == 1);
    detach();
    attach();
    run_until(b.ends > 0);
    ck_assert_ok(job_stream_write(&b.stream, "ok", 2));
    ck_assert_ok(job_stream_finish(&b.stream, 0));
    run_until(b.closed > 0);
    ck_assert_uint_eq(fixture_read(peer, answer, 2), 2);
    ck_assert_str_eq(answer, "ok");
    ck_assert(peer_sees_the_end());
}
END_TEST

START_TEST(a_direction_that_was_shut_down_stays_shut)
{
    ck_assert_ok(job_stream_shutdown(&a.stream));
    detach();
    attach();
    ck_assert_int_eq(job_stream_write(&b.stream, "x", 1), -EPIPE);
    ck_assert(peer_sees_the_end());
    send_text("still");
    run_until(b.len == 5);
}
END_TEST

static void no_notice(struct job_notice *notice, int status)
{
    (void)notice, (void)status;
}

static void never(struct job_stream *stream, struct job_connection **connection)
{
    (void)stream, (void)connection;
    ck_abort_msg("it was refused");
}

START_TEST(what_is_half_way_is_refused_and_goes_on)
{
    struct job_place place;
    struct job_notice notice = {.sent = no_notice};
    ck_assert_ok(job_stream_write(&a.stream, "x", 1));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EBUSY);
    run_until(job_stream_sent(&a.stream) == 1);
    ck_assert_ok(job_stream_reserve(&a.stream, &place));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EBUSY);
    job_place_abandon(&place);
    ck_assert_ok(job_stream_notify(&a.stream, &notice));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EBUSY);
    run_until(!a.stream.job_notices);
    ck_assert_ok(job_stream_expect(&a.stream, 10));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EBUSY);
    ck_assert_ok(job_stream_expect(&a.stream, 100000));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EBUSY);
    run_until(job_stream_expect(&a.stream, 0) == 0);
    send_text("goes on");
    run_until(a.len == 7);
    ck_assert_int_eq(job_stream_detach(&a.stream, NULL), -EINVAL);
    ck_assert_ok(job_stream_finish(&a.stream, 0));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EBUSY);
    job_stream_close(&a.stream);
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -ECANCELED);
}
END_TEST

START_TEST(a_stream_that_connects_or_has_failed_is_refused)
{
    struct side side = {0};
    ck_assert_ok(job_stream_connect(loop, &side.stream, "127.0.0.1:1", NULL, &events));
    ck_assert_int_eq(job_stream_detach(&side.stream, never), -EBUSY);
    run_until(side.ends > 0);
    int err = job_stream_detach(&side.stream, never);
    ck_assert_int_eq(err, job_stream_status(&side.stream));
    ck_assert_int_lt(err, 0);
    job_stream_close(&side.stream);
    run_until(side.closed > 0);
}
END_TEST

START_TEST(a_stream_that_leaves_starts_nothing_more)
{
    struct job_buf *buf = NULL;
    struct job_place place;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    ck_assert_ok(job_stream_detach(&a.stream, on_detached));
    ck_assert_int_eq(job_stream_detach(&a.stream, never), -EALREADY);
    ck_assert_int_eq(job_stream_send(&a.stream, &buf), -EBUSY);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(job_stream_reserve(&a.stream, &place), -EBUSY);
    ck_assert_int_eq(job_stream_shutdown(&a.stream), -EBUSY);
    ck_assert_int_eq(job_stream_expect(&a.stream, 5), -EBUSY);
    ck_assert_int_eq(job_stream_finish(&a.stream, 0), -EBUSY);
    job_stream_pause(&a.stream);
    job_stream_resume(&a.stream);
    ck_assert_ok(job_stream_set_deadline(&a.stream, 1));   /* does not run any more */
    send_text("there");
    run_until(a.closed > 0);
    ck_assert_uint_eq(a.len + a.ends, 0);
    attach();
    run_until(b.len == 5);
    job_buf_free(&buf);
}
END_TEST

/* The receive is still in flight when they come. */
START_TEST(data_and_an_end_that_come_while_it_leaves_go_along)
{
    ck_assert_ok(job_stream_detach(&a.stream, on_detached));
    send_text("late");
    shutdown(peer, SHUT_WR);
    run_until(a.closed > 0);
    ck_assert_uint_eq(a.len + a.ends, 0);
    attach();
    run_until(b.ends > 0);
    ck_assert_str_eq(b.text, "late");
    ck_assert_int_eq(b.status, 0);
}
END_TEST

/* Two streams of TCP: the peer of the one writes, then that of the other resets, and both are told in one turn: `data` of the first
 * detaches the second, whose failure is on its way by then. */
static struct side writes, breaks;

static void detach_the_other(struct job_stream *stream, struct job_buf **in)
{
    on_data(stream, in);
    ck_assert_uint_eq(breaks.ends, 0);
    ck_assert_ok(job_stream_detach(&breaks.stream, on_detached));
}

static void open_two(int peers[2], void (*data)(struct job_stream *stream, struct job_buf **in))
{
    static struct job_stream_events of_first;
    int fds[2];
    of_first = (struct job_stream_events){.data = data, .closed = on_closed};
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = i == 0 ? &writes : &breaks;
        fixture_tcp_pair(fds);
        peers[i] = fds[0];
        memset(side, 0, sizeof *side);
        ck_assert_ok(job_stream_adopt(loop, &side->stream, fds[1], i == 0 ? &of_first : &events));
    }
}

/* On a busy machine a thread of the kernel's may do that, and later; then what another socket sends could come first. */
static void until_arrived(int fd)
{
    int under_way = 1;
    while (under_way > 0)
        ck_assert_int_eq(ioctl(fd, SIOCOUTQ, &under_way), 0);
}

/* It comes where the connection goes to, and nowhere else: the socket has told it, and will not again. */
static void leave_and_arrive(const int peers[2], size_t waiting)
{
    fixture_write(peers[0], "x", 1);
    until_arrived(peers[0]);
    fixture_reset(peers[1]);
    run_until(breaks.closed > 0);
    ck_assert_uint_eq(breaks.ends, 0);
    ck_assert_uint_eq(breaks.detached, 1);
    ck_assert_uint_eq(job_connection_waiting(breaks.connection), waiting);
    ck_assert_ok(job_stream_attach(loop, &b.stream, &breaks.connection, &events));
    run_until(b.ends > 0);
    ck_assert_int_eq(b.status, -ECONNRESET);
    ck_assert_int_eq(job_stream_status(&b.stream), -ECONNRESET);
    ck_assert_int_eq(job_stream_write(&b.stream, "y", 1), -ECONNRESET);
    ck_assert_uint_eq(b.len, waiting);
    close(peers[0]);
}

START_TEST(a_failure_that_comes_while_it_leaves_goes_along)
{
    int peers[2];
    open_two(peers, detach_the_other);
    run_once();   /* both receive */

    leave_and_arrive(peers, 0);
}
END_TEST

/* The socket is not asked for its error any more: whoever receives next finds it behind what waits. */
START_TEST(a_failure_that_comes_while_a_paused_one_leaves_goes_along_behind_what_waits)
{
    int peers[2];
    open_two(peers, detach_the_other);
    job_stream_pause(&breaks.stream);
    fixture_write(peers[1], "kept", 4);
    run_until(job_stream_received(&breaks.stream) == 4);
    run_until(!op_is_in_flight(stream_receive_op(&breaks.stream)) && op_is_in_flight(stream_hangup_op(&breaks.stream)));
    run_once();   /* the poll for a reset is in the kernel */

    leave_and_arrive(peers, 4);
}
END_TEST

START_TEST(a_close_while_it_leaves_closes_the_connection)
{
    send_text("lost");
    ck_assert_ok(job_stream_detach(&a.stream, never));
    job_stream_close(&a.stream);
    run_until(a.closed > 0);
    char bytes[5];
    ck_assert_int_eq(fixture_descriptors(), descriptors + 1);
    ck_assert_int_le(recv(peer, bytes, sizeof bytes, 0), 0);
}
END_TEST

START_TEST(a_loop_that_closes_while_it_leaves_closes_the_connection)
{
    ck_assert_ok(job_stream_detach(&a.stream, never));
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(a.closed, 1);
    ck_assert(peer_sees_the_end());
}
END_TEST

START_TEST(a_connection_that_nobody_takes_is_closed)
{
    a.leaves_it = true;
    job_stream_pause(&a.stream);
    send_text("dropped");
    run_until(job_stream_received(&a.stream) == 7);
    detach();
    ck_assert_int_eq(fixture_descriptors(), descriptors + 1);
}
END_TEST

/* Sent into nowhere, refused, received and not taken, and at last received. */
START_TEST(in_a_message_it_moves_or_stays_and_goes_with_who_has_it)
{
    struct job_end *ends[2] = {NULL, NULL};
    struct job_message *message = NULL;
    job_stream_pause(&a.stream);
    send_text("in a message");
    run_until(job_stream_received(&a.stream) == 12);
    detach();
    struct job_item item = {.kind = JOB_ITEM_CONNECTION, .connection = &a.connection}, twice[] = {item, item};
    struct job_post post = {.items = &item, .count = 1};
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], &(struct job_channel_options){.bytes_max = 11}));
    ck_assert_int_eq(job_end_post(ends[0], &post), -EMSGSIZE);   /* what waits counts */
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = twice, .count = 2}), -EINVAL);
    job_end_close(&ends[1]);
    ck_assert_int_eq(job_end_post(ends[0], &post), -EPIPE);
    ck_assert_ptr_nonnull(a.connection);
    job_end_close(&ends[0]);
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_end_post(ends[0], &post));
    ck_assert_ptr_null(a.connection);
    ck_assert_int_eq(job_end_post(ends[0], &post), -EINVAL);     /* it is NULL now */
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    ck_assert_int_eq(job_message_kind(message, 0), JOB_ITEM_CONNECTION);
    ck_assert_ptr_null(job_message_take_buf(message, 0));
    a.connection = job_message_take_connection(message, 0);
    ck_assert_ptr_null(job_message_take_connection(message, 0));
    job_message_free(&message);
    ck_assert_ok(job_end_post(ends[0], &post));
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);                                     /* nobody has received it */
    ck_assert(peer_sees_the_end());
    ck_assert_int_eq(fixture_descriptors(), descriptors + 1);
}
END_TEST

START_TEST(what_cannot_be_attached_stays_a_connection)
{
    struct job_connection *none = NULL;
    struct job_runtime *other = fixture_runtime();
    struct job_loop *elsewhere = NULL;
    static const struct job_stream_events deaf = {.closed = on_closed};
    ck_assert_ok(job_loop_open(other, &elsewhere, NULL));
    detach();
    ck_assert_int_eq(job_stream_attach(NULL, &b.stream, &a.connection, &events), -EINVAL);
    ck_assert_int_eq(job_stream_attach(loop, NULL, &a.connection, &events), -EINVAL);
    ck_assert_int_eq(job_stream_attach(loop, &b.stream, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_stream_attach(loop, &b.stream, &none, &events), -EINVAL);
    ck_assert_int_eq(job_stream_attach(loop, &b.stream, &a.connection, NULL), -EINVAL);
    ck_assert_int_eq(job_stream_attach(loop, &b.stream, &a.connection, &deaf), -EINVAL);
    ck_assert_int_eq(job_stream_attach(elsewhere, &b.stream, &a.connection, &events), -EINVAL);
    ck_assert_ptr_nonnull(a.connection);
    attach();
    send_text("well");
    run_until(b.len == 4);
    ck_assert_uint_eq(job_connection_waiting(NULL), 0);
    job_connection_close(&none);
    job_connection_close(NULL);
    ck_assert_ok(job_loop_close(&elsewhere, 0));
    fixture_close(other);
}
END_TEST

/* A worker's loop: another thread. The request comes in two halves, and is completed there. */
static struct job_stream moved;
static char request[TEXT_MAX];
static size_t request_len;

static void moved_data(struct job_stream *stream, struct job_buf **in)
{
    size_t len = job_buf_len(*in);
    ck_assert_ok(job_buf_read(*in, 0, request + request_len, len));
    request_len += len;
    if (request[request_len - 1] != '\n')
        return;
    ck_assert_ok(job_stream_write(stream, request, request_len));
    ck_assert_ok(job_stream_finish(stream, 0));
}

static void moved_closed(struct job_stream *stream)
{
    (void)stream;
    job_inside_exit(job_inside_current(), 0);
}

static const struct job_stream_events moved_events = {.data = moved_data, .closed = moved_closed};

static void gets_it(struct job_inside *inside, struct job_message *message)
{
    struct job_connection *connection = job_message_take_connection(message, 0);
    ck_assert_ok(job_stream_attach(job_inside_loop(inside), &moved, &connection, &moved_events));
}

static const struct job_inside_events getting = {.message = gets_it};

static void worker_main(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &getting));
}

static void second_half(struct job_call *call)
{
    (void)call;
    send_text("second half\n");
    shutdown(peer, SHUT_WR);
}

START_TEST(X24_half_a_request_moves_to_another_thread_and_is_completed_there)
{
    struct job_worker worker;
    struct job_call call = {.run = second_half};
    char answer[TEXT_MAX] = "";
    ck_assert_ok(job_worker_open(loop, &worker, worker_main, NULL, NULL));
    job_stream_pause(&a.stream);
    send_text("first half, ");
    run_until(job_stream_received(&a.stream) == 12);
    detach();
    struct job_item item = {.kind = JOB_ITEM_CONNECTION, .connection = &a.connection};
    ck_assert_ok(job_worker_post(&worker, &(struct job_post){.items = &item, .count = 1}));
    ck_assert_ok(job_loop_defer(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);   /* until the worker has ended */

    ck_assert_uint_eq(fixture_read(peer, answer, sizeof answer), 24);
    ck_assert_str_eq(answer, "first half, second half\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream_detach");
    TCase *tcase = tcase_create("stream_detach");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_was_received_and_not_told_comes_first);
    tcase_add_test(tcase, a_stream_can_be_detached_inside_of_data);
    tcase_add_test(tcase, an_end_that_was_not_told_travels_behind_the_data);
    tcase_add_test(tcase, an_end_that_was_told_is_told_again_and_answers_can_be_sent);
    tcase_add_test(tcase, a_direction_that_was_shut_down_stays_shut);
    tcase_add_test(tcase, what_is_half_way_is_refused_and_goes_on);
    tcase_add_test(tcase, a_stream_that_connects_or_has_failed_is_refused);
    tcase_add_test(tcase, a_stream_that_leaves_starts_nothing_more);
    tcase_add_test(tcase, data_and_an_end_that_come_while_it_leaves_go_along);
    tcase_add_test(tcase, a_failure_that_comes_while_it_leaves_goes_along);
    tcase_add_test(tcase, a_failure_that_comes_while_a_paused_one_leaves_goes_along_behind_what_waits);
    tcase_add_test(tcase, a_close_while_it_leaves_closes_the_connection);
    tcase_add_test(tcase, a_loop_that_closes_while_it_leaves_closes_the_connection);
    tcase_add_test(tcase, a_connection_that_nobody_takes_is_closed);
    tcase_add_test(tcase, in_a_message_it_moves_or_stays_and_goes_with_who_has_it);
    tcase_add_test(tcase, what_cannot_be_attached_stays_a_connection);
    tcase_add_test(tcase, X24_half_a_request_moves_to_another_thread_and_is_completed_there);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
