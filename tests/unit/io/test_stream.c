/* test_stream.c — receive, send, pause, half-close, failure and close of a stream, against a peer with blocking sockets. */
#include "base/atomic.h"
#include "support/fixture.h"

enum { BIG = 3 << 20 };

struct side {
    struct job_stream stream;
    struct job_buf *kept;        /* what `data` has taken */
    size_t received;
    unsigned data_calls, ends, sents, closes;
    int end_status, sent_status;
    bool keep, pause_each, echo, close_on_data, close_on_end, close_on_sent;
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct side side;
static int peer;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct side *s = job_container_of(stream, struct side, stream);
    ck_assert_uint_eq(s->ends, 0);
    ck_assert(!job_stream_is_paused(stream));
    s->data_calls++;
    s->received += job_buf_len(*in);
    if (s->echo)
        ck_assert_ok(job_stream_send(stream, in));
    else if (s->keep && s->kept)
        ck_assert_ok(job_buf_append(s->kept, in));
    else if (s->keep)
        s->kept = job_buf_take(in);
    if (s->pause_each)
        job_stream_pause(stream);
    if (s->close_on_data) {
        job_stream_close(stream);
        job_stream_close(stream);
        ck_assert_uint_eq(s->closes, 0);
    }
}

static void on_end(struct job_stream *stream, int status)
{
    struct side *s = job_container_of(stream, struct side, stream);
    s->ends++;
    s->end_status = status;
    if (s->close_on_end)
        job_stream_close(stream);
}

static void on_sent(struct job_stream *stream, int status)
{
    struct side *s = job_container_of(stream, struct side, stream);
    s->sents++;
    s->sent_status = status;
    if (s->close_on_sent)
        job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    job_container_of(stream, struct side, stream)->closes++;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};

static void setup(void)
{
    int fds[2];
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    side = (struct side){.close_on_end = true};
    fixture_pair(fds);
    peer = fds[0];
    ck_assert_ok(job_stream_adopt(loop, &side.stream, fds[1], &events));
}

static void teardown(void)
{
    job_buf_free(&side.kept);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_uint_eq(side.closes, 1);
    close(peer);
    fixture_close(runtime);
}

static uint8_t pattern(size_t offset)
{
    return (uint8_t)(offset * 2654435761U >> 11);
}

static void *peer_sends_big(void *arg)
{
    (void)arg;
    uint8_t *bytes = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = pattern(i);
    fixture_write(peer, bytes, BIG);
    shutdown(peer, SHUT_WR);
    free(bytes);
    return NULL;
}

static void assert_pattern(const struct job_buf *buf, size_t len)
{
    ck_assert_uint_eq(job_buf_len(buf), len);
    size_t offset = 0;
    for (const struct job_buf *segment = buf; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++, offset++)
            if (bytes[i] != pattern(offset))   /* not an assert a byte: each writes to a file */
                ck_abort_msg("byte %zu is %u, not %u", offset, bytes[i], pattern(offset));
    }
    ck_assert_uint_eq(offset, len);
}

START_TEST(bytes_arrive_in_order_and_the_end_comes_last_and_once)
{
    pthread_t thread;
    side.keep = true;
    ck_assert_int_eq(pthread_create(&thread, NULL, peer_sends_big, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    ck_assert_uint_eq(side.ends, 1);
    ck_assert_int_eq(side.end_status, 0);
    ck_assert_uint_eq(job_stream_received(&side.stream), BIG);
    assert_pattern(side.kept, BIG);
}
END_TEST

START_TEST(what_data_leaves_goes_back_to_the_arena)
{
    pthread_t thread;
    struct job_counts counts;
    ck_assert_int_eq(pthread_create(&thread, NULL, peer_sends_big, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(side.received, BIG);
    ck_assert_uint_eq(counts.bufs, 0);   /* what a loop keeps for small receives is nobody's */
}
END_TEST

static void resume_later(struct job_timer *timer)
{
    if (side.closes)
        return job_timer_close(timer, NULL);
    job_stream_resume(&side.stream);
    ck_assert_ok(job_timer_start(timer, 100000));
}

START_TEST(a_pause_is_immediate_and_nothing_is_lost_or_reordered)
{
    pthread_t thread;
    struct job_timer timer = {0};
    side.keep = side.pause_each = true;
    ck_assert_ok(job_timer_open(loop, &timer, resume_later));
    ck_assert_ok(job_timer_start(&timer, 100000));
    ck_assert_int_eq(pthread_create(&thread, NULL, peer_sends_big, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    ck_assert_uint_eq(side.ends, 1);
    assert_pattern(side.kept, BIG);
}
END_TEST

static void *peer_echoes(void *arg)
{
    size_t *answered = arg;
    uint8_t *bytes = malloc(BIG), *back = malloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        bytes[i] = pattern(i);
    size_t sent = 0;
    while (sent < BIG) {
        size_t part = BIG - sent < 50000 ? BIG - sent : 50000;
        fixture_write(peer, bytes + sent, part);
        ck_assert_uint_eq(fixture_read(peer, back + sent, part), part);
        sent += part;
    }
    *answered = memcmp(bytes, back, BIG) == 0 ? BIG : 0;
    shutdown(peer, SHUT_WR);
    free(bytes);
    free(back);
    return NULL;
}

START_TEST(what_is_received_can_be_sent_as_it_is)
{
    pthread_t thread;
    size_t answered = 0;
    side.echo = true;
    ck_assert_int_eq(pthread_create(&thread, NULL, peer_echoes, &answered), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    ck_assert_uint_eq(answered, BIG);
    ck_assert_uint_eq(job_stream_sent(&side.stream), BIG);
    ck_assert_int_eq(side.sent_status, 0);
}
END_TEST

static void *peer_reads_all(void *arg)
{
    size_t *total = arg;
    static uint8_t bytes[8192];
    bool is_right = true;
    for (;;) {
        ssize_t n = recv(peer, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            is_right = is_right && bytes[i] == pattern(*total + (size_t)i);
        *total += (size_t)n;
    }
    if (!is_right)
        *total = 0;
    shutdown(peer, SHUT_WR);
    return NULL;
}

START_TEST(many_queued_bufs_of_all_sizes_arrive_in_order_and_shutdown_comes_after_them)
{
    struct random random = fixture_random("many_queued_bufs");
    pthread_t thread;
    size_t total = 0, offset = 0;
    for (int i = 0; i < 300; i++) {
        struct job_buf *buf = NULL;
        size_t len = random_below(&random, 3) ? random_below(&random, 200) : random_below(&random, 100000);
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), len, NULL, &buf));
        uint8_t *bytes = malloc(len + 1);
        for (size_t j = 0; j < len; j++)
            bytes[j] = pattern(offset + j);
        ck_assert_ok(job_buf_write(buf, bytes, len));
        free(bytes);
        offset += len;
        ck_assert_ok(job_stream_send(&side.stream, &buf));
        ck_assert_ptr_null(buf);
    }
    ck_assert_uint_eq(job_stream_queued(&side.stream), offset);
    ck_assert_ok(job_stream_shutdown(&side.stream));
    struct job_buf *late = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 10, NULL, &late));
    ck_assert_int_eq(job_stream_send(&side.stream, &late), -EPIPE);
    ck_assert_ptr_nonnull(late);
    job_buf_free(&late);
    ck_assert_int_eq(pthread_create(&thread, NULL, peer_reads_all, &total), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    ck_assert_uint_eq(total, offset);
    ck_assert_uint_eq(side.sents, 1);
}
END_TEST

static void stop_when_told(struct job_timer *timer)
{
    if (side.ends && side.sents)
        return job_stream_close(&side.stream), job_timer_close(timer, NULL);
    ck_assert_ok(job_timer_start(timer, 100000));
}

START_TEST(a_peer_that_is_gone_fails_both_directions_once)
{
    struct job_buf *buf = NULL;
    struct job_timer timer = {0};
    side.close_on_end = false;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, "x", 1));
    close(peer);
    peer = -1;
    ck_assert_ok(job_stream_send(&side.stream, &buf));
    ck_assert_ok(job_timer_open(loop, &timer, stop_when_told));
    ck_assert_ok(job_timer_start(&timer, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(side.ends, 1);
    ck_assert_uint_eq(side.sents, 1);
    ck_assert_int_lt(side.sent_status, 0);
}
END_TEST

START_TEST(close_inside_data_comes_back_later_and_once)
{
    side.close_on_data = true;
    fixture_write(peer, "hello", 5);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(side.closes, 1);
    ck_assert_uint_eq(side.data_calls, 1);
    char byte;
    ck_assert_int_le(recv(peer, &byte, 1, 0), 0);
}
END_TEST

static struct job_stream reset_stream;

static void reset_on_data(struct job_stream *stream, struct job_buf **in)
{
    ck_assert_ok(job_stream_send(stream, in));
    job_stream_reset(stream);
    job_stream_reset(stream);
}

static void accept_to_reset(struct job_listener *listener, struct job_incoming *incoming)
{
    static const struct job_stream_events to_reset = {.data = reset_on_data};
    ck_assert_ok(job_stream_accept(&reset_stream, incoming, &to_reset));
    job_listener_close(listener, NULL);
}

START_TEST(a_reset_does_not_look_like_an_end_of_file)
{
    struct job_listener listener;
    char byte = 'x';
    job_stream_close(&side.stream);
    ck_assert_ok(job_listener_open(loop, &listener, NULL, accept_to_reset));
    int client = fixture_connect(job_listener_port(&listener));
    fixture_write(client, &byte, 1);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ssize_t n;
    while ((n = recv(client, &byte, 1, 0)) > 0) {
    }
    ck_assert_int_eq(n, -1);
    ck_assert_int_eq(errno, ECONNRESET);
    (void)close(client);
}
END_TEST

START_TEST(close_with_a_queue_gives_every_buf_back)
{
    for (int i = 0; i < 64; i++) {
        struct job_buf *buf = NULL;
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 65536, NULL, &buf));
        size_t room;
        memset(job_buf_room(buf, &room), 7, 65536 - 64);
        ck_assert_ok(job_buf_extend(buf, 65536 - 64));
        ck_assert_ok(job_stream_send(&side.stream, &buf));
    }
    job_stream_close(&side.stream);
    ck_assert_uint_eq(side.closes, 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(side.closes, 1);
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    ck_assert_int_eq(job_stream_send(&side.stream, &buf), -ECANCELED);
    ck_assert_int_eq(job_stream_shutdown(&side.stream), -ECANCELED);
    job_buf_free(&buf);
}
END_TEST

START_TEST(an_empty_buf_is_sent)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 0, NULL, &buf));
    ck_assert_ok(job_stream_send(&side.stream, &buf));
    ck_assert_ptr_null(buf);
    side.close_on_sent = true;

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(side.sents, 1);
    ck_assert_int_eq(side.sent_status, 0);
}
END_TEST

START_TEST(written_bytes_are_copied_and_arrive_in_order_with_sent_bufs)
{
    char line[] = "one,", text[16] = "";
    struct job_buf *buf = NULL;
    struct job_counts counts;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 8, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, "two,", 4));
    ck_assert_ok(job_stream_write(&side.stream, line, 4));
    memset(line, '!', 4);   /* the caller's again */
    ck_assert_ok(job_stream_send(&side.stream, &buf));
    ck_assert_ok(job_stream_write(&side.stream, "three", 5));
    ck_assert_ok(job_stream_write(&side.stream, NULL, 0));
    ck_assert_uint_eq(job_stream_queued(&side.stream), 13);
    ck_assert_ok(job_stream_shutdown(&side.stream));
    job_runtime_counts(runtime, &counts);
    uint64_t before = counts.bufs;
    ck_assert_int_eq(job_stream_write(&side.stream, "late", 4), -EPIPE);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, before);
    side.close_on_sent = true;

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(recv(peer, text, sizeof text, MSG_WAITALL), 13);
    ck_assert_str_eq(text, "one,two,three");
    ck_assert_int_eq(job_stream_write(&side.stream, "late", 4), -ECANCELED);
}
END_TEST

START_TEST(many_small_writes_share_slots_and_are_copied_once)
{
    char expected[4000], text[4000];
    struct job_counts before, after;
    for (size_t i = 0; i < sizeof expected; i++)
        expected[i] = (char)pattern(i);
    ck_assert_ok(job_stream_write(&side.stream, expected, 20));
    ck_assert_ok(job_stream_write(&side.stream, expected + 20, 20));
    job_runtime_counts(runtime, &before);
    for (size_t i = 40; i < sizeof expected; i += 20)
        ck_assert_ok(job_stream_write(&side.stream, expected + i, 20));
    job_runtime_counts(runtime, &after);
    ck_assert_uint_eq(after.bufs, before.bufs);
    ck_assert_uint_eq(after.copied_bytes, before.copied_bytes);
    side.close_on_sent = true;

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(recv(peer, text, sizeof text, MSG_WAITALL), sizeof text);
    ck_assert_mem_eq(text, expected, sizeof text);
}
END_TEST

static void *peer_sends_bytes(void *arg)
{
    size_t count = *(size_t *)arg;
    for (size_t i = 0; i < count; i++) {
        uint8_t byte = pattern(i);
        fixture_write(peer, &byte, 1);
    }
    shutdown(peer, SHUT_WR);
    return NULL;
}

static void on_closed_stop(struct job_stream *stream)
{
    on_closed(stream);
    job_loop_stop(loop);
}

static const struct job_stream_events stopping = {.data = on_data, .end = on_end, .closed = on_closed_stop};

struct flood {
    size_t count;
    atomic_u32 sent;
    int fd;
};

static void *peer_floods(void *arg)
{
    struct flood *flood = arg;
    for (uint32_t i = 0; i < flood->count; i++) {
        fixture_write(flood->fd, "x", 1);
        store_release(&flood->sent, i + 1);   /* pairs with load_acquire in the_end_behind_a_flood_of_small_sends_is_heard */
    }
    shutdown(flood->fd, SHUT_WR);
    return NULL;
}

/* Bytes that are kept one by one: the slots that they occupy stay below four times their number (and one slot to begin with). */
START_TEST(a_peer_that_sends_single_bytes_costs_at_most_four_times_its_bytes)
{
    pthread_t thread;
    size_t count = 60000;
    struct job_arena_stats before, after;
    job_arena_stats(job_runtime_arena(runtime), &before);
    side.keep = true;
    ck_assert_int_eq(pthread_create(&thread, NULL, peer_sends_bytes, &count), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    job_arena_stats(job_runtime_arena(runtime), &after);
    assert_pattern(side.kept, count);
    ck_assert_uint_le(job_buf_segments(side.kept), count / 1024);
}
END_TEST

/* The kernel counts up to 128 wakes of a receive that has not run; it runs while the last of the peer's calls wake it. */
START_TEST(the_end_behind_a_flood_of_small_sends_is_heard)
{
    enum { ROUNDS = 20, SENDS = 140, AHEAD = 130 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct side other = {.close_on_end = true};
        struct flood flood = {.count = SENDS};
        int fds[2];
        pthread_t thread;
        fixture_pair(fds);
        flood.fd = fds[0];
        ck_assert_ok(job_stream_adopt(loop, &other.stream, fds[1], &stopping));
        job_loop_stop(loop);
        ck_assert_int_eq(job_loop_run(loop), 1);   /* the receive is the kernel's */
        ck_assert_int_eq(pthread_create(&thread, NULL, peer_floods, &flood), 0);
        while (load_acquire(&flood.sent) < AHEAD)   /* pairs with store_release in peer_floods */
            sched_yield();

        ck_assert_int_eq(job_loop_run(loop), 1);

        pthread_join(thread, NULL);
        ck_assert_uint_eq(other.received, SENDS);
        ck_assert_uint_eq(other.ends, 1);
        ck_assert_int_eq(other.end_status, 0);
        close(fds[0]);
    }
    job_stream_close(&side.stream);
}
END_TEST

START_TEST(the_copy_counter_stays_zero_for_receives_of_an_eighth_of_a_slot_and_more)
{
    enum { PART = 16384 / 8, PARTS = 7 };   /* together less than a slot: no remainder */
    static uint8_t bytes[PART];
    struct job_counts counts;
    side.keep = true;
    for (int i = 0; i < PARTS; i++)
        fixture_write(peer, bytes, PART);
    shutdown(peer, SHUT_WR);

    ck_assert_int_eq(job_loop_run(loop), 0);

    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(side.received, PARTS * PART);
    ck_assert_uint_eq(counts.copied_bytes, 0);
}
END_TEST

START_TEST(bad_arguments_change_nothing)
{
    struct job_stream other = {0};
    struct job_buf *none = NULL;
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    ck_assert_int_eq(job_stream_adopt(NULL, &other, peer, &events), -EINVAL);
    ck_assert_int_eq(job_stream_adopt(loop, NULL, peer, &events), -EINVAL);
    ck_assert_int_eq(job_stream_adopt(loop, &other, -1, &events), -EBADF);
    ck_assert_int_eq(job_stream_adopt(loop, &other, peer, NULL), -EINVAL);
    ck_assert_int_eq(job_stream_adopt(loop, &other, peer, &(struct job_stream_events){0}), -EINVAL);
    ck_assert_int_eq(job_stream_adopt(loop, &other, pipe_fds[0], &events), -ENOTSOCK);
    ck_assert_int_eq(job_stream_accept(&other, &(struct job_incoming){.fd = -1}, &events), -EINVAL);
    ck_assert_int_eq(job_stream_send(&side.stream, &none), -EINVAL);
    ck_assert_int_eq(job_stream_send(&side.stream, NULL), -EINVAL);
    ck_assert_int_eq(job_stream_send(NULL, &none), -EINVAL);
    ck_assert_int_eq(job_stream_write(NULL, "x", 1), -EINVAL);
    ck_assert_int_eq(job_stream_write(&side.stream, NULL, 1), -EINVAL);
    ck_assert_int_eq(job_stream_write(&side.stream, "x", ((size_t)1 << 30) + 1), -EINVAL);
    ck_assert_uint_eq(job_stream_queued(&side.stream), 0);
    ck_assert_int_eq(job_stream_shutdown(NULL), -EINVAL);
    ck_assert_int_eq(job_stream_shutdown(&other), -EINVAL);   /* never opened */
    ck_assert_int_eq(job_stream_finish(&other, 0), -EINVAL);
    ck_assert_int_eq(job_stream_expect(&other, 1), -EINVAL);
    ck_assert_int_eq(job_stream_write(&other, "x", 1), -EINVAL);
    ck_assert_int_eq(job_stream_peer(&other, (char[JOB_ADDRESS_TEXT]){0}, JOB_ADDRESS_TEXT), -EINVAL);
    job_stream_close(NULL);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    job_stream_close(&side.stream);
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(a_buf_of_another_runtime_is_refused_behind_queued_ones_and_stays_with_its_owner)
{
    struct job_runtime *other = fixture_runtime();
    struct job_buf *bufs[3] = {0};
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ok(job_buf_alloc(job_runtime_arena(i == 2 ? other : runtime), 100, NULL, &bufs[i]));
        ck_assert_ok(job_buf_write(bufs[i], "bytes", 5));
    }
    ck_assert_ok(job_stream_send(&side.stream, &bufs[0]));
    ck_assert_ok(job_stream_send(&side.stream, &bufs[1]));

    ck_assert_int_eq(job_stream_send(&side.stream, &bufs[2]), -EINVAL);
    ck_assert_uint_eq(job_buf_len(bufs[2]), 5);
    ck_assert_uint_eq(job_stream_queued(&side.stream), 10);
    job_buf_free(&bufs[2]);
    fixture_close(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *tcase = tcase_create("stream");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bytes_arrive_in_order_and_the_end_comes_last_and_once);
    tcase_add_test(tcase, what_data_leaves_goes_back_to_the_arena);
    tcase_add_test(tcase, a_pause_is_immediate_and_nothing_is_lost_or_reordered);
    tcase_add_test(tcase, what_is_received_can_be_sent_as_it_is);
    tcase_add_test(tcase, many_queued_bufs_of_all_sizes_arrive_in_order_and_shutdown_comes_after_them);
    tcase_add_test(tcase, a_peer_that_is_gone_fails_both_directions_once);
    tcase_add_test(tcase, close_inside_data_comes_back_later_and_once);
    tcase_add_test(tcase, a_reset_does_not_look_like_an_end_of_file);
    tcase_add_test(tcase, close_with_a_queue_gives_every_buf_back);
    tcase_add_test(tcase, an_empty_buf_is_sent);
    tcase_add_test(tcase, many_small_writes_share_slots_and_are_copied_once);
    tcase_add_test(tcase, written_bytes_are_copied_and_arrive_in_order_with_sent_bufs);
    tcase_add_test(tcase, a_peer_that_sends_single_bytes_costs_at_most_four_times_its_bytes);
    tcase_add_test(tcase, the_copy_counter_stays_zero_for_receives_of_an_eighth_of_a_slot_and_more);
    tcase_add_test(tcase, bad_arguments_change_nothing);
    tcase_add_test(tcase, a_buf_of_another_runtime_is_refused_behind_queued_ones_and_stays_with_its_owner);
    suite_add_tcase(suite, tcase);
    TCase *flood = tcase_create("flood");
    tcase_add_checked_fixture(flood, setup, teardown);
    tcase_set_timeout(flood, 5);   /* what is to be heard comes at once or never */
    tcase_add_test(flood, the_end_behind_a_flood_of_small_sends_is_heard);
    suite_add_tcase(suite, flood);
    return fixture_run(suite);
}
