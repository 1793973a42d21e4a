/* test_stream_cancel.c — ending early what was asked of a stream or another handle, which stays open: in every state that it can be in. */
#include "support/stream.h"

enum { LARGE = 100000 };

static size_t got_len;
static uint8_t *got;

static void keeps(struct job_stream *s, struct job_buf **in)
{
    got = realloc(got, got_len + job_buf_len(*in));
    ck_assert_ok(job_buf_read(*in, 0, got + got_len, job_buf_len(*in)));
    got_len += job_buf_len(*in);
    on_data(s, in);
}

static unsigned connects;
static int connect_status;

static void connected(struct job_stream *s, int status)
{
    connects++;
    connect_status = status;
    job_stream_close(s);
}

static const struct job_stream_events keeping = {
    .data = keeps, .end = on_end, .sent = on_sent, .closed = on_closed, .writable = on_writable,
    .connected = connected};

static void setup(void)
{
    int fds[2];
    got_len = 0;
    got = NULL;
    connects = 0;
    fixture_pair(fds);
    stream_begin(fds, NULL, NULL);
    stream.job_events = &keeping;
}

static void teardown(void)
{
    stream_done();
    free(got);
}

static void stop(void)
{
    job_loop_stop(loop);
}

static struct job_timer timer;
static unsigned ticks;
static void (*at_tick[4])(void);

static void ticked(struct job_timer *t)
{
    if (job_stream_queued(&stream) > 0 && job_stream_sent(&stream) == 0) {   /* the kernel has not begun */
        ck_assert_ok(job_timer_start(t, MS));
        return;
    }
    void (*fn)(void) = at_tick[ticks++];
    if (!fn)
        return job_timer_close(t, NULL);
    ck_assert_ok(job_timer_start(t, 10 * MS));
    fn();
}

/* Each 10 ms after the one before, then the loop goes on by itself. */
static void then(void (*first)(void), void (*second)(void), void (*third)(void))
{
    ticks = 0;
    at_tick[0] = first, at_tick[1] = second, at_tick[2] = third, at_tick[3] = NULL;
    ck_assert_ok(job_timer_open(loop, &timer, ticked));
    ck_assert_ok(job_timer_start(&timer, 10 * MS));
    run();
}

START_TEST(where_nothing_is_under_way_it_says_so)
{
    struct job_stream never = {0};
    for (unsigned what = 1; what <= JOB_STREAM_ALL; what++)
        ck_assert_int_eq(job_stream_cancel(&stream, what), -ENOENT);
    ck_assert_int_eq(job_handle_cancel(&stream.handle), -ENOENT);
    ck_assert_int_eq(job_stream_cancel(&stream, 0), -EINVAL);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_ALL + 1), -EINVAL);
    ck_assert_int_eq(job_stream_cancel(NULL, JOB_STREAM_ALL), -EINVAL);
    ck_assert_int_eq(job_stream_cancel(&never, JOB_STREAM_ALL), -EINVAL);
    ck_assert_int_eq(job_handle_cancel(NULL), -EINVAL);
    ck_assert_int_eq(job_handle_cancel(&never.handle), -EINVAL);
    queue(10);
    close_it();
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), -ECANCELED);
    ck_assert_int_eq(job_handle_cancel(&stream.handle), -ECANCELED);
    run();
    ck_assert_uint_eq(sents, 0);
}
END_TEST

/* Sends. */

START_TEST(what_was_queued_in_this_turn_is_dropped_and_later_sends_go_out)
{
    char bytes[8] = {0};
    queue(1000);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    ck_assert_uint_eq(sents, 0);   /* not inside the call */
    ck_assert_uint_eq(job_stream_queued(&stream), 0);
    in_sent = stop;
    run();
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, -ECANCELED);

    ck_assert_ok(job_stream_write(&stream, "later", 5));
    run();

    ck_assert_int_eq(sent_status, 0);
    ck_assert_uint_eq(fixture_read(peer, bytes, 5), 5);
    ck_assert_str_eq(bytes, "later");
}
END_TEST

static uint64_t begun;

static void cancels_the_rest(void)
{
    begun = job_stream_queued(&stream) + job_stream_sent(&stream);
    ck_assert_uint_gt(job_stream_queued(&stream), 0);
    queue(1000);   /* behind what the kernel has */
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), -ENOENT);   /* only what has begun is left */
}

static pthread_t reader;

static void reads(void)
{
    ck_assert_uint_eq(sents, 0);
    ck_assert_int_eq(pthread_create(&reader, NULL, reads_all, NULL), 0);
}

START_TEST(what_the_kernel_has_begun_goes_out_whole)
{
    queue(BIG);
    in_sent = stop;

    then(cancels_the_rest, reads, NULL);

    ck_assert_int_eq(sent_status, -ECANCELED);
    ck_assert_uint_eq(begun, BIG);
    ck_assert_uint_eq(job_stream_sent(&stream), begun);
    ck_assert_ok(job_stream_shutdown(&stream));
    pthread_join(reader, NULL);
}
END_TEST

START_TEST(writable_follows_when_a_cancel_has_emptied_a_full_queue)
{
    ck_assert_ok(job_stream_set_marks(&stream, 1000, 10));
    queue(2000);
    ck_assert(job_stream_is_full(&stream));
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    in_writable = stop;
    run();
    ck_assert_uint_eq(writables, 1);
    ck_assert(!job_stream_is_full(&stream));
}
END_TEST

struct note {
    struct job_notice notice;
    int status;
};

static struct note notes[4];
static unsigned told;

static void note_sent(struct job_notice *notice, int status)
{
    struct note *note = job_container_of(notice, struct note, notice);
    ck_assert_ptr_eq(note, &notes[told]);   /* in order */
    told++;
    note->status = status;
}

static void notify(unsigned i)
{
    notes[i] = (struct note){.notice = {.sent = note_sent}, .status = 1};
    ck_assert_ok(job_stream_notify(&stream, &notes[i].notice));
}

static void queues_and_cancels(void)
{
    queue(1000);
    notify(1);
    queue(1000);
    notify(2);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    queue(1000);
    notify(3);
}

static void nobody_is_told(void)
{
    ck_assert_uint_eq(told, 0);   /* the first waits for the kernel, and the others for the first */
    reads();
}

START_TEST(notices_say_which_sends_were_cancelled_in_order)
{
    told = 0;
    queue(BIG);
    notify(0);
    in_sent = stop;

    then(queues_and_cancels, nobody_is_told, NULL);

    ck_assert_uint_eq(told, 4);
    ck_assert_int_eq(notes[0].status, 0);
    ck_assert_int_eq(notes[1].status, -ECANCELED);
    ck_assert_int_eq(notes[2].status, -ECANCELED);
    ck_assert_int_eq(notes[3].status, 0);
    ck_assert_uint_eq(job_stream_sent(&stream), BIG + 1000);
    ck_assert_ok(job_stream_shutdown(&stream));
    pthread_join(reader, NULL);
}
END_TEST

static unsigned released;

static void note_released(struct job_notice *notice)
{
    (void)notice;
    ck_assert_ptr_null(stream.job_sending);   /* the kernel has read what the notice is about */
    released++;
}

static void cancels_half_of_a_notice(void)
{
    queue(1000);
    notes[0] = (struct note){.notice = {.sent = note_sent, .released = note_released}, .status = 1};
    ck_assert_ok(job_stream_notify(&stream, &notes[0].notice));   /* of what the kernel has, and of what is dropped now */
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
}

START_TEST(a_cancelled_notice_waits_for_what_the_kernel_has_begun)
{
    told = released = 0;
    queue(BIG);
    in_sent = stop;

    then(cancels_half_of_a_notice, nobody_is_told, NULL);

    ck_assert_uint_eq(told, 1);
    ck_assert_int_eq(notes[0].status, -ECANCELED);
    ck_assert_uint_eq(released, 1);
    ck_assert_uint_eq(job_stream_sent(&stream), BIG);
    ck_assert_ok(job_stream_shutdown(&stream));
    pthread_join(reader, NULL);
}
END_TEST

START_TEST(places_stay_and_what_was_behind_them_goes)
{
    struct job_place place;
    char bytes[8] = {0};
    told = 0;
    ck_assert_ok(job_stream_reserve(&stream, &place));
    queue(1000);
    notify(0);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    ck_assert_ok(job_stream_write(&stream, "!", 1));
    struct job_buf *answer = bytes_of(1);
    ck_assert_ok(job_place_fill(&place, &answer));
    in_sent = stop;

    run();

    ck_assert_int_eq(notes[0].status, -ECANCELED);
    ck_assert_uint_eq(fixture_read(peer, bytes, 2), 2);
    ck_assert_str_eq(bytes, "b!");
}
END_TEST

START_TEST(a_stream_that_finishes_or_shuts_down_does_so_without_the_rest)
{
    char byte;
    queue(1000);
    ck_assert_ok(_i ? job_stream_finish(&stream, 10000 * (uint64_t)MS) : job_stream_shutdown(&stream));
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    shutdown(peer, SHUT_WR);
    in_sent = _i ? NULL : close_it;

    run();

    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, -ECANCELED);
    ck_assert_uint_eq(fixture_read(peer, &byte, 1), 0);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(a_stream_that_has_failed_has_nothing_to_cancel)
{
    in_end = stop;
    close(peer);
    peer = -1;
    queue(1000);
    run();
    ck_assert_int_eq(job_handle_cancel(&stream.handle), -ENOENT);
}
END_TEST

/* Expected lengths. */

static size_t expected;

static void cancels_expect(void)
{
    ck_assert_uint_eq(datas, 0);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_EXPECT), 0);
    ck_assert_uint_eq(datas, 0);   /* not inside the call */
}

static void more_comes(void)
{
    fixture_write(peer, "more", 4);
}

static void stop_when_all_is_there(void)
{
    if (got_len == 9)
        stop();
}

START_TEST(what_was_gathered_comes_and_then_data_as_it_comes)
{
    expected = _i & 1 ? LARGE : 100;
    if (_i & 2)
        job_stream_pause(&stream);
    ck_assert_ok(job_stream_expect(&stream, expected));
    fixture_write(peer, "hello", 5);
    in_data = stop_when_all_is_there;

    then(cancels_expect, more_comes, _i & 2 ? stop : NULL);   /* or when all is there */
    if (_i & 2) {
        ck_assert_uint_eq(datas, 0);
        job_stream_resume(&stream);
        run();
    }

    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_EXPECT), -ENOENT);
    ck_assert_mem_eq(got, "hellomore", 9);
    ck_assert_uint_eq(ends, 0);
}
END_TEST

START_TEST(an_expected_length_of_which_nothing_has_come_ends_silently)
{
    ck_assert_ok(job_stream_expect(&stream, _i ? LARGE : 100));
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_EXPECT), 0);
    in_data = stop;
    then(more_comes, NULL, NULL);
    ck_assert_uint_eq(datas, 1);
    ck_assert_mem_eq(got, "more", 4);
    ck_assert_ok(job_stream_expect(&stream, LARGE));   /* the next one is another matter */
}
END_TEST

static void completes_and_cancels(void)
{
    static char rest[LARGE - 5];
    fixture_write(peer, rest, sizeof rest);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_EXPECT), 0);
}

static void stop_when_large(void)
{
    if (got_len == LARGE)
        stop();
}

START_TEST(a_cancel_that_meets_the_last_bytes_loses_none)
{
    ck_assert_ok(job_stream_expect(&stream, LARGE));
    fixture_write(peer, "hello", 5);
    in_data = stop_when_large;
    then(completes_and_cancels, NULL, NULL);
    ck_assert_uint_eq(got_len, LARGE);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_EXPECT), -ENOENT);
}
END_TEST

/* Connections. */

static void refuse(struct job_listener *listener, struct job_incoming *incoming)
{
    (void)incoming;
    job_listener_close(listener, NULL);
}

/* The stream is one that connects, and has something to send. */
static void connect_with(const struct job_stream_events *connecting)
{
    static struct job_listener listener;
    char address[JOB_ADDRESS_TEXT];
    close_it();
    run();
    closes = 0;
    ck_assert_ok(job_listener_open(loop, &listener, NULL, refuse));
    ck_assert_ok(job_listener_address(&listener, address, sizeof address));
    job_handle_unref(&listener.handle);
    ck_assert_ok(job_stream_connect(loop, &stream, address, NULL, connecting));
    queue(10);
}

static void connected_and_stays(struct job_stream *s, int status)
{
    (void)s;
    ck_assert_int_eq(status, 0);
    connects++;
}

START_TEST(what_was_queued_while_it_connects_is_told_as_cancelled_once_it_is_connected)
{
    static const struct job_stream_events staying = {
        .data = keeps, .sent = on_sent, .closed = on_closed, .connected = connected_and_stays};
    connect_with(&staying);
    ck_assert_int_eq(job_stream_cancel(&stream, JOB_STREAM_SEND), 0);
    in_sent = close_it;

    run();

    ck_assert_uint_eq(connects, 1);
    ck_assert_uint_eq(sents, 1);
    ck_assert_int_eq(sent_status, -ECANCELED);
}
END_TEST

START_TEST(a_connection_that_is_cancelled_says_so_once)
{
    connect_with(&keeping);
    ck_assert_int_eq(_i ? job_handle_cancel(&stream.handle) : job_stream_cancel(&stream, JOB_STREAM_CONNECT), 0);
    ck_assert_uint_eq(connects, 0);

    run();

    ck_assert_uint_eq(connects, 1);
    ck_assert_int_eq(connect_status, -ECANCELED);
    ck_assert_uint_eq(ends, 0);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

/* All of a handle. */

static unsigned ran, dones, cancelled_dones;

static void works(struct job_task *task)
{
    ran++;
    while (!job_task_is_cancelled(task))
        sched_yield();
}

static void done(struct job_task *task, int status)
{
    (void)task;
    dones++;
    cancelled_dones += status == -ECANCELED;
    stop();
}

START_TEST(cancel_of_all_ends_sends_and_queued_tasks_and_leaves_the_handle_open)
{
    static struct job_task first, second;
    struct job_pool *pool = NULL;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_init(&first, pool, works, done));
    ck_assert_ok(job_task_init(&second, pool, works, done));
    ck_assert_ok(job_stream_expect(&stream, 100));
    queue(1000);
    ck_assert_ok(job_submit(pool, &first, &stream.handle));
    ck_assert_ok(job_submit(pool, &second, &stream.handle));

    ck_assert_int_eq(job_handle_cancel(&stream.handle), 0);

    in_sent = stop;
    while (dones < 2 || sents == 0)
        run();
    ck_assert_uint_le(ran, 1);   /* one may have begun */
    ck_assert_uint_eq(cancelled_dones, 2 - ran);
    ck_assert_int_eq(sent_status, -ECANCELED);
    ck_assert_int_eq(job_handle_cancel(&stream.handle), -ENOENT);
    ck_assert(!job_handle_is_closing(&stream.handle));
    ck_assert_ok(job_task_fini(&first));
    ck_assert_ok(job_task_fini(&second));
    close_it();
    run();
    ck_assert_int_eq(job_pool_close(&pool), 0);
}
END_TEST

static struct job_file file;
static struct job_file_op ops[2];

static void file_op_ended(struct job_file_op *op, int status, struct job_buf **buf)
{
    (void)op, (void)buf;
    dones++;
    ck_assert(status == -ECANCELED || status == 0);
}

START_TEST(cancel_of_all_ends_each_request_of_a_file)
{
    struct job_buf *none = NULL, *other = NULL;
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    dones = 0;
    ck_assert_ok(job_file_adopt(loop, &file, fds[0]));
    ck_assert_int_eq(job_handle_cancel(&file.handle), -ENOENT);
    ck_assert_ok(job_file_read(&file, &ops[0], &none, 10, JOB_FILE_CURRENT, file_op_ended));
    ck_assert_ok(job_file_read(&file, &ops[1], &other, 10, JOB_FILE_CURRENT, file_op_ended));
    ck_assert_int_eq(job_handle_cancel(&file.handle), 0);
    close(fds[1]);   /* what a thread has begun ends by itself */
    close_it();

    run();

    ck_assert_uint_eq(dones, 2);
    ck_assert(!job_handle_is_closing(&file.handle));
    job_file_close(&file, NULL);
    run();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream cancel");
    TCase *tcase = tcase_create("stream cancel");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, where_nothing_is_under_way_it_says_so);
    tcase_add_test(tcase, what_was_queued_in_this_turn_is_dropped_and_later_sends_go_out);
    tcase_add_test(tcase, what_the_kernel_has_begun_goes_out_whole);
    tcase_add_test(tcase, writable_follows_when_a_cancel_has_emptied_a_full_queue);
    tcase_add_test(tcase, notices_say_which_sends_were_cancelled_in_order);
    tcase_add_test(tcase, a_cancelled_notice_waits_for_what_the_kernel_has_begun);
    tcase_add_test(tcase, places_stay_and_what_was_behind_them_goes);
    tcase_add_loop_test(tcase, a_stream_that_finishes_or_shuts_down_does_so_without_the_rest, 0, 2);
    tcase_add_test(tcase, a_stream_that_has_failed_has_nothing_to_cancel);
    tcase_add_loop_test(tcase, what_was_gathered_comes_and_then_data_as_it_comes, 0, 4);
    tcase_add_loop_test(tcase, an_expected_length_of_which_nothing_has_come_ends_silently, 0, 2);
    tcase_add_test(tcase, a_cancel_that_meets_the_last_bytes_loses_none);
    tcase_add_test(tcase, what_was_queued_while_it_connects_is_told_as_cancelled_once_it_is_connected);
    tcase_add_loop_test(tcase, a_connection_that_is_cancelled_says_so_once, 0, 2);
    tcase_add_test(tcase, cancel_of_all_ends_sends_and_queued_tasks_and_leaves_the_handle_open);
    tcase_add_test(tcase, cancel_of_all_ends_each_request_of_a_file);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
