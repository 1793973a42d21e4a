/* test_rpc.c — calls between real threads with a ledger: each ends once, with its own answer or for a reason; every buf comes back. Answers
 * come in any order, time-outs and cancels meet them, and now and then a side closes in between.
 */
#include "support/fixture.h"

enum { CALLS = 32, HELD_MAX = 64 };

struct caller {
    struct job_rpc_call call;
    uint64_t number;
    bool is_open;
};

/* A thread with a loop and an rpc: it asks, and it answers. */
struct side {
    pthread_t thread;
    struct job_loop *loop;
    struct job_end *end;
    struct job_rpc rpc;
    struct job_call begin, later;
    struct job_timer tick;
    struct random random;
    struct caller callers[CALLS];
    struct job_message *held[HELD_MAX];
    unsigned held_count;
    uint64_t to_ask, asked, dones, answered, timed_out, canceled, dead, closed;
    struct job_rpc_stats stats;
    bool dies, is_closing;
};

static struct job_runtime *runtime;

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

static void close_side(struct side *side)
{
    if (side->is_closing)
        return;
    side->is_closing = true;
    job_timer_close(&side->tick, NULL);
    job_rpc_close(&side->rpc);
}

static void ask_some(struct side *side);

static void on_done(struct job_rpc_call *call, int status, struct job_message *answer)
{
    struct caller *caller = job_container_of(call, struct caller, call);
    struct side *side = call->data;
    uint64_t number;
    ck_assert(caller->is_open && side->closed == 0);
    caller->is_open = false;
    side->dones++;
    if (answer && status == -EBUSY) {   /* of those that this side has given up the other one still holds too many */
        side->answered++;
    } else if (answer) {
        struct job_buf *buf = job_message_take_buf(answer, 0);
        ck_assert_int_eq(status, 0);
        memcpy(&number, job_message_bytes(answer, NULL), sizeof number);
        ck_assert_uint_eq(number, caller->number);
        if (buf) {
            ck_assert_ok(job_buf_read(buf, 0, &number, sizeof number));
            ck_assert_uint_eq(number, caller->number);
        }
        job_buf_free(&buf);
        side->answered++;
    }
    side->timed_out += !answer && status == -ETIMEDOUT;
    side->canceled += !answer && status == -ECANCELED;
    side->dead += !answer && status == -EOWNERDEAD;
    ck_assert(answer || status == -ETIMEDOUT || status == -ECANCELED || status == -EOWNERDEAD);
    ask_some(side);
}

static struct caller *free_caller(struct side *side)
{
    for (unsigned i = 0; i < CALLS; i++) {
        if (!side->callers[i].is_open)
            return &side->callers[i];
    }
    return NULL;
}

static int ask(struct side *side, struct caller *caller)
{
    struct job_buf *buf = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    bool has_buf = random_below(&side->random, 3) == 0;
    uint64_t timeout = random_below(&side->random, 4) ? 0 : 1 + random_below(&side->random, 200000);
    caller->number = side->asked;
    if (has_buf) {
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        ck_assert_ok(job_buf_write(buf, &caller->number, sizeof caller->number));
    }
    struct job_post post = {&caller->number, sizeof caller->number, &item, has_buf};
    caller->call = (struct job_rpc_call){.done = on_done, .data = side};
    int err = job_rpc_call(&side->rpc, &caller->call, &post, timeout);
    ck_assert_int_eq(err == 0, !has_buf ? err == 0 : buf == NULL);
    job_buf_free(&buf);
    return err;
}

static void ask_some(struct side *side)
{
    struct caller *caller;
    while (!side->is_closing && side->asked < side->to_ask && (caller = free_caller(side))) {
        int err = ask(side, caller);
        ck_assert(err == 0 || err == -EAGAIN || err == -EPIPE || err == -ECANCELED);
        if (err < 0)
            return;
        caller->is_open = true;
        side->asked++;
        if (random_below(&side->random, 8) == 0)
            job_rpc_cancel(&side->callers[random_below(&side->random, CALLS)].call);
        if (side->dies && random_below(&side->random, 200) == 0)
            close_side(side);
    }
}

static void answer(struct side *side, struct job_message *message)
{
    uint64_t number;
    memcpy(&number, job_message_bytes(message, NULL), sizeof number);
    struct job_buf *buf = job_message_take_buf(message, 0);
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    int err = job_rpc_answer(&side->rpc, &message, 0, &(struct job_post){&number, sizeof number, &item, buf != NULL});
    ck_assert(err == 0 || err == -EPIPE || err == -ECANCELED);
    ck_assert((err == 0) == (message == NULL));
    job_buf_free(&buf);
}

static void answer_one(struct side *side)
{
    unsigned index = (unsigned)random_below(&side->random, side->held_count);
    struct job_message *message = side->held[index];
    side->held[index] = side->held[--side->held_count];
    answer(side, message);
}

static void on_call(struct job_rpc *rpc, struct job_message *message)
{
    struct side *side = job_container_of(rpc, struct side, rpc);
    ck_assert_uint_lt(side->held_count, HELD_MAX);
    side->held[side->held_count++] = message;
    while (side->held_count > random_below(&side->random, 16))
        answer_one(side);
}

/* What is held is answered some time, and who has all its answers says good-bye. */
static void on_tick(struct job_timer *timer)
{
    struct side *side = job_container_of(timer, struct side, tick);
    while (side->held_count > 0)
        answer_one(side);
    ask_some(side);
    bool is_done = side->asked == side->to_ask && side->dones == side->asked;
    if (!side->is_closing && is_done && random_below(&side->random, 20) == 0)
        close_side(side);
}

static void on_writable(struct job_rpc *rpc)
{
    ask_some(job_container_of(rpc, struct side, rpc));
}

static void on_closed(struct job_rpc *rpc)
{
    struct side *side = job_container_of(rpc, struct side, rpc);
    job_rpc_stats(rpc, &side->stats);
    ck_assert_uint_eq(side->dones, side->asked);
    side->held_count = 0;
    side->closed++;
    if (!side->is_closing)
        job_timer_close(&side->tick, NULL);
    side->is_closing = true;
}

static const struct job_rpc_events events = {.call = on_call, .writable = on_writable, .closed = on_closed};

static void *run_side(void *arg)
{
    struct side *side = arg;
    struct job_rpc_options options = {.calls_max = (unsigned)(1 + random_below(&side->random, CALLS + 8))};
    ck_assert_ok(job_loop_open(runtime, &side->loop, NULL));
    ck_assert_ok(job_rpc_open(side->loop, &side->rpc, &side->end, &options, &events));
    ck_assert_ok(job_timer_open(side->loop, &side->tick, on_tick));
    ck_assert_ok(job_timer_start_repeating(&side->tick, 100000, 100000));
    ask_some(side);
    ck_assert_int_eq(job_loop_run(side->loop), 0);
    ck_assert_ok(job_loop_close(&side->loop, 0));
    return NULL;
}

static void check(const struct side *side)
{
    ck_assert_uint_eq(side->closed, 1);
    ck_assert_uint_eq(side->answered + side->timed_out + side->canceled + side->dead, side->asked);
    ck_assert_uint_eq(side->stats.calls, side->asked);
    ck_assert_uint_eq(side->stats.answered, side->answered);
    ck_assert_uint_eq(side->stats.timed_out, side->timed_out);
    ck_assert_uint_eq(side->stats.open, 0);
    ck_assert_uint_le(side->stats.late, side->timed_out + side->canceled);
    ck_assert_uint_eq(side->stats.dead, side->dead);
    ck_assert_uint_eq(side->stats.canceled, side->canceled);
}

START_TEST(each_call_ends_once_and_every_buf_comes_back)
{
    struct random random = fixture_random("rpc");
    unsigned rounds = fixture_rounds("RPC_ROUNDS", 150);
    uint64_t answered = 0, late = 0, dead = 0;
    for (unsigned round = 0; round < rounds; round++) {
        static struct side sides[2];
        memset(sides, 0, sizeof sides);
        struct job_channel_options options = {.messages_max = (unsigned)(1 + random_below(&random, 32))};
        ck_assert_ok(job_channel_open(runtime, &sides[0].end, &sides[1].end, &options));
        for (unsigned i = 0; i < 2; i++) {
            sides[i].random.state = random_next(&random);
            sides[i].to_ask = random_below(&random, 600);
            sides[i].dies = round % 3 == i;
            ck_assert_int_eq(pthread_create(&sides[i].thread, NULL, run_side, &sides[i]), 0);
        }
        for (unsigned i = 0; i < 2; i++)
            ck_assert_int_eq(pthread_join(sides[i].thread, NULL), 0);
        for (unsigned i = 0; i < 2; i++) {
            check(&sides[i]);
            answered += sides[i].answered;
            late += sides[i].stats.late;
            dead += sides[i].dead;
        }
    }
    ck_assert_uint_gt(answered, 0);
    fprintf(stderr, "answered %llu, late %llu, dead %llu\n", (unsigned long long)answered, (unsigned long long)late,
            (unsigned long long)dead);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc");
    TCase *tcase = tcase_create("rpc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_call_ends_once_and_every_buf_comes_back);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
