/* test_lifetime.c — a ledger says that each buf and each task has exactly one end.
 *
 * Random sequences of open, receive, give, submit, pause, resume, send, cancel and close on up to 32 connections. Every task that was
 * submitted has one `done`; nothing comes after `closed`; the memory of a connection is overwritten and freed in `closed`, so that
 * whoever touches it later is found by the sanitizer; at the end the library's own counts are zero.
 *
 * On the real kernel one long sequence with pool threads. On the fake one many short ones, each a function of its seed, most of them
 * with faults. SEQUENCES= and STEPS= say how many and how long; SEED= repeats one.
 */
#include "base/atomic.h"
#include "support/world.h"

enum {
    CONNS = WORLD_IS_FAKE ? 6 : 32,
    STEPS_DEFAULT = WORLD_IS_FAKE ? 120 : 40000,
    SEQUENCES_DEFAULT = WORLD_IS_FAKE ? 2000 : 1,
};

static uint64_t seed_now;

#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s SEED=%llu", #condition, (unsigned long long)seed_now);                                    \
    } while (0)

struct conn {
    struct job_stream stream;
    struct job_task task;
    int peer;
    bool is_submitted, is_closing, has_ended, is_waiting;
    unsigned slot;
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct conn *conns[CONNS];
static struct job_timer step_timer;
static struct random dice;
static unsigned steps_left, submitted, done_count, opened, closed_count;

static uint64_t wrapped, released, shared;   /* the first two: any thread */

static void release(void *arg, void *memory, size_t len)
{
    must(arg == &released);
    memset(memory, 0xEE, len);   /* nobody reads it any more */
    free(memory);
    (void)fetch_add_relaxed(&released, 1);
}

/* Memory that is not the arena's: it ends in release(), once, wherever its last view ends. */
static struct job_buf *wrap_some(void)
{
    enum { LEN = 3000 };
    struct job_buf *view = NULL;
    void *memory = calloc(1, LEN);
    if (job_buf_wrap(job_runtime_arena(runtime), memory, LEN, release, &released, &view) < 0)
        free(memory);
    else
        (void)fetch_add_relaxed(&wrapped, 1);
    return view;
}

static void work(struct job_task *task)
{
    struct job_buf *out = NULL;
    uint64_t kind = (uintptr_t)task->buf / 64 % 5;
    if (kind == 0 && job_buf_alloc(job_runtime_arena(runtime), 5000, NULL, &out) == 0) {
        (void)job_buf_write(out, "answer", 6);
        job_buf_replace(&task->buf, &out);
    } else if (kind == 1) {
        job_buf_free(&task->buf);
    } else if (kind == 2) {
        job_task_set_status(task, -EIO);
    } else if (kind == 3) {
        out = wrap_some();
        job_buf_replace(&task->buf, &out);
    }
}

static void worked(struct job_task *task, int status)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    done_count++;
    must(conn->is_submitted);
    conn->is_submitted = false;
    if (conn->is_closing)
        return;   /* what is left in the task goes back when this returns */
    if (status == 0 && task->buf && random_below(&dice, 4)) {
        struct job_buf *out = job_task_take(task);
        if (job_stream_send(&conn->stream, &out) < 0)
            job_buf_free(&out);
    }
    if (random_below(&dice, 2))
        job_stream_resume(&conn->stream);
}

static void close_conn(struct conn *conn)
{
    conn->is_closing = true;
    job_stream_close(&conn->stream);
}

static void again(struct job_task *task);

static void submit(struct conn *conn)
{
    int err = job_submit(pool, &conn->task, &conn->stream.handle);
    if (err == 0) {
        conn->is_submitted = true;
        submitted++;
    } else if (err == -EAGAIN) {
        must(0 <= job_task_when_writable(&conn->task, again));
        conn->is_waiting = true;
    } else {
        must(err == 0 || err == -EAGAIN);
    }
}

static void again(struct job_task *task)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    must(!conn->is_closing);
    conn->is_waiting = false;
    submit(conn);
}

/* What has come becomes a view, of which others send parts as well. */
static void share(struct job_buf *in)
{
    must(job_buf_freeze(in) == 0);
    for (unsigned i = 0; i < 3; i++) {
        struct conn *other = conns[random_below(&dice, CONNS)];
        struct job_buf *slice = NULL;
        size_t len = random_below(&dice, job_buf_len(in) + 1);
        if (!other || other->is_closing || job_buf_slice(in, job_buf_len(in) - len, len, &slice) < 0)
            continue;
        shared += job_stream_send(&other->stream, &slice) == 0;
        job_buf_free(&slice);
    }
    (void)job_buf_thaw(in);   /* mostly -EBUSY */
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(!conn->is_closing && !conn->has_ended);
    if (random_below(&dice, 20) == 0)
        return close_conn(conn);
    if (random_below(&dice, 6) == 0)
        share(*in);
    if (random_below(&dice, 4) == 0 && job_stream_send(stream, in) == 0)
        return;
    if (conn->is_submitted || conn->is_waiting || random_below(&dice, 3) == 0)
        return;
    if (random_below(&dice, 2))
        job_stream_pause(stream);
    struct job_buf *rest = NULL;
    if (random_below(&dice, 3) == 0)
        must(0 <= job_buf_split(in, job_buf_len(*in) / 2, &rest));
    must(0 <= job_task_give(&conn->task, in));
    submit(conn);
    job_buf_free(&rest);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    (void)status;
    must(!conn->has_ended && !conn->is_closing);
    conn->has_ended = true;
    if (random_below(&dice, 2))
        close_conn(conn);
}

static void on_closed(struct job_stream *stream)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(conn->is_closing);
    must(!conn->is_submitted);
    must(conns[conn->slot] == conn);
    closed_count++;
    conns[conn->slot] = NULL;
    close(conn->peer);
    job_buf_free(&conn->task.buf);   /* one that waited for room still owns its buf */
    memset(conn, 0xEE, sizeof *conn);
    free(conn);
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

static void open_conn(unsigned slot)
{
    int fds[2];
    struct conn *conn = calloc(1, sizeof *conn);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    conn->peer = fds[0];
    conn->slot = slot;
    must(0 <= job_task_init(&conn->task, pool, work, worked));
    must(0 <= job_stream_adopt(loop, &conn->stream, fds[1], &events));
    conns[slot] = conn;
    opened++;
}

static void peer_acts(struct conn *conn)
{
    static char bytes[70000];
    switch (random_below(&dice, 4)) {
    case 0: (void)!send(conn->peer, bytes, random_below(&dice, 40) + 1, MSG_NOSIGNAL); break;
    case 1: (void)!send(conn->peer, bytes, random_below(&dice, sizeof bytes) + 1, MSG_NOSIGNAL); break;
    case 2: (void)!recv(conn->peer, bytes, sizeof bytes, 0); break;
    default:
        if (random_below(&dice, 10) == 0)
            (void)shutdown(conn->peer, SHUT_WR);
    }
}

static void we_act(struct conn *conn)
{
    if (conn->is_closing)
        return;
    switch (random_below(&dice, 8)) {
    case 0: job_stream_pause(&conn->stream); break;
    case 1: case 2: job_stream_resume(&conn->stream); break;
    case 3:
        if (conn->is_submitted)
            (void)job_task_cancel(&conn->task);
        break;
    case 4:
        if (random_below(&dice, 6) == 0)
            close_conn(conn);
        break;
    case 5:
        if (random_below(&dice, 10) == 0)
            (void)job_stream_shutdown(&conn->stream);
        break;
    default: break;
    }
}

static void step(struct job_timer *timer)
{
    for (int i = 0; i < 8 && steps_left > 0; i++, steps_left--) {
        unsigned slot = (unsigned)random_below(&dice, CONNS);
        if (!conns[slot])
            open_conn(slot);
        else if (random_below(&dice, 2))
            peer_acts(conns[slot]);
        else
            we_act(conns[slot]);
    }
    if (steps_left > 0)
        return (void)job_timer_start(timer, 0);
    for (unsigned slot = 0; slot < CONNS; slot++) {
        if (conns[slot] && !conns[slot]->is_closing)
            close_conn(conns[slot]);
    }
}

/* One sequence, all of it: a loop of its own, and nothing left behind. */
static void run_sequence(unsigned steps)
{
    unsigned submitted_before = submitted;
    unsigned done_before = done_count;
    steps_left = steps;
    unsigned slots = WORLD_IS_FAKE ? 4U << random_below(&dice, 3) : 8;
    struct job_loop_options options = {.receive_slots = slots, .receive_slot_bytes = 4096};
    must(0 <= job_loop_open(runtime, &loop, &options));
    must(0 <= job_timer_open(loop, &step_timer, step));
    must(0 <= job_timer_start(&step_timer, 0));

    must(job_loop_run(loop) == 0);

    must(opened == closed_count);
    must(submitted - submitted_before == done_count - done_before);
    must(job_loop_close(&loop, 0) == 0);
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    must(counts.bufs == 0);
    must(counts.views == 0);
    must(counts.wraps == 0);
    must(load_relaxed(&wrapped) == load_relaxed(&released));   /* all tasks have ended */
    must(counts.tasks == 0);
    must(counts.handles == 0);
    must(counts.fds == 0);
}

static void prepare_world(unsigned sequence)
{
#ifdef TEST_FAKE_KERNEL
    struct fake_options options = {.seed = seed_now};
    if (sequence % 8 != 0 || getenv("SEED"))
        options.faults = fake_faults_draw(seed_now, seed_now % 2 == 0);
    world_begin(&options);
#endif
    (void)sequence;
    dice.state = seed_now;
}

START_TEST(E04_each_buf_and_each_task_has_exactly_one_end)
{
    uint64_t first = fixture_random("each_buf_and_each_task_has_exactly_one_end").state;
    unsigned sequences = fixture_rounds("SEQUENCES", getenv("SEED") ? 1 : SEQUENCES_DEFAULT);
    bool is_fixed = WORLD_IS_FAKE && !getenv("STEPS");   /* on the fake kernel it is the sequences that are many */
    unsigned steps = is_fixed ? STEPS_DEFAULT : fixture_rounds("STEPS", STEPS_DEFAULT);
    int descriptors = fixture_descriptors();
    struct job_pool_options options = {.workers = WORLD_IS_FAKE ? JOB_POOL_INLINE : 2, .queue_limit = 4};
    runtime = fixture_runtime();
#ifdef TEST_FAKE_KERNEL
    world_clock(runtime);   /* once: from the first loop on the helper thread reads it */
#endif
    ck_assert_ok(job_pool_open(runtime, &pool, &options));

    for (unsigned i = 0; i < sequences; i++) {
        seed_now = first + i;
        prepare_world(i);
        run_sequence(steps);
    }

    ck_assert_uint_gt(submitted, 0);
    ck_assert_uint_gt(load_relaxed(&wrapped), 0);
    ck_assert_uint_gt(shared, 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lifetime");
    TCase *tcase = tcase_create("lifetime");
    tcase_set_timeout(tcase, 280);
    tcase_add_test(tcase, E04_each_buf_and_each_task_has_exactly_one_end);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
