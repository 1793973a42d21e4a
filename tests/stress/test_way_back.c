/* test_way_back.c — buffers freed by other threads reach a loop that starves for them.
 *
 * Eight slots, a receive ring of four, 64 peers of 1 MiB each, and tasks that allocate their outputs. No timer anywhere: a lost
 * wake-up hangs the test until the runner ends it, nothing heals it.
 */
#include <sys/epoll.h>

#include "support/fixture.h"

enum { SLOT = 16384, SLOTS = 8, PEERS = 64, WORKERS = 2, FEW_BYTES = 1 << 18 };

#ifdef __SANITIZE_THREAD__
static size_t bytes_per_peer = FEW_BYTES;   /* it finds a race by what is ordered, not by how often it happens */
#else
static size_t bytes_per_peer = 1 << 20;
#endif

struct conn {
    struct job_stream stream;
    struct job_task task;
    bool has_ended, is_working;
};

static struct job_runtime *runtime;
static struct job_arena *arena;
static struct job_loop *loop;
static struct job_pool *pool;
static struct conn conns[PEERS];
static unsigned closed_count;
static unsigned out_of_memory;

static uint8_t pattern(unsigned peer, size_t offset)
{
    return (uint8_t)((offset + peer) * 2654435761U >> 13);
}

static int invert_one(const struct job_buf *in, struct job_buf **out)
{
    size_t len = job_buf_segment_len(in), room;
    int err = job_buf_alloc(arena, len, NULL, out);
    if (err < 0)
        return err;
    const uint8_t *from = job_buf_data(in);
    uint8_t *to = job_buf_room(*out, &room);
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)~from[i];
    return job_buf_extend(*out, len);
}

/* The output is another buf than the input: what the task frees, the loop starves for. One segment at a time, so that a task never needs
 * more than one slot besides its input: that is what the arena's reserve is for. */
static void invert(struct job_task *task)
{
    struct job_buf *in = job_task_take(task), *out = NULL;
    while (in) {
        struct job_buf *one = NULL, *rest = NULL;
        if (job_buf_segments(in) > 1)
            ck_assert_ok(job_buf_split(&in, job_buf_segment_len(in), &rest));
        int err = invert_one(in, &one);
        job_buf_replace(&in, &rest);
        if (err < 0) {
            job_buf_free(&in);
            return job_task_set_status(task, err);
        }
        if (out)
            ck_assert_ok(job_buf_append(out, &one));
        else
            out = job_buf_take(&one);
    }
    ck_assert_ok(job_task_give(task, &out));
}

static void finish(struct conn *conn)
{
    if (!conn->has_ended || conn->is_working || job_stream_queued(&conn->stream) > 0)
        return;
    job_stream_close(&conn->stream);
}

static void inverted(struct job_task *task, int status)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    conn->is_working = false;
    if (status == -ENOMEM)
        out_of_memory++;
    ck_assert_int_eq(status, 0);
    struct job_buf *out = job_task_take(task);
    ck_assert_ok(job_stream_send(&conn->stream, &out));
}

static void on_sent(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    ck_assert_int_eq(status, 0);
    job_stream_resume(stream);
    finish(conn);
}

static void submit(struct job_task *task)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    int err = job_submit(pool, task, &conn->stream.handle);
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit);
    ck_assert_ok(err);
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    job_stream_pause(stream);
    conn->is_working = true;
    ck_assert_ok(job_task_give(&conn->task, in));
    submit(&conn->task);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    ck_assert_int_eq(status, 0);
    conn->has_ended = true;
    finish(conn);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    closed_count++;
}

static const size_t caches[] = {JOB_ARENA_NO_CACHE, 0};

static const struct job_stream_events events = {.data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};

struct peer {
    int fd;
    unsigned number;
    size_t sent, received;
    bool is_wrong;
};

static struct peer peers[PEERS];

static void peer_send(struct peer *peer, int epoll)
{
    uint8_t bytes[20000];
    size_t len = bytes_per_peer - peer->sent < sizeof bytes ? bytes_per_peer - peer->sent : sizeof bytes;
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern(peer->number, peer->sent + i);
    ssize_t n = send(peer->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0)
        peer->sent += (size_t)n;
    if (peer->sent < bytes_per_peer)
        return;
    shutdown(peer->fd, SHUT_WR);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    (void)epoll_ctl(epoll, EPOLL_CTL_MOD, peer->fd, &event);
}

static bool peer_receive(struct peer *peer)
{
    uint8_t bytes[20000];
    ssize_t n = recv(peer->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++)
        peer->is_wrong = peer->is_wrong || (bytes[i] ^ pattern(peer->number, peer->received + (size_t)i)) != 0xFF;
    if (n > 0)
        peer->received += (size_t)n;
    return n == 0;
}

static void *run_peers(void *arg)
{
    (void)arg;
    int epoll = epoll_create1(EPOLL_CLOEXEC), open = PEERS;
    for (int i = 0; i < PEERS; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = &peers[i]};
        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, peers[i].fd, &event);
    }
    while (open > 0) {
        struct epoll_event events_ready[16];
        int count = epoll_wait(epoll, events_ready, 16, -1);
        for (int i = 0; i < count; i++) {
            struct peer *peer = events_ready[i].data.ptr;
            if (events_ready[i].events & EPOLLOUT)
                peer_send(peer, epoll);
            if ((events_ready[i].events & (EPOLLIN | EPOLLHUP)) && peer_receive(peer)) {
                (void)epoll_ctl(epoll, EPOLL_CTL_DEL, peer->fd, NULL);
                close(peer->fd);
                open--;
            }
        }
    }
    close(epoll);
    return NULL;
}

START_TEST(eight_slots_serve_64_peers_without_a_timer)
{
    pthread_t thread;
    struct job_arena_stats stats;
    runtime = fixture_runtime();
    struct job_arena_options few = {.limit_bytes = SLOTS * SLOT, .name = "few", .cache_slots_max = caches[_i]};
    ck_assert_ok(job_arena_open(runtime, &arena, &few));
    struct job_loop_options options = {.arena = arena, .receive_slots = 4, .receive_slot_bytes = SLOT, .name = "starving"};
    ck_assert_ok(job_loop_open(runtime, &loop, &options));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = WORKERS, .queue_limit = 4}));
    for (unsigned i = 0; i < PEERS; i++) {
        int fds[2];
        fixture_pair(fds);
        peers[i] = (struct peer){.fd = fds[0], .number = i};
        ck_assert_ok(job_task_init(&conns[i].task, pool, invert, inverted));
        ck_assert_ok(job_stream_adopt(loop, &conns[i].stream, fds[1], &events));
    }
    ck_assert_int_eq(pthread_create(&thread, NULL, run_peers, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    pthread_join(thread, NULL);

    ck_assert_uint_eq(closed_count, PEERS);
    ck_assert_uint_eq(out_of_memory, 0);
    for (int i = 0; i < PEERS; i++) {
        ck_assert_uint_eq(peers[i].received, bytes_per_peer);
        ck_assert(!peers[i].is_wrong);
    }
    job_arena_stats(arena, &stats);
    ck_assert_uint_gt(stats.starved, 0);   /* otherwise the test did not reach what it is for */
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    ck_assert_int_eq(job_arena_close(&arena), 0);
    fixture_close(runtime);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        bytes_per_peer = FEW_BYTES;
    Suite *suite = suite_create("way_back");
    TCase *tcase = tcase_create("way_back");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, eight_slots_serve_64_peers_without_a_timer, 0, 2);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
