/* test_stream_finish.c — a close that sends first; the marks of the queue; several bufs at once; peers that take too long. */
#include "support/stream.h"

enum { SHORT = 20 * MS };

static const uint64_t minute = 60000 * (uint64_t)MS;

static void setup(void)
{
    int fds[2];
    fixture_tcp_pair(fds);
    stream_begin(fds, NULL, NULL);
}

static void finish(void)
{
    ck_assert_ok(job_stream_finish(&stream, minute));
}

static void finish_soon(void)
{
    ck_assert_ok(job_stream_finish(&stream, SHORT));
}

/* Writes all the time, reads to the end of file, and closes. Returns how much it read, or 0 after an error. */
static void *chatters(void *arg)
{
    static char bytes[65536];
    size_t sum = 0;
    (void)arg;
    for (;;) {
        if (sum < BIG)
            (void)send(peer, bytes, 100, MSG_NOSIGNAL | MSG_DONTWAIT);
        ssize_t n = recv(peer, bytes, sizeof bytes, 0);
        if (n < 0)
            sum = 0;
        if (n <= 0)
            break;
        sum += (size_t)n;
    }
    close(peer);
    peer = -1;
    return (void *)sum;
}

START_TEST(finish_sends_what_is_queued_and_the_peer_that_still_writes_sees_its_end_and_no_reset)
{
    pthread_t thread;
    void *got = NULL;
    queue(BIG);
    finish();
    ck_assert_int_eq(pthread_create(&thread, NULL, chatters, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, &got);
    ck_assert_uint_eq((size_t)got, BIG);
    ck_assert_uint_eq(datas + ends, 0);
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, 0);
    ck_assert_int_eq(job_stream_status(&stream), 0);
    ck_assert_uint_eq(job_stream_sent(&stream), BIG);
}
END_TEST

START_TEST(after_finish_nothing_can_be_sent_and_a_second_one_is_harmless)
{
    struct job_buf *buf = bytes_of(10);
    finish();
    ck_assert_int_eq(job_stream_finish(&stream, 1), 0);
    ck_assert_int_eq(job_stream_send(&stream, &buf), -EPIPE);
    ck_assert_ptr_nonnull(buf);
    ck_assert_int_eq(job_stream_write(&stream, "x", 1), -EPIPE);
    ck_assert_uint_eq(closes, 0);
    shutdown(peer, SHUT_WR);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(job_stream_finish(&stream, 0), -ECANCELED);
    ck_assert_int_eq(job_stream_finish(NULL, 0), -EINVAL);
    job_buf_free(&buf);
}
END_TEST

static struct job_timer ending;

static void ends_peer(struct job_timer *timer)
{
    shutdown(peer, SHUT_WR);
    job_timer_close(timer, NULL);
}

/* Its receive was cancelled in a pause, so nothing is in flight that would hear of the end. */
static void finishes_and_pauses(struct job_timer *timer)
{
    finish();
    job_stream_pause(&stream);
    ck_assert(!job_stream_is_paused(&stream));
    ck_assert_ok(job_timer_open(loop, &ending, ends_peer));
    ck_assert_ok(job_timer_start(&ending, SHORT));
    job_timer_close(timer, NULL);
}

START_TEST(a_pause_behind_a_finish_does_not_keep_the_end_away)
{
    static struct job_timer finishing;
    job_stream_pause(&stream);
    fixture_write(peer, "x", 1);
    ck_assert_ok(job_timer_open(loop, &finishing, finishes_and_pauses));
    ck_assert_ok(job_timer_start(&finishing, SHORT));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(job_stream_status(&stream), 0);
    ck_assert_uint_eq(datas + ends, 0);
}
END_TEST

START_TEST(a_peer_that_never_ends_is_closed_after_the_linger)
{
    queue(1000);
    finish_soon();

    ck_assert_int_eq(job_loop_run(loop), 0);

    char bytes[1000];
    ck_assert_uint_eq(fixture_read(peer, bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(job_stream_status(&stream), -ETIMEDOUT);
}
END_TEST

static void answer_slowly(struct job_call *call)
{
    (void)call;
    queue(1000);
    finish_soon();
    nanosleep(&(struct timespec){.tv_nsec = 3 * SHORT}, NULL);   /* the loop is the slow one, not the peer */
}

START_TEST(what_waits_for_a_slow_loop_is_sent_though_the_linger_is_over)
{
    struct job_call slow = {.run = answer_slowly};
    ck_assert_ok(job_loop_call(loop, &slow));
    shutdown(peer, SHUT_WR);

    ck_assert_int_eq(job_loop_run(loop), 0);

    char bytes[1000];
    ck_assert_uint_eq(fixture_read(peer, bytes, sizeof bytes), sizeof bytes);
    ck_assert_int_eq(job_stream_status(&stream), 0);
}
END_TEST

START_TEST(a_peer_that_never_reads_is_closed_after_the_linger)
{
    for (int i = 0; i < 5; i++)
        queue(BIG);
    finish_soon();

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(job_stream_status(&stream), -ETIMEDOUT);
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, -ETIMEDOUT);
}
END_TEST

static void queue_and_finish(void)
{
    queue(1000);
    finish();
}

START_TEST(finish_works_inside_of_every_callback_and_while_paused)
{
    in_data = _i == 0 ? queue_and_finish : NULL;
    in_end = _i == 1 ? queue_and_finish : NULL;
    in_sent = _i == 2 ? finish : NULL;
    if (_i == 2)
        queue(1000);
    if (_i == 3) {
        job_stream_pause(&stream);
        queue_and_finish();
    }
    fixture_write(peer, "hello", 5);
    shutdown(peer, SHUT_WR);

    ck_assert_int_eq(job_loop_run(loop), 0);

    char bytes[1001];
    ck_assert_uint_eq(fixture_read(peer, bytes, sizeof bytes), 1000);
    ck_assert_int_eq(job_stream_status(&stream), 0);
    ck_assert_uint_eq(datas, _i < 3);
}
END_TEST

START_TEST(a_stream_that_fails_while_it_finishes_is_closed)
{
    queue(BIG);
    finish();
    reset_peer();

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_lt(job_stream_status(&stream), 0);
    ck_assert_uint_eq(ends, 0);
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, job_stream_status(&stream));
}
END_TEST

static void close_if_empty(void)
{
    ck_assert_uint_eq(job_stream_queued(&stream), 0);
    close_it();
}

static void close_if_low(void)
{
    ck_assert_uint_le(job_stream_queued(&stream), BIG / 4);
    close_it();
}

START_TEST(E06_writable_comes_at_the_low_mark_after_the_queue_was_above_the_high_one)
{
    pthread_t thread;
    in_writable = close_if_low;
    int small = 16384;   /* so that each send takes little */
    ck_assert_int_eq(setsockopt(stream.job_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    ck_assert_ok(job_stream_set_marks(&stream, BIG, BIG / 4));
    queue(BIG);
    ck_assert(!job_stream_is_full(&stream));
    queue(1);
    ck_assert(job_stream_is_full(&stream));
    ck_assert_int_eq(pthread_create(&thread, NULL, reads_all, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(writables, 1);
}
END_TEST

START_TEST(close_cancels_the_wait_for_writable_silently)
{
    pthread_t thread;
    in_sent = close_if_empty;
    ck_assert_ok(job_stream_set_marks(&stream, 1000, 0));
    queue(BIG);
    ck_assert_int_eq(pthread_create(&thread, NULL, reads_all, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(sents, 1);
}
END_TEST

static void close_when_sent_and_writable(void)
{
    if (sents && writables)
        close_it();
}

START_TEST(writable_is_told_also_when_sent_comes_first_and_not_when_the_queue_stayed_below)
{
    in_writable = in_sent = close_when_sent_and_writable;
    ck_assert_ok(job_stream_set_marks(&stream, 0, 1000));
    queue(256 << 10);
    ck_assert(!job_stream_is_full(&stream));
    queue(1);
    ck_assert(job_stream_is_full(&stream));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, reads_all, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(writables, 1);
}
END_TEST

START_TEST(marks_that_make_no_sense_are_refused)
{
    ck_assert_int_eq(job_stream_set_marks(NULL, 0, 0), -EINVAL);
    ck_assert_int_eq(job_stream_set_marks(&stream, 10, 10), -EINVAL);
    ck_assert_int_eq(job_stream_set_marks(&stream, 0, 256 << 10), -EINVAL);
    ck_assert_int_eq(job_stream_set_marks(&stream, ((size_t)1 << 30) + 1, 0), -EINVAL);
    ck_assert(!job_stream_is_full(NULL));
    close_it();
    ck_assert_int_eq(job_stream_set_marks(&stream, 10, 1), -ECANCELED);
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(several_bufs_go_all_together_or_not_at_all)
{
    struct job_buf *bufs[3] = {bytes_of(5000), NULL, bytes_of(0)};
    ck_assert_int_eq(job_stream_send_all(&stream, bufs, 3), -EINVAL);
    ck_assert_int_eq(job_stream_send_all(&stream, NULL, 1), -EINVAL);
    ck_assert_int_eq(job_stream_send_all(NULL, bufs, 1), -EINVAL);
    ck_assert_int_eq(job_stream_send_all(&stream, NULL, 0), 0);
    ck_assert_ptr_nonnull(bufs[0]);
    ck_assert_ptr_nonnull(bufs[2]);
    ck_assert_uint_eq(job_stream_queued(&stream), 0);

    bufs[1] = bytes_of(70000);
    ck_assert_ok(job_stream_send_all(&stream, bufs, 3));
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_null(bufs[i]);
    ck_assert_uint_eq(job_stream_queued(&stream), 75000);
    ck_assert_ok(job_stream_write(&stream, "end", 3));
    in_sent = close_it;

    ck_assert_int_eq(job_loop_run(loop), 0);

    struct job_counts counts;
    char *got = malloc(75004);
    ck_assert_uint_eq(fixture_read(peer, got, 75004), 75003);
    ck_assert_mem_eq(got + 75000, "end", 3);
    free(got);
    ck_assert_uint_eq(sents, 1);   /* they went as one */
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
}
END_TEST

START_TEST(an_idle_peer_is_told_by_end_and_a_last_answer_can_be_sent)
{
    in_end = queue_and_finish;
    ck_assert_ok(job_stream_set_idle_timeout(&stream, SHORT));
    pthread_t thread;
    void *got = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, chatters, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, &got);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ETIMEDOUT);
    ck_assert_uint_eq((size_t)got, 1000);
    ck_assert_int_eq(job_stream_status(&stream), -ETIMEDOUT);
}
END_TEST

static void *trickles(void *arg)
{
    (void)arg;
    while (send(peer, "x", 1, MSG_NOSIGNAL) == 1)
        nanosleep(&(struct timespec){.tv_nsec = MS}, NULL);
    return NULL;
}

static void may_send_still(void)
{
    ck_assert_int_eq(job_stream_status(&stream), -ETIMEDOUT);
    ck_assert(job_stream_can_send(&stream));
    close_it();
}

static void may_send_no_more(void)
{
    ck_assert_int_eq(job_stream_status(&stream), -ETIMEDOUT);
    ck_assert(!job_stream_can_send(&stream));
    close_it();
}

START_TEST(whether_only_receiving_has_timed_out_can_be_asked)
{
    struct job_stream never = {0};
    ck_assert(job_stream_can_send(&stream));
    in_end = _i ? may_send_no_more : may_send_still;
    ck_assert_ok(job_stream_set_idle_timeout(&stream, SHORT));
    for (int i = 0; i < 5 && _i; i++)
        queue(BIG);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(ends, 1);
    ck_assert(!job_stream_can_send(&stream));   /* closed */
    ck_assert(!job_stream_can_send(&never));
    ck_assert(!job_stream_can_send(NULL));
}
END_TEST

START_TEST(nothing_can_be_sent_after_shutdown)
{
    ck_assert_ok(job_stream_shutdown(&stream));
    ck_assert(!job_stream_can_send(&stream));
    shutdown(peer, SHUT_WR);
    in_end = close_it;
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

START_TEST(a_peer_that_sends_a_byte_now_and_then_does_not_outlive_its_deadline)
{
    pthread_t thread;
    in_end = close_it;
    ck_assert_ok(job_stream_set_idle_timeout(&stream, minute));
    ck_assert_ok(job_stream_set_deadline(&stream, minute));
    ck_assert_ok(job_stream_set_deadline(&stream, SHORT));
    ck_assert_int_eq(pthread_create(&thread, NULL, trickles, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_int_eq(end_status, -ETIMEDOUT);
    ck_assert_uint_eq(ends, 1);
}
END_TEST

START_TEST(a_peer_that_does_not_read_fails_the_stream_by_either_time_out)
{
    in_end = close_it;
    ck_assert_ok(_i ? job_stream_set_idle_timeout(&stream, SHORT) : job_stream_set_send_timeout(&stream, SHORT));
    if (_i)
        job_stream_pause(&stream);
    for (int i = 0; i < 5; i++)
        queue(BIG);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ETIMEDOUT);
    ck_assert_uint_eq(sents, 0);   /* closed in `end` */
}
END_TEST

static struct job_timer timer;

static void close_both(struct job_timer *t)
{
    ck_assert_uint_eq(ends, 0);
    close_it();
    job_timer_close(t, NULL);
}

START_TEST(no_time_out_while_the_user_is_the_slow_one_and_none_that_was_switched_off)
{
    ck_assert_ok(job_stream_set_idle_timeout(&stream, SHORT / 10));
    ck_assert_ok(job_stream_set_send_timeout(&stream, SHORT / 10));
    ck_assert_ok(job_stream_set_deadline(&stream, SHORT / 10));
    ck_assert_ok(job_stream_set_deadline(&stream, 0));
    if (_i)
        ck_assert_ok(job_stream_set_idle_timeout(&stream, 0));
    else
        job_stream_pause(&stream);
    ck_assert_ok(job_timer_open(loop, &timer, close_both));
    ck_assert_ok(job_timer_start(&timer, 5 * SHORT));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(job_stream_set_deadline(&stream, 1), -ECANCELED);
    ck_assert_int_eq(job_stream_set_deadline(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_stream_set_idle_timeout(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_stream_set_send_timeout(NULL, 1), -EINVAL);
}
END_TEST

START_TEST(a_reset_is_told_to_a_paused_stream_at_once_and_what_waited_goes_back)
{
    struct job_counts counts;
    in_end = close_it;
    in_data = NULL;
    job_stream_pause(&stream);
    fixture_write(peer, "hello", 5);
    struct pollfd readable = {.fd = stream.job_fd, .events = POLLIN};
    ck_assert_int_eq(poll(&readable, 1, -1), 1);
    reset_peer();
    ck_assert_ok(job_stream_write(&stream, "x", 1));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(datas, 0);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_lt(end_status, 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream finish");
    TCase *tcase = tcase_create("stream finish");
    tcase_add_checked_fixture(tcase, setup, stream_done);
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, finish_sends_what_is_queued_and_the_peer_that_still_writes_sees_its_end_and_no_reset);
    tcase_add_test(tcase, after_finish_nothing_can_be_sent_and_a_second_one_is_harmless);
    tcase_add_test(tcase, a_pause_behind_a_finish_does_not_keep_the_end_away);
    tcase_add_test(tcase, a_peer_that_never_ends_is_closed_after_the_linger);
    tcase_add_test(tcase, what_waits_for_a_slow_loop_is_sent_though_the_linger_is_over);
    tcase_add_test(tcase, a_peer_that_never_reads_is_closed_after_the_linger);
    tcase_add_loop_test(tcase, finish_works_inside_of_every_callback_and_while_paused, 0, 4);
    tcase_add_test(tcase, a_stream_that_fails_while_it_finishes_is_closed);
    tcase_add_test(tcase, E06_writable_comes_at_the_low_mark_after_the_queue_was_above_the_high_one);
    tcase_add_test(tcase, close_cancels_the_wait_for_writable_silently);
    tcase_add_test(tcase, writable_is_told_also_when_sent_comes_first_and_not_when_the_queue_stayed_below);
    tcase_add_test(tcase, marks_that_make_no_sense_are_refused);
    tcase_add_test(tcase, several_bufs_go_all_together_or_not_at_all);
    tcase_add_test(tcase, an_idle_peer_is_told_by_end_and_a_last_answer_can_be_sent);
    tcase_add_loop_test(tcase, whether_only_receiving_has_timed_out_can_be_asked, 0, 2);
    tcase_add_test(tcase, nothing_can_be_sent_after_shutdown);
    tcase_add_test(tcase, a_peer_that_sends_a_byte_now_and_then_does_not_outlive_its_deadline);
    tcase_add_loop_test(tcase, a_peer_that_does_not_read_fails_the_stream_by_either_time_out, 0, 2);
    tcase_add_loop_test(tcase, no_time_out_while_the_user_is_the_slow_one_and_none_that_was_switched_off, 0, 2);
    tcase_add_test(tcase, a_reset_is_told_to_a_paused_stream_at_once_and_what_waited_goes_back);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
