/* test_slow_receiver.c — a receiver that blocks again and again, and senders at full rate: memory stays below the channel's limits, and
 * every message arrives, in order.
 *
 * RECEIVER_SECONDS=60 runs it for a minute.
 */
#include <stdatomic.h>

#include "support/fixture.h"

enum { SENDERS = 2, MESSAGES_MAX = 512, BUF_BYTES = 20000, BYTES_MAX = 2 << 20, BLOCK_EACH = 2000, BLOCK_NS = 2000000 };

struct note {
    uint32_t sender, has_buf;
    uint64_t number;
};

struct from {
    pthread_t thread;
    struct job_loop *loop;
    struct job_sender *sender;
    struct job_call call;
    uint32_t index;
    uint64_t posted, told;
    atomic_ullong refused;
};

static struct job_runtime *runtime;
static struct from from[SENDERS];
static uint64_t next_of[SENDERS], received, used_most;
static unsigned queued_most;
static size_t bytes_most;
static atomic_bool is_over;

static void setup(void)
{
    runtime = fixture_runtime();
}

static void teardown(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    ck_assert_uint_eq(counts.dropped_messages, 0);
    fixture_close(runtime);
}

/* Each eighth message carries a buf. */
static int post_one(struct from *side)
{
    struct note note = {side->index, side->posted % 8 == 0, side->posted};
    struct job_buf *buf = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    if (note.has_buf) {
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), BUF_BYTES, NULL, &buf));
        ck_assert_ok(job_buf_extend(buf, BUF_BYTES));
        memcpy(job_buf_data(buf), &note.number, sizeof note.number);
    }
    int err = job_sender_post(side->sender, &(struct job_post){&note, sizeof note, &item, note.has_buf});
    ck_assert(err == 0 || err == -EAGAIN);
    ck_assert(err == 0 || !note.has_buf || buf);   /* what was refused is still ours */
    job_buf_free(&buf);
    return err;
}

static void on_writable(struct job_sender *sender, void *data);

static void flood(struct from *side)
{
    while (!atomic_load(&is_over)) {
        if (post_one(side) < 0) {
            atomic_fetch_add(&side->refused, 1);
            ck_assert_ok(job_sender_when_writable(side->sender, side->loop, on_writable, side));
            return;
        }
        side->posted++;
    }
    job_loop_stop(side->loop);
}

static void on_writable(struct job_sender *sender, void *data)
{
    struct from *side = data;
    ck_assert_ptr_eq(sender, side->sender);
    side->told++;
    flood(side);
}

static void begin(struct job_call *call)
{
    flood(job_container_of(call, struct from, call));
}

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("an hour has passed");
}

static void *sender_main(void *arg)
{
    struct from *side = arg;
    struct job_timer alive;
    ck_assert_ok(job_loop_open(runtime, &side->loop, NULL));
    ck_assert_ok(job_timer_open(side->loop, &alive, never));
    ck_assert_ok(job_timer_start(&alive, 3600 * UINT64_C(1000000000)));   /* until it is stopped */
    side->call.run = begin;
    ck_assert_ok(job_loop_call(side->loop, &side->call));
    ck_assert_int_eq(job_loop_run(side->loop), 1);
    job_sender_close(&side->sender);
    ck_assert_ok(job_loop_close(&side->loop, 0));
    return NULL;
}

static void look(struct job_port *port)
{
    struct job_arena_stats stats;
    unsigned messages;
    size_t bytes;
    job_port_queued(port, &messages, &bytes);
    job_arena_stats(job_runtime_arena(runtime), &stats);
    queued_most = messages > queued_most ? messages : queued_most;
    bytes_most = bytes > bytes_most ? bytes : bytes_most;
    used_most = stats.used_bytes > used_most ? stats.used_bytes : used_most;
}

static void on_message(struct job_port *port, struct job_message *message)
{
    struct note note;
    memcpy(&note, job_message_bytes(message, NULL), sizeof note);
    ck_assert_uint_eq(note.number, next_of[note.sender]++);
    ck_assert_uint_eq(job_message_count(message), note.has_buf);
    if (note.has_buf) {
        uint64_t number;
        struct job_buf *buf = job_message_take_buf(message, 0);
        ck_assert_ok(job_buf_read(buf, 0, &number, sizeof number));
        ck_assert_uint_eq(number, note.number);
        job_buf_free(&buf);
    }
    if (++received % BLOCK_EACH != 0)
        return;
    look(port);
    (void)nanosleep(&(struct timespec){.tv_nsec = BLOCK_NS}, NULL);   /* it is slow: that is the case */
    look(port);
}

/* And each sender has had to wait: on a busy machine one may not have begun by then. */
static void time_is_over(struct job_timer *timer)
{
    for (unsigned i = 0; i < SENDERS; i++) {
        if (atomic_load(&from[i].refused) == 0)
            return (void)job_timer_start(timer, 10000000);   /* cannot fail: it is open */
    }
    atomic_store(&is_over, true);
    job_timer_close(timer, NULL);
}

START_TEST(P24_a_receiver_that_blocks_and_fast_senders_stay_within_the_limits_and_lose_nothing)
{
    static const struct job_port_events events = {.message = on_message};
    struct job_loop *loop = NULL;
    struct job_end *ours = NULL, *theirs = NULL;
    struct job_port port;
    struct job_timer timer;
    const char *text = getenv("RECEIVER_SECONDS");
    uint64_t seconds = text ? strtoull(text, NULL, 10) : 2;
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    const struct job_channel_options options = {.messages_max = MESSAGES_MAX, .bytes_max = BYTES_MAX};
    ck_assert_ok(job_channel_open(runtime, &ours, &theirs, &options));
    ck_assert_ok(job_port_open(loop, &port, &ours, &events));
    ck_assert_ok(job_timer_open(loop, &timer, time_is_over));
    ck_assert_ok(job_timer_start(&timer, seconds * UINT64_C(1000000000)));
    for (uint32_t i = 0; i < SENDERS; i++) {
        from[i].index = i;
        ck_assert_ok(job_end_sender(theirs, &from[i].sender));
    }
    job_end_close(&theirs);
    for (unsigned i = 0; i < SENDERS; i++)
        ck_assert_int_eq(pthread_create(&from[i].thread, NULL, sender_main, &from[i]), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);   /* until all senders are closed, and all has come */

    for (unsigned i = 0; i < SENDERS; i++) {
        (void)pthread_join(from[i].thread, NULL);
        ck_assert_uint_eq(next_of[i], from[i].posted);
        ck_assert_uint_eq(from[i].told, atomic_load(&from[i].refused));
    }
    ck_assert_uint_le(queued_most, MESSAGES_MAX);
    ck_assert_uint_le(bytes_most, BYTES_MAX);
    /* The bufs that wait lie in slots of 64 KiB; then the messages themselves, and what threads keep for the next ones. */
    ck_assert_uint_le(used_most, (BYTES_MAX / BUF_BYTES + 1) * 65536U + (8U << 20));
    unsigned long long refused = atomic_load(&from[0].refused) + atomic_load(&from[1].refused);
    fprintf(stderr, "slow receiver: %llu messages in %llu s, refused %llu times; at most %u waited, %zu bytes, %llu KiB of memory\n",
            (unsigned long long)received, (unsigned long long)seconds, refused, queued_most, bytes_most,
            (unsigned long long)used_most >> 10);
    ck_assert_ok(job_loop_close(&loop, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("slow receiver");
    TCase *tcase = tcase_create("slow receiver");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, P24_a_receiver_that_blocks_and_fast_senders_stay_within_the_limits_and_lose_nothing);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
