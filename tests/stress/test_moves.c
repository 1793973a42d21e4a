/* test_moves.c — connections that go from loop to loop while their peers send and receive: no byte is lost, told twice or out of order, in
 * either direction, and every descriptor comes back.
 */
#include <sched.h>
#include <stdatomic.h>

#include "support/fixture.h"

enum { LOOPS = 3, CONNS = 6 };

struct conn;

/* A connection while it is on one of the loops. */
struct stay {
    struct job_stream stream;
    struct conn *conn;
    struct loop_side *side;
    bool is_open, is_last;
    struct job_connection *next;       /* it has come back before the stream was closed */
};

/* Belongs to whoever has the connection. */
struct conn {
    struct stay stays[LOOPS];
    unsigned at;
    uint64_t received, moves, refused;
    bool has_ended;
    /* the peer's thread */
    pthread_t thread;
    int fd;
    uint64_t to_send, sent, got;
    struct random random;
};

struct loop_side {
    pthread_t thread;
    struct job_loop *loop;
    struct job_end *end;
    struct job_port port;
    struct job_sender *to[LOOPS];
    struct random random;
};

static struct job_runtime *runtime;
static struct loop_side sides[LOOPS];
static struct conn conns[CONNS];
static atomic_uint live;

static unsigned char byte_at(uint64_t offset)
{
    return (unsigned char)(offset * 7 + (offset >> 8) * 13);
}

/* The next bytes, and no others. */
static void verify(const unsigned char *bytes, size_t len, uint64_t *offset)
{
    size_t right = 0;
    while (right < len && bytes[right] == byte_at(*offset + right))
        right++;
    ck_assert_uint_eq(right, len);
    *offset += len;
}

/* The last connection has gone: each loop, this one too, closes its port. */
static void count_down(struct loop_side *side)
{
    if (atomic_fetch_sub(&live, 1) > 1)
        return;
    for (unsigned i = 0; i < LOOPS; i++)
        ck_assert_ok(job_sender_post(side->to[i], &(struct job_post){0}));
}

static struct loop_side *side_of(const struct conn *conn)
{
    return &sides[conn->at];
}

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    struct conn *conn = job_container_of(stream, struct stay, stream)->conn;
    struct loop_side *side = side_of(conn);
    unsigned next = (conn->at + 1 + (unsigned)random_below(&side->random, LOOPS - 1)) % LOOPS;
    struct job_item item = {.kind = JOB_ITEM_CONNECTION, .connection = connection};
    conn->moves++;
    conn->at = next;
    ck_assert_ok(job_sender_post(side->to[next], &(struct job_post){&conn, sizeof conn, &item, 1}));
    ck_assert_ptr_null(*connection);
}

static void maybe_move(struct stay *stay)
{
    struct conn *conn = stay->conn;
    if (conn->has_ended || random_below(&side_of(conn)->random, 2) > 0)
        return;
    int err = job_stream_detach(&stay->stream, on_detached);
    ck_assert(err == 0 || err == -EBUSY || err == -EALREADY);
    conn->refused += err < 0;
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct stay *stay = job_container_of(stream, struct stay, stream);
    struct conn *conn = stay->conn;
    ck_assert_ptr_eq(job_handle_loop(&stream->handle), side_of(conn)->loop);
    for (const struct job_buf *segment = *in; segment; segment = job_buf_next(segment))
        verify(job_buf_data(segment), job_buf_segment_len(segment), &conn->received);
    if (random_below(&side_of(conn)->random, 8) == 0) {
        job_stream_pause(stream);   /* what comes meanwhile goes along, or is told on resume */
        ck_assert_ok(job_stream_send(stream, in));
        return;
    }
    ck_assert_ok(job_stream_send(stream, in));
}

static void on_sent(struct job_stream *stream, int status)
{
    ck_assert_int_eq(status, 0);
    maybe_move(job_container_of(stream, struct stay, stream));
    job_stream_resume(stream);
}

static void on_end(struct job_stream *stream, int status)
{
    struct stay *stay = job_container_of(stream, struct stay, stream);
    struct conn *conn = stay->conn;
    ck_assert_int_eq(status, 0);
    ck_assert_uint_eq(conn->received, conn->to_send);
    conn->has_ended = stay->is_last = true;
    ck_assert_ok(job_stream_finish(stream, 0));
}

static void take_in(struct stay *stay, struct job_connection *connection);

static void on_closed(struct job_stream *stream)
{
    struct stay *stay = job_container_of(stream, struct stay, stream);
    struct job_connection *next = stay->next;
    stay->is_open = false;
    stay->next = NULL;
    if (next)
        take_in(stay, next);
    else if (stay->is_last)   /* else the connection is another thread's by now */
        count_down(stay->side);
}

static const struct job_stream_events stream_events = {
    .data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};

static void take_in(struct stay *stay, struct job_connection *connection)
{
    struct loop_side *side = side_of(stay->conn);
    stay->is_open = true;
    ck_assert_ok(job_stream_attach(side->loop, &stay->stream, &connection, &stream_events));
}

static void on_message(struct job_port *port, struct job_message *message)
{
    struct conn *conn;
    if (job_message_count(message) == 0) {
        job_port_close(port);
        return;
    }
    memcpy(&conn, job_message_bytes(message, NULL), sizeof conn);
    struct job_connection *connection = job_message_take_connection(message, 0);
    struct stay *stay = &conn->stays[conn->at];
    if (stay->is_open)
        stay->next = connection;
    else
        take_in(stay, connection);
}

static const struct job_port_events port_events = {.message = on_message};

static void *run_loop(void *arg)
{
    struct loop_side *side = arg;
    ck_assert_int_eq(job_loop_run(side->loop), 0);
    ck_assert_ok(job_loop_close(&side->loop, 0));
    return NULL;
}

/* Sends and reads what it can, as it comes. */
static void *run_peer(void *arg)
{
    struct conn *conn = arg;
    static const size_t chunk = 8192;
    unsigned char bytes[8192];
    bool has_shut = false;
    for (;;) {
        struct pollfd poll_fd = {.fd = conn->fd, .events = (short)(POLLIN | (has_shut ? 0 : POLLOUT))};
        ck_assert_int_ge(poll(&poll_fd, 1, -1), 1);
        if ((poll_fd.revents & POLLOUT) && !has_shut) {
            uint64_t left = conn->to_send - conn->sent;
            size_t len = 1 + (size_t)random_below(&conn->random, random_below(&conn->random, 2) ? chunk : 10);
            len = len < left ? len : (size_t)left;
            for (size_t i = 0; i < len; i++)
                bytes[i] = byte_at(conn->sent + i);
            ssize_t n = len > 0 ? send(conn->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
            ck_assert(n >= 0 || errno == EAGAIN);
            conn->sent += n > 0 ? (uint64_t)n : 0;
            has_shut = conn->sent == conn->to_send;
            if (has_shut)
                shutdown(conn->fd, SHUT_WR);
        }
        if (!(poll_fd.revents & (POLLIN | POLLHUP | POLLERR)))
            continue;
        ssize_t n = recv(conn->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n == 0)
            break;
        ck_assert(n > 0 || errno == EAGAIN);
        verify(bytes, n > 0 ? (size_t)n : 0, &conn->got);
    }
    close(conn->fd);
    return NULL;
}

static void open_loops(struct random *random)
{
    struct job_end *ends[LOOPS];
    memset(sides, 0, sizeof sides);
    for (unsigned i = 0; i < LOOPS; i++) {
        ck_assert_ok(job_loop_open(runtime, &sides[i].loop, NULL));
        ck_assert_ok(job_channel_open(runtime, &sides[i].end, &ends[i], NULL));
        ck_assert_ok(job_port_open(sides[i].loop, &sides[i].port, &sides[i].end, &port_events));
        sides[i].random.state = random_next(random);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        for (unsigned j = 0; j < LOOPS; j++)
            ck_assert_ok(job_end_sender(ends[j], &sides[i].to[j]));
    }
    for (unsigned i = 0; i < LOOPS; i++)
        job_end_close(&ends[i]);
}

static void open_conn(struct conn *conn, struct random *random)
{
    int fds[2];
    memset(conn, 0, sizeof *conn);
    fixture_pair(fds);
    conn->fd = fds[0];
    conn->random.state = random_next(random);
    conn->to_send = random_below(random, random_below(random, 2) ? 1000000 : 2000);
    conn->at = (unsigned)random_below(random, LOOPS);
    for (unsigned i = 0; i < LOOPS; i++)
        conn->stays[i] = (struct stay){.conn = conn, .side = &sides[i]};
    struct stay *stay = &conn->stays[conn->at];
    stay->is_open = true;
    ck_assert_ok(job_stream_adopt(side_of(conn)->loop, &stay->stream, fds[1], &stream_events));
}

START_TEST(X24_bytes_of_connections_that_move_are_neither_lost_nor_told_twice)
{
    struct random random = fixture_random("moves");
    unsigned rounds = fixture_rounds("MOVES_ROUNDS", 40);
    uint64_t moves = 0, refused = 0;
    int descriptors = fixture_descriptors();
    for (unsigned round = 0; round < rounds; round++) {
        open_loops(&random);
        live = CONNS;
        for (unsigned i = 0; i < CONNS; i++)
            open_conn(&conns[i], &random);
        for (unsigned i = 0; i < CONNS; i++)
            ck_assert_int_eq(pthread_create(&conns[i].thread, NULL, run_peer, &conns[i]), 0);
        for (unsigned i = 0; i < LOOPS; i++)
            ck_assert_int_eq(pthread_create(&sides[i].thread, NULL, run_loop, &sides[i]), 0);
        for (unsigned i = 0; i < CONNS; i++) {
            ck_assert_int_eq(pthread_join(conns[i].thread, NULL), 0);
            ck_assert_uint_eq(conns[i].got, conns[i].to_send);
        }
        for (unsigned i = 0; i < LOOPS; i++)
            ck_assert_int_eq(pthread_join(sides[i].thread, NULL), 0);
        for (unsigned i = 0; i < CONNS; i++) {
            ck_assert_uint_eq(conns[i].received, conns[i].to_send);
            moves += conns[i].moves;
            refused += conns[i].refused;
        }
        for (unsigned i = 0; i < LOOPS; i++) {
            for (unsigned j = 0; j < LOOPS; j++)
                job_sender_close(&sides[i].to[j]);
        }
    }
    fprintf(stderr, "moves %llu, refused %llu\n", (unsigned long long)moves, (unsigned long long)refused);
    ck_assert_uint_gt(moves, 0);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

static void setup(void)
{
    runtime = fixture_runtime();
}

static void teardown(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    ck_assert_uint_eq(counts.fds, 0);
    fixture_close(runtime);
}

int main(void)
{
    Suite *suite = suite_create("moves");
    TCase *tcase = tcase_create("moves");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, X24_bytes_of_connections_that_move_are_neither_lost_nor_told_twice);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
