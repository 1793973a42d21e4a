/* test_ports.c — ports on real threads: every message arrives once and in order, or comes back, or is counted as dropped.
 *
 * No time-out heals anything: a lost wake-up hangs until the runner ends the test.
 */
#include <stdatomic.h>

#include "support/fixture.h"

enum { SENDERS = 8 };

static struct job_runtime *runtime;

/* A thread with a loop and one port. */
struct side {
    pthread_t thread;
    struct job_loop *loop;
    struct job_end *end;
    struct job_port port;
    struct job_call call;
    struct random random;
    uint64_t posted, limit, received, closed;
    bool is_flooding;
};

struct note {
    uint32_t sender, number;
    uint8_t more[56];
};

static void setup(void)
{
    runtime = fixture_runtime();
}

static void teardown(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static uint64_t dropped(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.dropped_messages;
}

static int post_next(struct side *side)
{
    struct note note = {.sender = 0, .number = (uint32_t)side->posted};
    struct job_buf *buf = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    bool has_buf = random_below(&side->random, 16) == 0;
    if (has_buf) {
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        ck_assert_ok(job_buf_write(buf, &note.number, sizeof note.number));
    }
    struct job_post post = {&note, random_below(&side->random, 8) ? 8 : sizeof note, &item, has_buf};
    int err = job_port_post(&side->port, &post);
    ck_assert(err == 0 || err == -EAGAIN || err == -EPIPE);
    if (err < 0)
        job_buf_free(&buf);   /* still ours */
    return err;
}

static void flood(struct side *side)
{
    while (side->posted < side->limit && post_next(side) == 0)
        side->posted++;
    if (side->posted == side->limit)
        job_port_close(&side->port);
}

static void on_message(struct job_port *port, struct job_message *message)
{
    struct side *side = job_container_of(port, struct side, port);
    const struct note *note = job_message_bytes(message, NULL);
    ck_assert_uint_eq(note->number, side->received);
    if (job_message_count(message) > 0) {
        uint32_t number;
        struct job_buf *buf = job_message_take_buf(message, 0);
        ck_assert_ok(job_buf_read(buf, 0, &number, sizeof number));
        ck_assert_uint_eq(number, note->number);
        job_buf_free(&buf);
    }
    side->received++;
}

static void on_writable(struct job_port *port)
{
    flood(job_container_of(port, struct side, port));
}

static void on_closed(struct job_port *port)
{
    job_container_of(port, struct side, port)->closed++;
}

static const struct job_port_events events = {.message = on_message, .writable = on_writable, .closed = on_closed};

static void begin(struct job_call *call)
{
    flood(job_container_of(call, struct side, call));
}

static void *run_side(void *arg)
{
    struct side *side = arg;
    ck_assert_ok(job_loop_open(runtime, &side->loop, NULL));
    ck_assert_ok(job_port_open(side->loop, &side->port, &side->end, &events));
    if (side->is_flooding) {
        side->call.run = begin;
        ck_assert_ok(job_loop_call(side->loop, &side->call));
    }
    ck_assert_int_eq(job_loop_run(side->loop), 0);
    ck_assert_ok(job_loop_close(&side->loop, 0));
    return NULL;
}

static void start(struct side *side, struct random *random)
{
    side->random.state = random_next(random);
    ck_assert_int_eq(pthread_create(&side->thread, NULL, run_side, side), 0);
}

/* Channels of one slot up to many, floods short and long. */
START_TEST(P08_all_that_was_posted_before_close_arrives_in_order_across_threads)
{
    struct random random = fixture_random("P08");
    unsigned rounds = fixture_rounds("P08_ROUNDS", 300);
    for (unsigned round = 0; round < rounds; round++) {
        struct side sides[2] = {{.is_flooding = true}, {0}};
        struct job_channel_options options = {.messages_max = (unsigned)(1 + random_below(&random, 64))};
        sides[0].limit = random_below(&random, round % 10 == 0 && round < 300 ? 20000 : 50);
        ck_assert_ok(job_channel_open(runtime, &sides[0].end, &sides[1].end, &options));
        for (unsigned i = 0; i < 2; i++)
            start(&sides[i], &random);
        for (unsigned i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_join(sides[i].thread, NULL), 0);
        ck_assert_uint_eq(sides[1].received, sides[0].limit);
        ck_assert_uint_eq(sides[0].closed + sides[1].closed, 2);
    }
    ck_assert_uint_eq(dropped(), 0);
}
END_TEST

START_TEST(both_ends_flood_and_close_and_nothing_is_lost_without_a_count)
{
    struct random random = fixture_random("both");
    unsigned rounds = fixture_rounds("BOTH_ROUNDS", 300);
    for (unsigned round = 0; round < rounds; round++) {
        struct side sides[2] = {{.is_flooding = true}, {.is_flooding = true}};
        struct job_channel_options options = {.messages_max = (unsigned)(1 + random_below(&random, 64))};
        uint64_t before = dropped();
        ck_assert_ok(job_channel_open(runtime, &sides[0].end, &sides[1].end, &options));
        for (unsigned i = 0; i < 2; i++) {
            sides[i].limit = random_below(&random, 200);
            start(&sides[i], &random);
        }
        for (unsigned i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_join(sides[i].thread, NULL), 0);
        for (unsigned i = 0; i < 2; i++)
            ck_assert_uint_le(sides[i].received, sides[1 - i].posted);
        uint64_t accounted = sides[0].received + sides[1].received + dropped() - before;
        ck_assert_uint_eq(accounted, sides[0].posted + sides[1].posted);
    }
}
END_TEST

static unsigned each;
static uint32_t next_of[SENDERS];
static struct job_sender *senders[SENDERS];

static void *post_each(void *arg)
{
    uint32_t index = (uint32_t)(uintptr_t)arg;
    unsigned looks = 0;
    for (uint32_t i = 0; i < each;) {
        struct note note = {index, i, {0}};
        int err = job_sender_post(senders[index], &(struct job_post){.bytes = &note, .len = sizeof note});
        if (err == -EAGAIN) {
            fixture_pause(&looks);
            continue;
        }
        ck_assert_ok(err);
        i++;
    }
    job_sender_close(&senders[index]);
    return NULL;
}

static void on_note(struct job_port *port, struct job_message *message)
{
    const struct note *note = job_message_bytes(message, NULL);
    ck_assert_uint_eq(note->number, next_of[note->sender]);
    next_of[note->sender]++;
    job_container_of(port, struct side, port)->received++;
}

static const struct job_port_events note_events = {.message = on_note, .closed = on_closed};

/* Also P29: one wake-up serves many posts. */
START_TEST(P28_many_senders_reach_one_port_each_in_its_own_order)
{
    struct side side = {0};
    struct job_end *ends[2];
    pthread_t threads[SENDERS];
    each = fixture_rounds("P28_EACH", 20000);
    memset(next_of, 0, sizeof next_of);
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_loop_open(runtime, &side.loop, NULL));
    ck_assert_ok(job_port_open(side.loop, &side.port, &ends[0], &note_events));
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_ok(job_end_sender(ends[1], &senders[i]));
    job_end_close(&ends[1]);
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_each, (void *)(uintptr_t)i), 0);

    ck_assert_int_eq(job_loop_run(side.loop), 0);

    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(side.received, (uint64_t)each * SENDERS);
    ck_assert_uint_eq(side.closed, 1);
    struct job_loop_stats stats;
    job_loop_stats(side.loop, &stats);
    ck_assert_uint_le(stats.mails, side.received);
    ck_assert_uint_le(stats.wakes, stats.mails);   /* P29: at most one wake a sleep, never one a message */
    ck_assert_ok(job_loop_close(&side.loop, 0));
}
END_TEST

/* An end goes round among threads without loops while its peer posts. */
struct hop {
    pthread_t thread;
    struct job_end *in, *out;
    unsigned rounds;
    struct random random;
};

static uint32_t expected;

static void *hop(void *arg)
{
    struct hop *hop = arg;
    struct job_message *carrier = NULL, *message = NULL;
    while (job_end_receive(hop->in, &carrier, -1) == 0) {
        struct job_end *end = job_message_take_end(carrier, 0);
        job_message_free(&carrier);
        int err = 0;
        for (uint64_t n = random_below(&hop->random, 4); n > 0 && err == 0; n--) {
            err = job_end_receive(end, &message, (int64_t)random_below(&hop->random, 3) * 20000 - 20000);
            if (err == 0) {
                const struct note *note = job_message_bytes(message, NULL);
                ck_assert_uint_eq(note->number, expected);
                expected++;
                job_message_free(&message);
            }
            if (err == -EAGAIN || err == -ETIMEDOUT)
                err = 0;
        }
        struct job_item item = {.kind = JOB_ITEM_END, .end = &end};
        if (err == -EPIPE) {
            job_end_close(&end);
            break;
        }
        ck_assert_ok(job_end_post(hop->out, &(struct job_post){.items = &item, .count = 1}));
    }
    job_end_close(&hop->out);
    job_end_close(&hop->in);
    return NULL;
}

START_TEST(an_end_that_goes_round_receives_all_in_order)
{
    struct random random = fixture_random("hop");
    struct hop hops[2];
    struct job_end *ends[2], *first = NULL;
    each = fixture_rounds("HOP_EACH", 5000);
    expected = 0;
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], &(struct job_channel_options){.messages_max = 16}));
    ck_assert_ok(job_channel_open(runtime, &hops[0].out, &hops[1].in, NULL));
    ck_assert_ok(job_channel_open(runtime, &hops[1].out, &hops[0].in, NULL));
    struct job_item item = {.kind = JOB_ITEM_END, .end = &ends[1]};
    ck_assert_ok(job_end_post(hops[1].out, &(struct job_post){.items = &item, .count = 1}));   /* to hops[0] */
    for (unsigned i = 0; i < 2; i++) {
        hops[i].random.state = random_next(&random);
        ck_assert_int_eq(pthread_create(&hops[i].thread, NULL, hop, &hops[i]), 0);
    }
    for (uint32_t i = 0, looks = 0; i < each;) {
        struct note note = {0, i, {0}};
        int err = job_end_post(ends[0], &(struct job_post){.bytes = &note, .len = sizeof note});
        if (err == -EAGAIN) {
            fixture_pause(&looks);
            continue;
        }
        ck_assert_ok(err);
        i++;
    }
    job_end_close(&ends[0]);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(hops[i].thread, NULL), 0);
    ck_assert_uint_eq(expected, each);
    job_end_close(&first);
}
END_TEST

/* A request that travels by its address, with a buf that it points at. */
struct request {
    struct job_buf *buf;
    atomic_bool is_received;
};

static void *takes_requests(void *arg)
{
    struct job_end *end = arg;
    struct job_message *message = NULL;
    unsigned looks = 0;
    int err;
    while ((err = job_end_receive(end, &message, 0)) != -EPIPE) {
        if (err < 0) {
            fixture_pause(&looks);
            continue;
        }
        struct request *request;
        memcpy(&request, job_message_bytes(message, NULL), sizeof request);
        request->buf = job_message_take_buf(message, 0);   /* its own memory now: nobody else writes there */
        job_message_free(&message);
        request->is_received = true;
    }
    job_end_close(&end);
    return NULL;
}

START_TEST(a_post_leaves_its_pointers_alone_once_the_receiver_may_have_them)
{
    struct job_end *ours = NULL, *theirs = NULL;
    pthread_t thread;
    ck_assert_ok(job_channel_open(runtime, &ours, &theirs, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, takes_requests, theirs), 0);
    for (unsigned i = 0; i < 20000; i++) {
        struct request request = {.is_received = false}, *address = &request;
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &request.buf));
        struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &request.buf};
        ck_assert_ok(job_end_post(ours, &(struct job_post){&address, sizeof address, &item, 1}));
        for (unsigned looks = 0; !request.is_received; fixture_pause(&looks)) {
        }
        ck_assert_ptr_nonnull(request.buf);
        job_buf_free(&request.buf);
    }
    job_end_close(&ours);
    pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ports");
    TCase *tcase = tcase_create("ports");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, P08_all_that_was_posted_before_close_arrives_in_order_across_threads);
    tcase_add_test(tcase, both_ends_flood_and_close_and_nothing_is_lost_without_a_count);
    tcase_add_test(tcase, P28_many_senders_reach_one_port_each_in_its_own_order);
    tcase_add_test(tcase, a_post_leaves_its_pointers_alone_once_the_receiver_may_have_them);
    tcase_add_test(tcase, an_end_that_goes_round_receives_all_in_order);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
