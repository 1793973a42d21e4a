/* test_ring.c — the ring engine by itself on the real kernel: a full queue, early cancels, stale completions, features switched off. */
#include "engine/ring.h"

#include "base/sys.h"
#include "memory/arena.h"
#include "queue/mailbox.h"
#include "support/fixture.h"

enum { ENTRIES = 4, MANY = 40, BATCH = 8 };

static struct root root;
static struct job_arena *arena;
static struct mailbox mailbox;
static struct engine *engine;
static unsigned ended, canceled;
static uint64_t received;

static void no_wake(struct mailbox *unused)
{
    (void)unused;
}

static void open_engine(void)
{
    struct engine_options options = {.arena = arena, .mailbox = &mailbox, .entries = ENTRIES, .receive_slots = 4};
    ck_assert_ok(engine_ring.open(&root, &options, &engine));
}

static void setup(void)
{
    root = (struct root){.log = {.hook = fixture_log}, .pid = getpid(), .now_ns = sys_clock_monotonic_ns};
    mailbox_init(&mailbox, no_wake);
    ck_assert_ok(arena_open(&root, &arena, &(struct job_arena_options){.limit_bytes = 1 << 21}));
    open_engine();
}

static void teardown(void)
{
    ck_assert_uint_eq(engine_ring.close(engine), 0);
    ck_assert_ok(arena_close(&arena));
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);   /* counts */
    ck_assert_uint_eq(load_relaxed(&root.fds), 0);
}

static void on_completed(struct op *op, const struct completion *completion)
{
    struct job_buf *buf = completion->buf;
    (void)op;
    if (completion->res > 0 && buf)
        received += job_buf_len(buf);
    job_buf_free(&buf);
    ended += !completion->more;
    canceled += completion->res == -ECANCELED;
}

/* Turns until nothing is in flight, or `turns` are over. */
static void run_turns(unsigned turns)
{
    struct completion ready[BATCH];
    while (engine->in_flight > 0 && turns-- > 0) {
        int count = engine_ring.wait(engine, root.now_ns() + 5000000000U, ready, BATCH);
        ck_assert_int_ge(count, 0);
        for (int i = 0; i < count; i++) {
            op_delivered(&ready[i]);
            ready[i].op->completed(ready[i].op, &ready[i]);
        }
    }
}

static void start_receive(struct op *op, int fd)
{
    *op = (struct op){.completed = on_completed, .kind = OP_RECEIVE, .fd = fd};
    ck_assert_ok(engine_ring.start(engine, op));
}

START_TEST(ten_times_what_the_queue_holds_is_started_and_cancelled_at_once)
{
    static struct op ops[MANY];
    int fds[MANY][2];
    for (int i = 0; i < MANY; i++) {
        fixture_pair(fds[i]);
        start_receive(&ops[i], fds[i][1]);
    }
    ck_assert_uint_eq(engine->in_flight, MANY);
    fixture_write(fds[MANY - 1][0], "last", 4);
    for (int i = 0; received == 0; i++) {
        ck_assert_int_lt(i, MANY);
        run_turns(1);
    }
    for (int i = 0; i < MANY; i++) {
        engine_ring.cancel(engine, &ops[i]);
        engine_ring.cancel(engine, &ops[i]);   /* harmless */
    }

    run_turns(10 * MANY);

    ck_assert_uint_eq(ended, MANY);
    ck_assert_uint_eq(canceled, MANY);
    for (int i = 0; i < MANY; i++) {
        ck_assert(!op_is_in_flight(&ops[i]));
        close(fds[i][0]);
        close(fds[i][1]);
    }
}
END_TEST

/* Before the first wait() nothing may be submitted: what does not fit waits, and a cancel ends it there, by wait() and not inside. */
START_TEST(an_op_that_never_came_to_the_kernel_ends_by_cancel)
{
    static struct op ops[ENTRIES + 1];
    int fds[2];
    fixture_pair(fds);
    for (int i = 0; i < ENTRIES + 1; i++)
        start_receive(&ops[i], fds[1]);
    ck_assert_uint_eq(ops[ENTRIES].state, OP_PENDING);

    engine_ring.cancel(engine, &ops[ENTRIES]);

    ck_assert_uint_eq(ops[ENTRIES].state, OP_ABORTED);
    ck_assert_uint_eq(ended, 0);
    run_turns(1);
    ck_assert_uint_eq(canceled, 1);
    ck_assert(!op_is_in_flight(&ops[ENTRIES]));
    for (int i = 0; i < ENTRIES; i++)
        engine_ring.cancel(engine, &ops[i]);
    run_turns(100);
    ck_assert_uint_eq(ended, ENTRIES + 1);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

/* Completions of ops that are gone, made by the kernel out of no-operations of those names: the op's memory is no more. */
START_TEST(a_stale_completion_is_counted_and_touches_nothing)
{
    struct ring_engine *ring = (struct ring_engine *)engine;
    struct op *op = malloc(sizeof *op);
    int fds[2];
    fixture_pair(fds);
    start_receive(op, fds[1]);
    uint64_t key = inflight_key(&ring->table, op);
    run_turns(0);
    engine_ring.cancel(engine, op);
    run_turns(100);
    ck_assert_uint_eq(ended, 1);
    memset(op, 0xEE, sizeof *op);
    free(op);
    const uint64_t keys[] = {key, key + 1, key | 1ULL << 63, 0, UINT64_MAX};
    uint64_t before = engine->stale;
    enum { KEYS = sizeof keys / sizeof keys[0] };
    for (int i = 0; i < KEYS; i++) {
        struct completion ready[BATCH];
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
        io_uring_prep_nop(sqe);
        sqe->user_data = keys[i];
        ck_assert_int_eq(engine_ring.wait(engine, 0, ready, BATCH), 0);
    }

    ck_assert_uint_eq(engine->stale - before, KEYS);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_wake_before_the_wait_is_not_lost_and_is_counted)
{
    struct completion ready[BATCH];
    engine_ring.wake(engine);
    engine_ring.wake(engine);
    ck_assert_int_eq(engine_ring.wait(engine, UINT64_MAX, ready, BATCH), 0);
    ck_assert_uint_eq(engine_ring.woken(engine), 2);
    engine_ring.wake(engine);
    ck_assert_int_eq(engine_ring.wait(engine, UINT64_MAX, ready, BATCH), 0);
    ck_assert_uint_eq(engine_ring.woken(engine), 3);
}
END_TEST

START_TEST(a_deadline_that_has_passed_returns_at_once)
{
    struct completion ready[BATCH];
    ck_assert_int_eq(engine_ring.wait(engine, 1, ready, BATCH), 0);
    uint64_t deadline = root.now_ns() + 2000000;
    while (root.now_ns() < deadline)
        ck_assert_int_eq(engine_ring.wait(engine, deadline, ready, BATCH), 0);
}
END_TEST

START_TEST(closing_with_ops_in_flight_leaks_them_and_says_how_many)
{
    static struct op op;
    int fds[2];
    fixture_pair(fds);
    start_receive(&op, fds[1]);
    run_turns(0);

    ck_assert_uint_eq(engine_ring.close(engine), 1);

    engine_ring.cancel(engine, &op);   /* nothing was freed: it can still be drained */
    run_turns(100);
    ck_assert_uint_eq(ended, 1);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

START_TEST(a_feature_that_is_disabled_is_not_used)
{
    unsigned with = ((struct ring_engine *)engine)->wait_flags;
    ck_assert_uint_eq(engine_ring.close(engine), 0);
    ck_assert_ptr_null(features_parse_disabled(&root.features, "no_iowait"));

    open_engine();

    ck_assert_uint_eq(((struct ring_engine *)engine)->wait_flags, 0);
    bool is_known = (root.features.available & 1U << FEATURE_NO_IOWAIT) != 0;
    ck_assert_int_eq(with != 0, is_known);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *tcase = tcase_create("ring");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, ten_times_what_the_queue_holds_is_started_and_cancelled_at_once);
    tcase_add_test(tcase, an_op_that_never_came_to_the_kernel_ends_by_cancel);
    tcase_add_test(tcase, a_stale_completion_is_counted_and_touches_nothing);
    tcase_add_test(tcase, a_wake_before_the_wait_is_not_lost_and_is_counted);
    tcase_add_test(tcase, a_deadline_that_has_passed_returns_at_once);
    tcase_add_test(tcase, closing_with_ops_in_flight_leaks_them_and_says_how_many);
    tcase_add_test(tcase, a_feature_that_is_disabled_is_not_used);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
