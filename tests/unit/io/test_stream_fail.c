/* test_stream_fail.c — a stream that fails while the kernel has some of what it sends: what goes back, when, and that somebody is told. */
#include "support/stream.h"

static struct job_notice notice;
static struct job_place place;
static unsigned told, releases;
static int told_status;

static void note_sent(struct job_notice *n, int status)
{
    ck_assert_ptr_eq(n, &notice);
    told++;
    told_status = status;
}

static void note_released(struct job_notice *n)
{
    ck_assert_ptr_eq(n, &notice);
    ck_assert_ptr_null(stream.job_sending);   /* the kernel has nothing of it */
    releases++;
}

static void setup(void)
{
    int fds[2];
    told = releases = 0;
    fixture_pair(fds);
    stream_begin(fds, NULL, NULL);
}

static void stop(void)
{
    job_loop_stop(loop);
}

static void notify(void)
{
    notice = (struct job_notice){.sent = note_sent, .released = note_released};
    ck_assert_ok(job_stream_notify(&stream, &notice));
}

static bool by_idleness;
static struct job_timer timer;

/* The peer reads nothing, so the kernel keeps a part of the first buf. */
static void times_out_from_now(struct job_timer *t)
{
    if (job_stream_sent(&stream) == 0) {   /* the kernel has not begun */
        ck_assert_ok(job_timer_start(t, MS));
        return;
    }
    if (by_idleness)
        ck_assert_ok(job_stream_set_idle_timeout(&stream, 20 * MS));
    else
        ck_assert_ok(job_stream_set_send_timeout(&stream, 20 * MS));
    job_timer_close(t, NULL);
}

static void times_out(bool is_idle)
{
    by_idleness = is_idle;
    ck_assert_ok(job_timer_open(loop, &timer, times_out_from_now));
    ck_assert_ok(job_timer_start(&timer, 0));
}

START_TEST(memory_is_released_when_the_kernel_has_let_go_of_it)
{
    queue(BIG);
    notify();
    times_out(_i);
    in_sent = stop;

    run();

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, -ETIMEDOUT);
    ck_assert_uint_gt(job_stream_sent(&stream), 0);
    ck_assert_int_eq(told_status, -ETIMEDOUT);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(releases, 1);
}
END_TEST

static void fills(void)
{
    struct job_buf *late = bytes_of(10);
    ck_assert_int_eq(job_place_fill(&place, &late), -ECANCELED);
    job_buf_free(&late);
}

START_TEST(all_that_is_queued_goes_back_though_the_peer_reads_nothing)
{
    struct job_counts counts;
    queue(BIG);
    ck_assert_ok(job_stream_reserve(&stream, &place));
    queue(1000);   /* behind the place */
    times_out(_i);
    in_end = fills;
    in_sent = stop;

    run();

    ck_assert_uint_eq(ends, 1);
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, -ETIMEDOUT);
    ck_assert_uint_eq(job_stream_queued(&stream), 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
    ck_assert_int_eq(job_stream_write(&stream, "x", 1), -ETIMEDOUT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream fail");
    TCase *tcase = tcase_create("stream fail");
    tcase_add_checked_fixture(tcase, setup, stream_done);
    tcase_set_timeout(tcase, 2);
    tcase_add_loop_test(tcase, memory_is_released_when_the_kernel_has_let_go_of_it, 0, 2);
    tcase_add_loop_test(tcase, all_that_is_queued_goes_back_though_the_peer_reads_nothing, 0, 2);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
