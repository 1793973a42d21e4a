/* test_stream_place.c — places in the send queue, notices of what was sent, and writable after a refusal. */
#include "base/limits.h"
#include "support/stream.h"

enum { PLACES = 4 };

static struct job_place places[PLACES];

static void close_if_broken(void)
{
    if (end_status < 0 || !in_sent)
        close_it();
}

static void setup(void)
{
    int fds[2];
    fixture_pair(fds);
    stream_begin(fds, NULL, NULL);
    in_end = close_if_broken;
    memset(places, 0xEE, sizeof places);
}

static struct job_buf *text(const char *words)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), strlen(words), NULL, &buf));
    ck_assert_ok(job_buf_write(buf, words, strlen(words)));
    return buf;
}

static void fill(int i)
{
    const char *const answers[PLACES] = {"a", "b", "c", "d"};
    struct job_buf *buf = text(answers[i]);
    ck_assert_ok(job_place_fill(&places[i], &buf));
    ck_assert_ptr_null(buf);
    memset(&places[i], 0xEE, sizeof places[i]);   /* ours again at once */
}

static void finish(void)
{
    ck_assert_ok(job_stream_finish(&stream, 20000000));   /* which ends the loop: nobody answers */
}

static void expect(const char *words)
{
    char got[64] = {0};
    in_sent = finish;
    ck_assert_int_eq(job_loop_run(loop), 0);
    size_t len = fixture_read(peer, got, sizeof got - 1);
    ck_assert_uint_eq(len, strlen(words));
    ck_assert_str_eq(got, words);
}

START_TEST(what_fills_a_place_counts_for_the_high_mark)
{
    ck_assert_ok(job_stream_set_marks(&stream, 10, 1));
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    struct job_buf *buf = text("more than ten");
    ck_assert_ok(job_place_fill(&places[0], &buf));
    ck_assert(job_stream_is_full(&stream));

    in_writable = finish;   /* before it the loop does not end */
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(writables, 1);
    ck_assert(!job_stream_is_full(&stream));
}
END_TEST

/* All orders in which four places are filled, with something sent behind each: 24 of them. */
START_TEST(answers_go_out_in_the_order_of_their_places)
{
    int left[PLACES] = {0, 1, 2, 3};
    const char *const between[PLACES] = {"1", "2", "3", "4"};
    ck_assert_ok(job_stream_write(&stream, "0", 1));
    for (int i = 0; i < PLACES; i++) {
        ck_assert_ok(job_stream_reserve(&stream, &places[i]));
        ck_assert_ok(job_stream_write(&stream, between[i], 1));
        ck_assert_ok(job_stream_write(&stream, ".", 1));
    }
    int order = _i;
    for (int count = PLACES; count > 0; count--) {
        int pick = order % count;
        order /= count;
        fill(left[pick]);
        left[pick] = left[count - 1];
    }
    ck_assert_uint_eq(job_stream_queued(&stream), 13);

    expect("0a1.b2.c3.d4.");
}
END_TEST

START_TEST(a_place_that_is_given_up_lets_the_rest_go_on)
{
    for (int i = 0; i < 3; i++) {
        ck_assert_ok(job_stream_reserve(&stream, &places[i]));
        ck_assert_ok(job_stream_write(&stream, i == 0 ? "x" : "y", 1));
    }
    job_place_abandon(&places[1]);
    job_place_abandon(&places[1]);
    job_place_abandon(NULL);
    fill(2);
    job_place_abandon(&places[0]);

    expect("xycy");
}
END_TEST

/* A buf of its own, the room of what is queued before, nothing at all, and more than a slot has. */
START_TEST(what_is_written_into_a_place_goes_out_in_its_order)
{
    static char large[20000], got[20016];
    memset(large, 'x', sizeof large);
    for (int i = 0; i < PLACES; i++) {
        ck_assert_ok(job_stream_reserve(&stream, &places[i]));
        ck_assert_ok(job_stream_write(&stream, ",", 1));
    }
    ck_assert_ok(job_place_write(&places[3], large, sizeof large));
    ck_assert_ok(job_place_write(&places[1], "b", 1));
    ck_assert_int_eq(job_place_write(&places[1], "b", 1), -ECANCELED);
    ck_assert_ok(job_place_write(&places[0], "a", 1));
    ck_assert_ok(job_place_write(&places[2], NULL, 0));
    ck_assert_uint_eq(job_stream_queued(&stream), 2 + sizeof large + PLACES);
    in_sent = finish;

    ck_assert_int_eq(job_loop_run(loop), 0);

    size_t len = fixture_read(peer, got, sizeof got);
    ck_assert_uint_eq(len, 2 + sizeof large + PLACES);
    ck_assert_mem_eq(got, "a,b,,x", 6);
    ck_assert_mem_eq(got + 5, large, sizeof large);
    ck_assert_int_eq(got[len - 1], ',');
}
END_TEST

static struct job_timer timer;

static void fills_late(struct job_timer *t)
{
    ck_assert_uint_eq(closes, 0);
    fill(0);
    job_timer_close(t, NULL);
}

START_TEST(finish_waits_for_an_open_place)
{
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    ck_assert_ok(job_stream_write(&stream, "!", 1));
    ck_assert_ok(job_stream_finish(&stream, 10000 * (uint64_t)MS));
    shutdown(peer, SHUT_WR);   /* the peer does not hold it up */
    ck_assert_int_eq(job_stream_reserve(&stream, &places[1]), -EPIPE);
    ck_assert_ok(job_timer_open(loop, &timer, fills_late));
    ck_assert_ok(job_timer_start(&timer, 20000000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    char got[8] = {0};
    ck_assert_uint_eq(fixture_read(peer, got, sizeof got), 2);
    ck_assert_str_eq(got, "a!");
    ck_assert_int_eq(job_stream_status(&stream), 0);
}
END_TEST

START_TEST(a_place_that_nobody_fills_is_waited_for_no_longer_than_the_linger)
{
    struct job_buf *late = text("late");
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    ck_assert_ok(job_stream_write(&stream, "behind", 6));
    ck_assert_ok(job_stream_finish(&stream, 20 * MS));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(job_stream_status(&stream), -ETIMEDOUT);
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, -ETIMEDOUT);
    ck_assert_int_eq(job_place_fill(&places[0], &late), -ECANCELED);
    job_buf_free(&late);
}
END_TEST

static void shutdown_is_over(void)
{
    char got[8] = {0};
    ck_assert_uint_eq(fixture_read(peer, got, sizeof got), 1);   /* and the end of file */
    job_stream_close(&stream);
}

START_TEST(shutdown_waits_for_open_places)
{
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    ck_assert_ok(job_stream_shutdown(&stream));
    fill(0);
    in_sent = shutdown_is_over;

    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(sents, 1);
}
END_TEST

START_TEST(close_and_failure_forget_the_places_and_the_bufs_stay_with_who_has_them)
{
    struct job_buf *buf = text("late");
    struct job_counts counts;
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    ck_assert_ok(job_stream_reserve(&stream, &places[1]));
    ck_assert_ok(job_stream_write(&stream, "behind", 6));
    if (_i == 0) {
        job_stream_close(&stream);
    } else {
        close(peer);
        peer = -1;
        struct job_buf *first = text("first");
        ck_assert_ok(job_place_fill(&places[0], &first));   /* EPIPE */
        ck_assert_int_eq(job_loop_run(loop), 0);
        ck_assert_uint_eq(ends, 1);
    }
    ck_assert_int_eq(job_place_fill(&places[1], &buf), -ECANCELED);
    ck_assert_ptr_nonnull(buf);
    job_place_abandon(&places[1]);
    job_buf_free(&buf);
    ck_assert_int_eq(job_loop_run(loop), 0);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
}
END_TEST

static struct job_place many[STREAM_PLACES_MAX + 1];

static void reserve_again(void)
{
    ck_assert_ok(job_stream_reserve(&stream, &many[STREAM_PLACES_MAX]));
    job_stream_close(&stream);
}

START_TEST(too_many_places_are_refused_and_writable_comes_when_there_is_room)
{
    for (int i = 0; i < STREAM_PLACES_MAX; i++)
        ck_assert_ok(job_stream_reserve(&stream, &many[i]));
    ck_assert_int_eq(job_stream_reserve(&stream, &many[STREAM_PLACES_MAX]), -EAGAIN);
    in_writable = reserve_again;
    job_place_abandon(&many[STREAM_PLACES_MAX / 2]);
    ck_assert_uint_eq(writables, 0);   /* not inside the call */

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(writables, 1);
}
END_TEST

START_TEST(bad_arguments_of_places_and_notices_change_nothing)
{
    struct job_buf *buf = text("x"), *none = NULL;
    struct job_notice notice = {0};
    struct job_place never = {0};
    ck_assert_int_eq(job_stream_reserve(NULL, &places[0]), -EINVAL);
    ck_assert_int_eq(job_stream_reserve(&stream, NULL), -EINVAL);
    ck_assert_int_eq(job_place_fill(NULL, &buf), -EINVAL);
    ck_assert_int_eq(job_place_fill(&never, &none), -EINVAL);
    ck_assert_int_eq(job_place_fill(&never, &buf), -ECANCELED);
    ck_assert_int_eq(job_place_write(NULL, "x", 1), -EINVAL);
    ck_assert_int_eq(job_place_write(&never, "x", 1), -ECANCELED);
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    ck_assert_int_eq(job_place_write(&places[0], NULL, 1), -EINVAL);
    ck_assert_int_eq(job_place_write(&places[0], "x", (1U << 30) + 1), -EINVAL);
    ck_assert_int_eq(job_stream_notify(NULL, &notice), -EINVAL);
    ck_assert_int_eq(job_stream_notify(&stream, NULL), -EINVAL);
    job_stream_close(&stream);
    ck_assert_int_eq(job_place_write(&places[0], "x", 1), -ECANCELED);
    ck_assert_int_eq(job_stream_reserve(&stream, &places[0]), -ECANCELED);
    ck_assert_int_eq(job_stream_notify(&stream, &notice), -ECANCELED);
    ck_assert_int_eq(job_loop_run(loop), 0);
    job_buf_free(&buf);
}
END_TEST

struct note {
    struct job_notice notice;
    unsigned sent, released;
    int status;
    bool ends_it;
};

static struct note notes[4];
static unsigned told;

static void note_sent(struct job_notice *notice, int status)
{
    struct note *note = job_container_of(notice, struct note, notice);
    ck_assert_ptr_eq(note, &notes[told]);   /* in order */
    ck_assert_uint_eq(closes, 0);
    told++;
    note->sent++;
    note->status = status;
}

static void note_released(struct job_notice *notice)
{
    struct note *note = job_container_of(notice, struct note, notice);
    ck_assert_uint_eq(note->sent, 1);
    note->released++;
    bool ends_it = note->ends_it;
    memset(notice, 0xEE, sizeof *notice);   /* ours again */
    if (ends_it)
        job_stream_close(&stream);
}

static void notify(int i)
{
    notes[i] = (struct note){.notice = {.sent = note_sent, .released = note_released}};
    ck_assert_ok(job_stream_notify(&stream, &notes[i].notice));
    ck_assert_uint_eq(notes[i].sent, 0);
}

static void nobody_behind_it_was_told(struct job_timer *t)
{
    if (job_stream_sent(&stream) < BIG || notes[1].sent == 0) {
        ck_assert_ok(job_timer_start(t, MS));
        return;
    }
    ck_assert_uint_eq(notes[2].sent, 0);
    fills_late(t);
}

START_TEST(a_notice_comes_when_all_before_it_was_taken_and_not_before_places_that_are_open)
{
    pthread_t thread;
    static char big[BIG];
    told = 0;
    notify(0);                                              /* nothing is before it */
    ck_assert_ok(job_stream_write(&stream, big, BIG));
    notify(1);
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    notify(2);
    ck_assert_ok(job_stream_write(&stream, "behind", 6));
    notify(3);
    notes[3].ends_it = true;
    ck_assert_ok(job_timer_open(loop, &timer, nobody_behind_it_was_told));
    ck_assert_ok(job_timer_start(&timer, 20000000));
    ck_assert_int_eq(pthread_create(&thread, NULL, reads_all, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    for (int i = 0; i < 4; i++) {
        ck_assert_uint_eq(notes[i].sent, 1);
        ck_assert_uint_eq(notes[i].released, 1);
        ck_assert_int_eq(notes[i].status, 0);
    }
    ck_assert_uint_eq(job_stream_sent(&stream), BIG + 7);
}
END_TEST

START_TEST(notices_of_what_was_not_sent_say_why_and_come_before_closed)
{
    static char big[BIG];
    told = 0;
    ck_assert_ok(job_stream_write(&stream, big, BIG));
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    notify(0);
    notify(1);
    if (_i == 0) {
        job_stream_close(&stream);
        ck_assert_uint_eq(told, 0);
    } else {
        in_sent = close_it;
        close(peer);
        peer = -1;
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(told, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(notes[i].status, _i == 0 ? -ECANCELED : job_stream_status(&stream));
        ck_assert_int_lt(notes[i].status, 0);
        ck_assert_uint_eq(notes[i].released, 1);
    }
}
END_TEST

static struct job_buf *hoard[4096];
static int hoarded;
static bool written;

static void frees_one(struct job_timer *t)
{
    ck_assert_uint_eq(writables, 0);
    for (int left = hoarded / 2; hoarded > left;)   /* more than the reserve, a quarter */
        job_buf_free(&hoard[--hoarded]);
    job_timer_close(t, NULL);
}

static void write_again(void)
{
    if (!written)
        written = job_place_write(&places[0], "n", 1) == 0;   /* it was reserved still */
    if (written && job_stream_write(&stream, "ow", 2) == 0)
        finish();
}

START_TEST(a_write_without_memory_is_followed_by_writable_when_some_is_freed)
{
    struct job_runtime *small = NULL;
    struct job_loop *other = NULL;
    int fds[2];
    job_stream_close(&stream);
    ck_assert_int_eq(job_loop_run(loop), 0);
    closes = 0;
    struct job_runtime_options options = {.memory_limit_bytes = 8U << 20, .log = fixture_log};
    ck_assert_ok(job_runtime_open(&small, &options));
    struct job_loop_options loop_options = {.receive_slots = 4, .receive_slot_bytes = 4096};
    ck_assert_ok(job_loop_open(small, &other, &loop_options));
    fixture_pair(fds);
    ck_assert_ok(job_stream_adopt(other, &stream, fds[1], &events));
    for (hoarded = 0; job_buf_alloc(job_runtime_arena(small), 1, NULL, &hoard[hoarded]) == 0; hoarded++)
        ck_assert_int_lt(hoarded, 4000);
    ck_assert_int_eq(job_stream_write(&stream, "x", 1), -ENOMEM);
    ck_assert_ok(job_stream_reserve(&stream, &places[0]));
    ck_assert_int_eq(job_place_write(&places[0], "x", 1), -ENOMEM);
    written = false;
    in_writable = write_again;
    ck_assert_ok(job_timer_open(other, &timer, frees_one));
    ck_assert_ok(job_timer_start(&timer, 20000000));

    ck_assert_int_eq(job_loop_run(other), 0);

    char got[8] = {0};
    ck_assert_uint_eq(fixture_read(fds[0], got, sizeof got), 3);
    ck_assert_str_eq(got, "now");
    ck_assert_uint_ge(writables, 1);
    while (hoarded > 0)
        job_buf_free(&hoard[--hoarded]);
    close(fds[0]);
    ck_assert_int_eq(job_loop_close(&other, 0), 0);
    fixture_close(small);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream place");
    TCase *tcase = tcase_create("stream place");
    tcase_add_checked_fixture(tcase, setup, stream_done);
    tcase_set_timeout(tcase, 5);
    int orders = 24;
    tcase_add_loop_test(tcase, answers_go_out_in_the_order_of_their_places, 0, orders);
    tcase_add_test(tcase, what_fills_a_place_counts_for_the_high_mark);
    tcase_add_test(tcase, what_is_written_into_a_place_goes_out_in_its_order);
    tcase_add_test(tcase, a_place_that_is_given_up_lets_the_rest_go_on);
    tcase_add_test(tcase, finish_waits_for_an_open_place);
    tcase_add_test(tcase, a_place_that_nobody_fills_is_waited_for_no_longer_than_the_linger);
    tcase_add_test(tcase, shutdown_waits_for_open_places);
    tcase_add_loop_test(tcase, close_and_failure_forget_the_places_and_the_bufs_stay_with_who_has_them, 0, 2);
    tcase_add_test(tcase, too_many_places_are_refused_and_writable_comes_when_there_is_room);
    tcase_add_test(tcase, bad_arguments_of_places_and_notices_change_nothing);
    tcase_add_test(tcase, a_notice_comes_when_all_before_it_was_taken_and_not_before_places_that_are_open);
    tcase_add_loop_test(tcase, notices_of_what_was_not_sent_say_why_and_come_before_closed, 0, 2);
    tcase_add_test(tcase, a_write_without_memory_is_followed_by_writable_when_some_is_freed);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
