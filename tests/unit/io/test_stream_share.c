/* test_stream_share.c — streams that stop at the default mark leave memory for the others, in an arena that is much smaller than what their
 * peers would have them hold.
 */
#include "base/root.h"
#include "support/fixture.h"

/* Nobody else is needed to get on, so looks from this loop that find nothing new say that it does not. Some ten are usual, with tiny bounds
 * 400. */
enum { GREEDY_MAX = 200, ROUNDS = 50, MESSAGE = 3000, LIMIT = 8 << 20, LOOKS_MAX = 50000 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_stream streams[GREEDY_MAX + 1];
static int peers[GREEDY_MAX + 1];
static struct job_timer pump;
static unsigned rounds, closes, count, looks;   /* looks since something was received */
static uint64_t pumped;

/* An echo that heeds the mark, as the guide has it. */
static void on_data(struct job_stream *stream, struct job_buf **in)
{
    ck_assert_ok(job_stream_send(stream, in));
    if (job_stream_is_full(stream))
        job_stream_pause(stream);
}

static void on_writable(struct job_stream *stream)
{
    job_stream_resume(stream);
}

static void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    closes++;
}

static const struct job_stream_events events = {
    .data = on_data, .end = on_end, .writable = on_writable, .closed = on_closed};

static void setup(void)
{
    struct job_runtime_options options = {.memory_limit_bytes = LIMIT, .log = fixture_log};
    struct job_loop_options loop_options = {.receive_slots = 8, .receive_slot_bytes = 4096};
    ck_assert_ok(job_runtime_open(&runtime, &options));
    ck_assert_ok(job_loop_open(runtime, &loop, &loop_options));
    rounds = closes = looks = 0;
    pumped = 0;
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static void adopt(unsigned i)
{
    int fds[2];
    fixture_pair(fds);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    peers[i] = fds[0];
    ck_assert_ok(job_stream_adopt(loop, &streams[i], fds[1], &events));
}

/* They send whatever is taken, and read nothing. True: something was. */
static bool stuff(unsigned i)
{
    static const char bytes[65536];
    ssize_t n = send(peers[i], bytes, sizeof bytes, MSG_NOSIGNAL);
    pumped += n > 0 ? (uint64_t)n : 0;
    return n > 0;
}

static void close_all(void)
{
    job_timer_close(&pump, NULL);
    for (unsigned i = 0; i <= count; i++) {
        job_stream_close(&streams[i]);
        close(peers[i]);
    }
}

/* Asks once more when the whole answer is there. */
static void ask(void)
{
    static char message[MESSAGE], answer[MESSAGE];
    static unsigned have = MESSAGE;
    ck_assert_uint_lt(looks++, LOOKS_MAX);
    ssize_t n = recv(peers[count], answer, MESSAGE - have, 0);
    have += n > 0 ? (unsigned)n : 0;
    if (have < MESSAGE)
        return;
    rounds++;
    have = looks = 0;
    ck_assert_int_eq(send(peers[count], message, MESSAGE, MSG_NOSIGNAL), MESSAGE);
}

static void pump_all(struct job_timer *timer)
{
    static unsigned quiet;   /* rounds without a greedy one that could send */
    bool is_quiet = true;
    for (unsigned i = 0; i < count; i++)
        is_quiet &= !stuff(i);
    quiet = is_quiet ? quiet + 1 : 0;
    if (quiet > 3)
        ask();
    if (rounds > ROUNDS)
        return close_all();
    ck_assert_ok(job_timer_start(timer, 200000));
}

START_TEST(peers_that_do_not_read_take_no_memory_from_those_who_do)
{
    count = (unsigned)_i;
    if (count == GREEDY_MAX && !feature_is_on(&((struct root *)runtime)->features, FEATURE_RECEIVE_CAP))
        return;   /* a kernel that brings as much as there is: docs/decisions/033 */
    for (unsigned i = 0; i <= count; i++)
        adopt(i);
    ck_assert_ok(job_timer_open(loop, &pump, pump_all));
    ck_assert_ok(job_timer_start(&pump, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_gt(rounds, ROUNDS);
    ck_assert_uint_eq(closes, count + 1);
    if (count == GREEDY_MAX)
        ck_assert_uint_gt(pumped, 2 * LIMIT);   /* they would have filled it */
}
END_TEST

/* Both ends in one arena: each has more to send than there is memory, and each must receive to get on. */
enum { PAIRS = 40, PART = 4096, PARTS = 200 };

struct end {
    struct job_stream stream;
    unsigned sent;
    bool has_ended;            /* the peer has sent all */
    uint64_t received;
};

static struct end ends[2 * PAIRS];

static void send_more(struct end *end)
{
    static const char part[PART];
    while (end->sent < PARTS && !job_stream_is_full(&end->stream)) {
        int err = job_stream_write(&end->stream, part, PART);
        if (err == -ENOMEM)
            return;   /* `writable` comes */
        ck_assert_ok(err);
        end->sent++;
    }
    if (end->sent < PARTS)
        return;
    if (end->has_ended)
        ck_assert_ok(job_stream_finish(&end->stream, 0));
    else
        ck_assert_ok(job_stream_shutdown(&end->stream));
}

static void counts(struct job_stream *stream, struct job_buf **in)
{
    job_container_of(stream, struct end, stream)->received += job_buf_len(*in);
}

static void goes_on(struct job_stream *stream)
{
    send_more(job_container_of(stream, struct end, stream));
}

static void ended(struct job_stream *stream, int status)
{
    struct end *end = job_container_of(stream, struct end, stream);
    ck_assert_int_eq(status, 0);
    end->has_ended = true;
    if (end->sent == PARTS)
        ck_assert_ok(job_stream_finish(stream, 0));
}

static void looks_whether_it_goes_on(struct job_timer *timer)
{
    static uint64_t before;
    uint64_t now = 0;
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        now += ends[i].received;
    looks = now == before ? looks + 1 : 0;
    before = now;
    ck_assert_uint_lt(looks, LOOKS_MAX);
    if (now == (uint64_t)2 * PAIRS * PARTS * PART)
        job_timer_close(timer, NULL);
    else
        ck_assert_ok(job_timer_start(timer, 200000));
}

START_TEST(both_ends_in_one_small_arena_get_everything)
{
    struct job_timer timer;
    static const struct job_stream_events both = {
        .data = counts, .end = ended, .writable = goes_on, .closed = on_closed};
    for (unsigned i = 0; i < PAIRS; i++) {
        int fds[2];
        fixture_pair(fds);
        for (unsigned n = 0; n < 2; n++) {
            ends[2 * i + n] = (struct end){.sent = 0};
            ck_assert_ok(job_stream_adopt(loop, &ends[2 * i + n].stream, fds[n], &both));
        }
    }
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        send_more(&ends[i]);
    ck_assert_ok(job_timer_open(loop, &timer, looks_whether_it_goes_on));
    ck_assert_ok(job_timer_start(&timer, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(closes, 2 * PAIRS);
    for (unsigned i = 0; i < 2 * PAIRS; i++)
        ck_assert_uint_eq(ends[i].received, (uint64_t)PARTS * PART);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream share");
    TCase *tcase = tcase_create("stream share");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 10);
    tcase_add_loop_test(tcase, peers_that_do_not_read_take_no_memory_from_those_who_do, 10, 11);
    tcase_add_loop_test(tcase, peers_that_do_not_read_take_no_memory_from_those_who_do, GREEDY_MAX, GREEDY_MAX + 1);
    tcase_add_test(tcase, both_ends_in_one_small_arena_get_everything);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
