/* test_reset.c — a peer that resets the connection, in every state of a stream. */
#include "support/stream.h"

enum state {
    RECEIVING,
    PAUSED,
    PAUSED_WITH_DATA,
    RESUME_PENDING,
    SENDING,
    SENDING_WITH_MARKS,
    SHUT_DOWN,
    SHUTDOWN_WANTED,
    PLACE_OPEN,
    EXPECTING_FEW,
    EXPECTING_MANY,
    WITH_TASK,
    TIMED_OUT,
    FINISHING,
    FINISHING_WITH_QUEUE,
    FINISHING_WITH_PLACE,
    STATES,
};

static struct job_pool *pool;
static struct job_place place;
static struct job_task task;
static struct job_timer timer;
static enum state state;
static unsigned dones, steps;

static bool is_finishing(void)
{
    return state == FINISHING || state == FINISHING_WITH_QUEUE || state == FINISHING_WITH_PLACE;
}

static void ended(void)
{
    ck_assert(!is_finishing());
    if (end_status != -ETIMEDOUT)
        close_it();
}

/* After a time-out nobody receives, and sending says that the connection is gone. */
static void sent(void)
{
    if (state == TIMED_OUT && sent_status < 0)
        close_it();
}

static void waits(struct job_task *t)
{
    while (!job_task_is_cancelled(t))
        sched_yield();
}

static void done(struct job_task *t, int status)
{
    (void)t, (void)status;
    ck_assert_uint_eq(closes, 0);
    dones++;
}

static void enter(void)
{
    switch (state) {
    case PAUSED:
    case PAUSED_WITH_DATA:
    case RESUME_PENDING: job_stream_pause(&stream); break;
    case SENDING_WITH_MARKS: ck_assert_ok(job_stream_set_marks(&stream, 1000, 10)); break;
    case PLACE_OPEN:
    case FINISHING_WITH_PLACE: ck_assert_ok(job_stream_reserve(&stream, &place)); break;
    case EXPECTING_FEW: ck_assert_ok(job_stream_expect(&stream, 100)); break;
    case EXPECTING_MANY: ck_assert_ok(job_stream_expect(&stream, 100000)); break;
    case WITH_TASK: ck_assert_ok(job_submit(pool, &task, &stream.handle)); break;
    case TIMED_OUT: ck_assert_ok(job_stream_set_deadline(&stream, 1)); break;
    default: break;
    }
    if (state >= SENDING && state <= PLACE_OPEN && state != SHUT_DOWN)
        queue(BIG);
    if (state == FINISHING_WITH_QUEUE)
        queue(BIG);
    if (state == SHUT_DOWN || state == SHUTDOWN_WANTED)
        ck_assert_ok(job_stream_shutdown(&stream));
    if (is_finishing())
        ck_assert_ok(job_stream_finish(&stream, 60000 * (uint64_t)MS));
}

static void acts(struct job_timer *t)
{
    switch (steps++) {
    case 0: enter(); break;
    case 1:
        if (state == PAUSED_WITH_DATA || state == RESUME_PENDING || state == EXPECTING_FEW || state == EXPECTING_MANY)
            fixture_write(peer, "hello", 5);
        break;
    case 2:
        reset_peer();
        if (state == RESUME_PENDING)
            job_stream_resume(&stream);
        break;
    default:
        if (state == TIMED_OUT && closes == 0 && !job_handle_is_closing(&stream.handle))
            (void)job_stream_write(&stream, "x", 1);
        else
            return job_timer_close(t, NULL);
    }
    ck_assert_ok(job_timer_start(t, 2 * MS));
}

START_TEST(a_reset_is_told_once_or_closes_what_finishes_and_leaves_nothing)
{
    int fds[2], descriptors = fixture_descriptors();
    struct job_buf *late = NULL;
    state = (enum state)_i;
    fixture_tcp_pair(fds);
    stream_begin(fds, NULL, NULL);
    in_end = ended;
    in_sent = sent;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_init(&task, pool, waits, done));
    ck_assert_ok(job_timer_open(loop, &timer, acts));
    ck_assert_ok(job_timer_start(&timer, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(ends, !is_finishing());
    if (!is_finishing())
        ck_assert_int_lt(end_status, 0);
    ck_assert_int_lt(job_stream_status(&stream), 0);
    ck_assert_uint_eq(dones, state == WITH_TASK);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &late));
    if (state == PLACE_OPEN || state == FINISHING_WITH_PLACE)
        ck_assert_int_eq(job_place_fill(&place, &late), -ECANCELED);
    job_buf_free(&late);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reset");
    TCase *tcase = tcase_create("reset");
    tcase_set_timeout(tcase, 10);
    tcase_add_loop_test(tcase, a_reset_is_told_once_or_closes_what_finishes_and_leaves_nothing, 0, STATES);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
