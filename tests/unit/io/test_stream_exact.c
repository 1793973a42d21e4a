/* test_stream_exact.c — data of a known length: contiguous, exact, whatever the pieces in which it comes. */
#include "support/fixture.h"

enum { SUM = 6 << 20 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_stream stream;
static int peer;
static uint64_t received;
static unsigned ends, closes, datas;
static int end_status;
static size_t wanted, lengths[8];
static struct random dice;
static bool pauses;
static int close_how;

static uint8_t pattern(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761U >> 11);
}

static void verify(const struct job_buf *buf)
{
    for (const struct job_buf *segment = buf; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++, received++)
            if (bytes[i] != pattern(received))
                ck_abort_msg("byte %llu", (unsigned long long)received);
    }
}

static size_t next_length(void)
{
    static const size_t most[] = {1, 40, 5000, 16384, 16385, 100000, 1500000};
    return 1 + random_below(&dice, most[random_below(&dice, sizeof most / sizeof most[0])]);
}

static void resumes(struct job_timer *timer);
static struct job_timer timer;

static void any_lengths(struct job_stream *s, struct job_buf **in)
{
    datas++;
    if (wanted > 0) {
        ck_assert_uint_eq(job_buf_segments(*in), 1);
        if (received + wanted <= SUM)
            ck_assert_uint_eq(job_buf_len(*in), wanted);
        else
            ck_assert_uint_eq(received + job_buf_len(*in), SUM);   /* the rest, short */
    }
    verify(*in);
    wanted = random_below(&dice, 5) ? next_length() : 0;
    ck_assert_ok(job_stream_expect(s, wanted));
    if (pauses && random_below(&dice, 2)) {
        job_stream_pause(s);
        ck_assert_ok(job_timer_start(&timer, random_below(&dice, 2) * 100000));
    }
}

static void resumes(struct job_timer *t)
{
    (void)t;
    job_stream_resume(&stream);
}

static void on_end(struct job_stream *s, int status)
{
    ends++;
    end_status = status;
    job_stream_close(s);
    if (pauses)
        job_timer_close(&timer, NULL);
}

static void on_closed(struct job_stream *s)
{
    (void)s;
    closes++;
}

static const struct job_stream_events any = {.data = any_lengths, .end = on_end, .closed = on_closed};

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    received = ends = closes = datas = 0;
    wanted = 0;
    pauses = false;
    memset(lengths, 0, sizeof lengths);
}

static void open_stream(const struct job_stream_events *events)
{
    int fds[2];
    fixture_pair(fds);
    peer = fds[0];
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], events));
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_uint_eq(closes, 1);
    close(peer);
    fixture_close(runtime);
}

static void *sends_all(void *arg)
{
    struct random own = {*(uint64_t *)arg};
    uint8_t *bytes = malloc(SUM);
    for (size_t i = 0; i < SUM; i++)
        bytes[i] = pattern(i);
    for (size_t sent = 0; sent < SUM;) {
        size_t most = random_below(&own, 8) ? 200000 : 30;
        size_t len = 1 + random_below(&own, most);
        len = len < SUM - sent ? len : SUM - sent;
        fixture_write(peer, bytes + sent, len);
        sent += len;
    }
    shutdown(peer, SHUT_WR);
    free(bytes);
    return NULL;
}

START_TEST(each_piece_has_the_length_asked_for_and_nothing_is_lost_between_them)
{
    pthread_t thread;
    dice = fixture_random("exact");
    uint64_t seed = random_next(&dice);
    pauses = _i;
    open_stream(&any);
    ck_assert_ok(job_timer_open(loop, &timer, resumes));
    if (!pauses)
        job_timer_close(&timer, NULL);
    ck_assert_int_eq(pthread_create(&thread, NULL, sends_all, &seed), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(received, SUM);
    ck_assert_uint_eq(job_stream_received(&stream), SUM);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, 0);
}
END_TEST

static void notes_lengths(struct job_stream *s, struct job_buf **in)
{
    (void)s;
    lengths[datas++] = job_buf_len(*in);
}

static const struct job_stream_events notes = {.data = notes_lengths, .end = on_end, .closed = on_closed};

static void ask_for(size_t len)
{
    ck_assert_ok(job_stream_expect(&stream, len));
}

START_TEST(what_came_behind_is_kept_and_comes_next)
{
    open_stream(&notes);
    ask_for(3);
    fixture_write(peer, "abcdefgh", 8);
    shutdown(peer, SHUT_WR);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(datas, 2);
    ck_assert_uint_eq(lengths[0], 3);
    ck_assert_uint_eq(lengths[1], 5);
}
END_TEST

START_TEST(a_peer_that_ends_early_has_its_bytes_told_before_its_end)
{
    open_stream(&notes);
    ask_for(_i ? 1000000 : 1000);
    fixture_write(peer, "abc", 3);
    shutdown(peer, SHUT_WR);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(datas, 1);
    ck_assert_uint_eq(lengths[0], 3);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, 0);
}
END_TEST

static void close_now(struct job_timer *t)
{
    ck_assert_uint_eq(datas, 0);
    if (close_how == 0)
        job_stream_close(&stream);
    else if (close_how == 1)
        ck_assert_ok(job_stream_finish(&stream, 1));
    else if (close_how == 2)
        ck_assert_ok(job_stream_set_deadline(&stream, 1));
    else
        ck_assert_int_eq(job_stream_expect(&stream, 5), -EBUSY);
    if (close_how == 3)
        job_stream_close(&stream);
    job_timer_close(t, NULL);
}

START_TEST(close_finish_and_time_out_while_it_is_received_give_the_memory_back)
{
    struct job_counts counts;
    close_how = _i;
    open_stream(&notes);
    ask_for(1000000);
    fixture_write(peer, "abc", 3);
    ck_assert_ok(job_timer_open(loop, &timer, close_now));
    ck_assert_ok(job_timer_start(&timer, 20000000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(ends, _i == 2);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_le(counts.bufs, 1);
}
END_TEST

static void take_as_it_comes(struct job_timer *t)
{
    ck_assert_uint_eq(datas, 0);
    ask_for(0);
    job_timer_close(t, NULL);
}

static void notes_length_and_closes(struct job_stream *s, struct job_buf **in)
{
    notes_lengths(s, in);
    job_stream_close(s);
}

START_TEST(what_was_gathered_comes_when_nothing_is_expected_any_more)
{
    static const struct job_stream_events closing = {
        .data = notes_length_and_closes, .end = on_end, .closed = on_closed};
    open_stream(&closing);
    ask_for(1000);
    fixture_write(peer, "abc", 3);
    ck_assert_ok(job_timer_open(loop, &timer, take_as_it_comes));
    ck_assert_ok(job_timer_start(&timer, 20000000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(datas, 1);
    ck_assert_uint_eq(lengths[0], 3);
}
END_TEST

START_TEST(lengths_that_make_no_sense_or_do_not_fit_are_refused)
{
    struct job_runtime *small = NULL;
    open_stream(&notes);
    ck_assert_int_eq(job_stream_expect(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_stream_expect(&stream, ((size_t)1 << 30) + 1), -EINVAL);
    job_stream_close(&stream);
    ck_assert_int_eq(job_stream_expect(&stream, 1), -ECANCELED);
    ck_assert_int_eq(job_loop_run(loop), 0);
    close(peer);

    struct job_loop *other = NULL;
    struct job_runtime_options options = {.memory_limit_bytes = 16U << 20, .log = fixture_log};
    ck_assert_ok(job_runtime_open(&small, &options));
    ck_assert_ok(job_loop_open(small, &other, NULL));
    int fds[2];
    fixture_pair(fds);
    peer = fds[0];
    closes = 0;
    ck_assert_ok(job_stream_adopt(other, &stream, fds[1], &notes));
    ck_assert_int_eq(job_stream_expect(&stream, 100U << 20), -ENOMEM);
    fixture_write(peer, "abc", 3);
    shutdown(peer, SHUT_WR);
    ck_assert_int_eq(job_loop_run(other), 0);
    ck_assert_uint_eq(lengths[0], 3);   /* nothing had changed */
    ck_assert_int_eq(job_loop_close(&other, 0), 0);
    fixture_close(small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream exact");
    TCase *tcase = tcase_create("stream exact");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_loop_test(tcase, each_piece_has_the_length_asked_for_and_nothing_is_lost_between_them, 0, 2);
    tcase_add_test(tcase, what_came_behind_is_kept_and_comes_next);
    tcase_add_loop_test(tcase, a_peer_that_ends_early_has_its_bytes_told_before_its_end, 0, 2);
    tcase_add_loop_test(tcase, close_finish_and_time_out_while_it_is_received_give_the_memory_back, 0, 4);
    tcase_add_test(tcase, what_was_gathered_comes_when_nothing_is_expected_any_more);
    tcase_add_test(tcase, lengths_that_make_no_sense_or_do_not_fit_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
