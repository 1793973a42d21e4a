/* test_unit.c — does the unit fit: bodies from a byte to 10 MiB go to a task and come back changed, counted in copies
 * and segments.
 *
 * The stream collects a body until the peer has sent all; a task turns every byte, in place, and makes the answer as
 * long, longer (a header in the headroom, a quarter more behind) or half as long. Addresses are compared where the
 * kernel has written, in the task, and where the kernel reads. A byte may be copied only when it came in a receive of
 * less than an eighth of a slot.
 */
#include "support/fixture.h"

enum { SLOT = 16384, SMALL = SLOT / 8, HEADER = 8, ADDRESSES = 4096 };
enum answer { SAME, LONGER, SHORTER };

static const char *const answers[] = {"same", "longer", "shorter"};
#ifdef __SANITIZE_THREAD__
static const size_t sizes[] = {1, 1024, 65536, 1 << 20};   /* more of the same threads would be most of its time */
#else
static const size_t sizes[] = {1, 1024, 65536, 1 << 20, 10 << 20};
#endif

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;

static struct conn {
    struct job_stream stream;
    struct job_task task;
    struct job_buf *body;
    enum answer answer;
    size_t receives, small_bytes, segments_in, segments_out;
    const void *from[ADDRESSES]; /* where the kernel wrote receives that were not small */
    size_t from_count;
    bool is_moved, is_closed;
} conn;

/* Every large receive is still where the kernel wrote it. A header moves the beginning of the first segment only. */
static bool is_in_place(const struct job_buf *buf, size_t header)
{
    size_t found = 0;
    for (const struct job_buf *segment = buf; segment && found < conn.from_count; segment = job_buf_next(segment)) {
        const uint8_t *begin = job_buf_data(segment), *end = begin + job_buf_segment_len(segment);
        begin += segment == buf ? header : 0;
        while (found < conn.from_count && (const uint8_t *)conn.from[found] >= begin &&
               (const uint8_t *)conn.from[found] < end)
            found++;
    }
    return found == conn.from_count;
}

static uint8_t turned(uint8_t byte)
{
    return (uint8_t)~byte;
}

static void turn(struct job_task *task)
{
    struct job_buf *buf = job_task_take(task);
    size_t len = job_buf_len(buf);
    conn.segments_in = job_buf_segments(buf);
    conn.is_moved = conn.is_moved || !is_in_place(buf, 0);
    for (struct job_buf *segment = buf; segment; segment = job_buf_next(segment)) {
        uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++)
            bytes[i] = turned(bytes[i]);
    }
    if (conn.answer == SHORTER)
        ck_assert_ok(job_buf_truncate(buf, (len + 1) / 2));
    if (conn.answer == LONGER) {
        static const uint8_t more[(10 << 20) / 4];
        ck_assert_ok(job_buf_write(buf, more, len / 4));
        uint8_t *header = job_buf_prepend(buf, HEADER);
        ck_assert_ptr_nonnull(header);
        memcpy(header, "HEADER:\n", HEADER);
    }
    conn.segments_out = job_buf_segments(buf);
    ck_assert_ok(job_task_give(task, &buf));
}

static void turned_done(struct job_task *task, int status)
{
    ck_assert_int_eq(status, 0);
    struct job_buf *buf = job_task_take(task);
    if (conn.answer != SHORTER)
        conn.is_moved = conn.is_moved || !is_in_place(buf, conn.answer == LONGER ? HEADER : 0);
    ck_assert_ok(job_stream_send(&conn.stream, &buf));
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    conn.receives++;
    if (job_buf_len(*in) < SMALL)
        conn.small_bytes += job_buf_len(*in);
    else if (conn.from_count < ADDRESSES)
        conn.from[conn.from_count++] = job_buf_data(*in);
    if (conn.body)
        ck_assert_ok(job_buf_append(conn.body, in));
    else
        conn.body = job_buf_take(in);
}

static void on_end(struct job_stream *stream, int status)
{
    ck_assert_int_eq(status, 0);
    ck_assert_ok(job_task_give(&conn.task, &conn.body));
    ck_assert_ok(job_submit(pool, &conn.task, &stream->handle));
}

static void on_sent(struct job_stream *stream, int status)
{
    ck_assert_int_eq(status, 0);
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    conn.is_closed = true;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};

struct peer {
    int fd;
    size_t len, answered;
    uint8_t *bytes, *answer;
};

static void *run_peer(void *arg)
{
    struct peer *peer = arg;
    fixture_write(peer->fd, peer->bytes, peer->len);
    shutdown(peer->fd, SHUT_WR);
    peer->answered = fixture_read(peer->fd, peer->answer, 2 * peer->len + HEADER);
    return NULL;
}

static void check_answer(const struct peer *peer)
{
    size_t header = conn.answer == LONGER ? HEADER : 0;
    size_t turned_len = conn.answer == SHORTER ? (peer->len + 1) / 2 : peer->len;
    size_t more = conn.answer == LONGER ? peer->len / 4 : 0;
    ck_assert_uint_eq(peer->answered, header + turned_len + more);
    ck_assert_mem_eq(peer->answer, "HEADER:\n", header);
    size_t wrong = 0;
    for (size_t i = 0; i < turned_len; i++)
        wrong += peer->answer[header + i] != turned(peer->bytes[i]);
    ck_assert_uint_eq(wrong, 0);
}

static void exchange_body(size_t len, enum answer answer)
{
    pthread_t thread;
    struct job_counts before, after;
    int fds[2];
    fixture_pair(fds);
    struct peer peer = {.fd = fds[0], .len = len, .bytes = malloc(len), .answer = malloc(2 * len + HEADER)};
    for (size_t i = 0; i < len; i++)
        peer.bytes[i] = (uint8_t)(i * 2654435761U >> 11);
    conn = (struct conn){.answer = answer};
    ck_assert_ok(job_task_init(&conn.task, pool, turn, turned_done));
    ck_assert_ok(job_stream_adopt(loop, &conn.stream, fds[1], &events));
    job_runtime_counts(runtime, &before);
    ck_assert_int_eq(pthread_create(&thread, NULL, run_peer, &peer), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    close(fds[0]);
    job_runtime_counts(runtime, &after);
    check_answer(&peer);
    size_t copied = after.copied_bytes - before.copied_bytes;
    printf("%8zu B, answer %-7s: %4zu receives, %8zu B copied (%zu B came in small ones), %4zu segments to the task, "
           "%4zu back\n",
           len, answers[answer], conn.receives, copied, conn.small_bytes, conn.segments_in, conn.segments_out);
    ck_assert(conn.is_closed && !conn.is_moved);
    ck_assert_uint_le(copied, 2 * conn.small_bytes); /* copybreak, and once more when the piece joins a buf with room */
    ck_assert_uint_le(conn.segments_in, conn.receives);
    ck_assert_uint_le(conn.segments_out, conn.segments_in + 1);
    free(peer.bytes);
    free(peer.answer);
}

START_TEST(bodies_of_every_size_come_back_without_a_copy_of_what_came_in_large_receives)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (unsigned answer = SAME; answer <= SHORTER; answer++)
            exchange_body(sizes[i], (enum answer)answer);
    }
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}
END_TEST

/* A peer on the loop's own thread: the next part is sent when the one before has arrived, so each receive is one part.
 */
static struct parts {
    struct job_stream stream;
    struct job_buf *kept;
    int fd;
    size_t part, left, arrived, wrong;
} parts;

static void send_part(void)
{
    static const uint8_t bytes[SLOT];
    if (parts.left == 0) {
        shutdown(parts.fd, SHUT_WR);
        return;
    }
    parts.left--;
    parts.wrong += send(parts.fd, bytes, parts.part, MSG_NOSIGNAL) != (ssize_t)parts.part;
}

static void on_part(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    parts.wrong += job_buf_len(*in) != parts.part;
    parts.arrived++;
    if (parts.kept)
        ck_assert_ok(job_buf_append(parts.kept, in));
    else
        parts.kept = job_buf_take(in);
    send_part();
}

static void on_parts_end(struct job_stream *stream, int status)
{
    ck_assert_int_eq(status, 0);
    job_stream_close(stream);
}

static const struct job_stream_events part_events = {.data = on_part, .end = on_parts_end};

/* Receives `count` parts, keeps them all; returns the bytes copied and what the arena holds for them. */
static size_t receive_parts(struct job_arena *arena, size_t part, size_t count, size_t *used)
{
    struct job_counts before, after;
    struct job_arena_stats stats;
    int fds[2];
    fixture_pair(fds);
    parts = (struct parts){.fd = fds[0], .part = part, .left = count};
    job_runtime_counts(runtime, &before);
    ck_assert_ok(job_stream_adopt(loop, &parts.stream, fds[1], &part_events));
    send_part();
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(parts.arrived, count);
    ck_assert_uint_eq(parts.wrong, 0);
    ck_assert_uint_eq(job_buf_len(parts.kept), count * part);
    job_runtime_counts(runtime, &after);
    job_arena_stats(arena, &stats);
    *used = stats.used_bytes;
    job_buf_free(&parts.kept);
    job_arena_stats(arena, &stats);
    *used -= stats.used_bytes;
    close(fds[0]);
    return after.copied_bytes - before.copied_bytes;
}

static bool has_copybreak(void)
{
    const char *disabled = getenv("JOB_DISABLE");
    return !disabled || !strstr(disabled, "copybreak");
}

START_TEST(an_eighth_of_a_slot_is_not_copied_and_single_bytes_cost_at_most_four_times_their_number)
{
    struct job_arena *arena = NULL;
    size_t used;
    runtime = fixture_runtime();
    struct job_arena_options options = {.limit_bytes = 64 << 20, .cache_slots_max = JOB_ARENA_NO_CACHE};
    ck_assert_ok(job_arena_open(runtime, &arena, &options));
    ck_assert_ok(job_loop_open(runtime, &loop, &(struct job_loop_options){.arena = arena, .receive_slot_bytes = SLOT}));

    ck_assert_uint_eq(receive_parts(arena, SMALL, 100, &used), 0);
    ck_assert_uint_eq(receive_parts(arena, SLOT / 2, 100, &used), 0);
    if (has_copybreak()) {
        ck_assert_uint_eq(receive_parts(arena, SMALL - 1, 100, &used), 100 * (SMALL - 1));
        ck_assert_uint_eq(receive_parts(arena, 1, 20000, &used), 20000);
        printf("20000 single bytes, kept: %zu bytes of slots\n", used);
        ck_assert_uint_le(used, 4 * 20000);
        ck_assert_uint_gt(used, 0);
    } else {
        ck_assert_uint_eq(receive_parts(arena, SMALL - 1, 100, &used), 0);
    }

    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_arena_close(&arena), 0);
    fixture_close(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("unit");
    TCase *tcase = tcase_create("unit");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bodies_of_every_size_come_back_without_a_copy_of_what_came_in_large_receives);
    tcase_add_test(tcase, an_eighth_of_a_slot_is_not_copied_and_single_bytes_cost_at_most_four_times_their_number);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
