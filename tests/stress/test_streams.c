/* test_streams.c — a ledger of all that streams do: random lives of up to 32 connections, each checked from both ends.
 *
 * What is sent are records with a growing number, one a send or a place, so the other end, a plain socket, sees whether any is lost, cut,
 * doubled or out of order. What is received is a pattern that goes on. Each connection is adopted, accepted from a listener with a limit,
 * or connected; it sends, reserves places and fills them late, asks for notices, expects lengths, pauses, gives bufs to tasks, sets
 * time-outs, and is finished, closed or reset, in any state. The ledger: `connected` and `end` at most once, nothing after a finish but
 * `sent`, once, and `closed`; each notice and each task one end before `closed`, all bytes there after a finish that went well, all counts
 * zero at the end.
 *
 * The memory of a connection is overwritten in `closed`; bufs that are kept are verified when they are freed. On the fake kernel each
 * sequence is a function of its seed. SEQUENCES= and STEPS= say how many and how long, SECONDS= for how long as well; SEED= repeats one.
 */
#include <sys/un.h>

#include "support/world.h"

enum {
    CONNS = 32,
    STEPS_DEFAULT = WORLD_IS_FAKE ? 160 : 30000,
    SEQUENCES_DEFAULT = WORLD_IS_FAKE ? 700 : 1,
    HEADER = 8,
    PLACES = 3,
    LIVE_MAX = 6,
};

static uint64_t seed_now;

#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s SEED=%llu", #condition, (unsigned long long)seed_now);                                    \
    } while (0)

struct conn;

struct note {
    struct job_notice notice;
    const struct conn *conn;
    uint32_t number;                   /* of the last record before it */
    bool is_out, was_sent;
};

/* What the other end has read of the records. */
struct reader {
    uint8_t header[HEADER];
    uint32_t have, number, len, at;
    uint64_t bytes;
};

struct conn {
    struct job_stream stream;
    struct job_task task;
    struct job_place places[PLACES];
    uint32_t numbers[PLACES];          /* of the records that they wait for; 0: not reserved */
    struct note notes[PLACES];
    struct reader reader;
    int peer;                          /* -1: not yet there, or gone */
    unsigned slot;
    uint32_t number;                   /* of the last record */
    uint64_t queued;                   /* bytes of all records */
    uint64_t peer_sent, received;
    size_t expected;
    struct job_buf *kept;
    uint64_t kept_from;
    bool is_submitted, is_closing, is_finishing, has_ended, is_connecting, has_timeout, owes_room, is_reset;
    bool is_told;                      /* `sent`, after finish */
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_listener listener;
static int raw_listener;
static char raw_address[JOB_ADDRESS_TEXT], address[JOB_ADDRESS_TEXT];
static struct conn *conns[CONNS];
static struct conn *incoming[CONNS];       /* that were dialled and are not accepted yet, in order */
static unsigned incoming_count, live_count;
static struct job_timer step_timer;
static struct random dice;
static unsigned steps_left, opened, closed_count, submitted, done_count, notes_out;
static bool is_over;

/* What never happens tests nothing. */
static struct {
    unsigned connected, refused, accepted, exact, short_exact, timed_out, failed, filled, writable, complete;
    unsigned notices, cancelled_notices, dropped;
} seen;

/* Some of it happens two or three times in a sequence of the ring's world, so now and then not at all: then there are more sequences. */
enum { MORE_MAX = 16 };

static const char *never_seen(void)
{
    static const char *const names[] = {"connected", "refused", "accepted", "exact",    "short_exact", "timed_out", "failed",
                                        "filled",    "writable", "complete", "notices", "cancelled_notices", "dropped"};
    const unsigned *each = &seen.connected;
    for (size_t i = 0; i < sizeof seen / sizeof *each; i++) {
        if (each[i] == 0)
            return names[i];
    }
    return NULL;
}

static bool one_in(unsigned n)
{
    return random_below(&dice, n) == 0;
}

static uint8_t pattern(uint64_t key, uint64_t offset)
{
    return (uint8_t)((offset * 2654435761U ^ key * 40503U) >> 11);
}

static void close_conn(struct conn *conn)
{
    conn->is_closing = true;
    conn->is_reset = one_in(4);
    if (conn->is_reset)
        job_stream_reset(&conn->stream);
    else
        job_stream_close(&conn->stream);
}

/* Records. */

static void write_record(uint8_t *bytes, uint32_t number, uint32_t len)
{
    memcpy(bytes, &number, 4);
    memcpy(bytes + 4, &len, 4);
    for (uint32_t i = 0; i < len; i++)
        bytes[HEADER + i] = pattern(number, i);
}

static struct job_buf *record(uint32_t number)
{
    struct job_buf *buf = NULL;
    size_t room;
    uint32_t len = (uint32_t)random_below(&dice, one_in(6) ? 60000 : 100);
    if (job_buf_alloc(job_runtime_arena(runtime), HEADER + len, NULL, &buf) < 0)
        return NULL;
    uint8_t *bytes = job_buf_room(buf, &room);
    write_record(bytes, number, len);
    must(job_buf_extend(buf, HEADER + len) == 0);
    return buf;
}

static void read_records(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct reader *reader = &conn->reader;
    reader->bytes += len;
    for (size_t i = 0; i < len; i++) {
        if (reader->have < HEADER) {
            reader->header[reader->have++] = bytes[i];
            if (reader->have < HEADER)
                continue;
            uint32_t before = reader->number;
            memcpy(&reader->number, reader->header, 4);
            memcpy(&reader->len, reader->header + 4, 4);
            must(reader->number > before && reader->number <= conn->number && reader->len < 60000);
            reader->at = 0;
        } else {
            must(bytes[i] == pattern(reader->number, reader->at));
            reader->at++;
        }
        if (reader->at == reader->len)
            reader->have = 0;
    }
}

/* Callbacks. */

static void work(struct job_task *task)
{
    if (task->buf)
        job_task_set_status(task, (int)(job_buf_len(task->buf) % 100));
}

static void worked(struct job_task *task, int status)
{
    struct conn *conn = job_container_of(task, struct conn, task);
    must(conn->is_submitted);
    (void)status;
    conn->is_submitted = false;
    done_count++;
    if (!conn->is_closing && !conn->is_finishing && one_in(2))
        job_stream_resume(&conn->stream);
}

static void give_to_task(struct conn *conn, struct job_buf **in)
{
    must(job_task_give(&conn->task, in) == 0);
    conn->is_submitted = job_submit(pool, &conn->task, &conn->stream.handle) == 0;
    submitted += conn->is_submitted;
    if (!conn->is_submitted) {
        struct job_buf *back = job_task_take(&conn->task);
        job_buf_free(&back);
    }
}

static void verify_kept(struct conn *conn)
{
    uint64_t offset = conn->kept_from;
    for (const struct job_buf *segment = conn->kept; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++)
            must(bytes[i] == pattern(conn->slot, offset + i));
        offset += job_buf_segment_len(segment);
    }
    job_buf_free(&conn->kept);
}

static void expect(struct conn *conn, size_t len)
{
    int err = job_stream_expect(&conn->stream, len);
    must(err == 0 || err == -EBUSY || err == -ENOMEM);
    if (err == 0)
        conn->expected = len;
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    size_t len = job_buf_len(*in);
    must(!conn->is_closing && !conn->is_finishing && !conn->has_ended && !conn->is_connecting);
    must(!job_stream_is_paused(stream) && len > 0);
    seen.exact += conn->expected > 0 && len == conn->expected;
    seen.short_exact += len < conn->expected;
    if (conn->expected > 0) {
        must(job_buf_segments(*in) == 1);
        must(len == conn->expected || (len < conn->expected && conn->received + len == conn->peer_sent));
    }
    conn->expected = 0;
    verify_kept(conn);
    conn->kept = job_buf_take(in);
    conn->kept_from = conn->received;
    conn->received += len;
    if (one_in(30))
        return close_conn(conn);
    if (one_in(4))
        expect(conn, 1 + random_below(&dice, one_in(2) ? 60 : 30000));
    if (one_in(3))
        job_stream_pause(stream);
    if (!conn->is_submitted && one_in(3))
        give_to_task(conn, &conn->kept);
}

static void on_end(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(!conn->has_ended && !conn->is_closing && !conn->is_finishing && !conn->is_connecting);
    must(status != -ETIMEDOUT || conn->has_timeout);
    must(status != 0 || conn->received == conn->peer_sent);
    seen.timed_out += status == -ETIMEDOUT;
    seen.failed += status < 0 && status != -ETIMEDOUT;
    conn->has_ended = true;
    if (one_in(2))
        close_conn(conn);
}

static void on_connected(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(conn->is_connecting && !conn->is_closing && !conn->is_finishing);
    seen.connected += status == 0;
    seen.refused += status < 0;
    conn->is_connecting = false;
    if (status < 0)
        close_conn(conn);
}

static void on_sent(struct job_stream *stream, int status)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(!conn->is_closing);
    must(status < 0 || job_stream_sent(stream) <= conn->queued);
    must(!conn->is_finishing || status < 0 || (job_stream_sent(stream) == conn->queued && !conn->is_told));
    conn->is_told = conn->is_finishing;
}

static void on_writable(struct job_stream *stream)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(!conn->is_closing && !conn->is_finishing && conn->owes_room);   /* once more when two things were refused */
    seen.writable++;
}

static void note_sent(struct job_notice *notice, int status)
{
    struct note *note = job_container_of(notice, struct note, notice);
    must(note->is_out && !note->was_sent && status <= 0);
    note->was_sent = true;
    for (int i = 0; i < PLACES && status == 0; i++)
        must(note->conn->numbers[i] == 0 || note->conn->numbers[i] > note->number);
    seen.notices += status == 0;
    seen.cancelled_notices += status == -ECANCELED;
}

static void note_released(struct job_notice *notice)
{
    struct note *note = job_container_of(notice, struct note, notice);
    must(note->is_out && note->was_sent);
    note->is_out = note->was_sent = false;
    notes_out--;
}

/* Reads what is left, until the end. */
static void drain_peer(struct conn *conn, int flags)
{
    static uint8_t bytes[65536];
    ssize_t n;
    while (conn->peer >= 0 && (n = recv(conn->peer, bytes, sizeof bytes, flags)) > 0)
        read_records(conn, bytes, (size_t)n);
    if (conn->peer >= 0)
        close(conn->peer);
    conn->peer = -1;
}

static void on_closed(struct job_stream *stream)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    must(conn->is_closing || conn->is_finishing);
    must(!conn->is_submitted && conns[conn->slot] == conn);
    for (int i = 0; i < PLACES; i++)
        must(!conn->notes[i].is_out);
    bool is_complete = conn->is_finishing && !conn->is_closing && job_stream_status(stream) == 0;
    seen.complete += is_complete;
    if (is_complete)
        must(job_stream_sent(stream) == conn->queued);
    must(conn->received <= job_stream_received(stream));
    int peer = conn->peer;
    if (peer >= 0)
        (void)fcntl(peer, F_SETFL, 0);   /* our end is closed: it ends */
    drain_peer(conn, 0);
    must(conn->reader.bytes <= job_stream_sent(stream));
    if (is_complete && peer >= 0)
        must(conn->reader.bytes == conn->queued);
    verify_kept(conn);
    must(job_task_fini(&conn->task) == 0);
    closed_count++;
    live_count -= conn->stream.handle.data != NULL;
    conns[conn->slot] = NULL;
    memset(conn, 0xEE, sizeof *conn);
    free(conn);
}

static const struct job_stream_events events = {
    .data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed, .writable = on_writable,
    .connected = on_connected};

/* Three ways to be born. */

static struct conn *new_conn(unsigned slot)
{
    struct conn *conn = calloc(1, sizeof *conn);
    must(conn && !conns[slot]);
    conn->slot = slot;
    conn->peer = -1;
    must(job_task_init(&conn->task, pool, work, worked) == 0);
    conns[slot] = conn;
    opened++;
    return conn;
}

static void adopt(unsigned slot)
{
    int fds[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    struct conn *conn = new_conn(slot);
    conn->peer = fds[0];
    must(job_stream_adopt(loop, &conn->stream, fds[1], &events) == 0);
}

static void connect_out(unsigned slot)
{
    struct conn *conn = new_conn(slot);
    struct job_connect_options options = {.timeout_ns = 1 + random_below(&dice, one_in(2) ? 1000 : 1000000000)};
    conn->is_connecting = true;
    const char *to = one_in(8) ? "unix:@nobody-listens-here" : raw_address;
    must(job_stream_connect(loop, &conn->stream, to, &options, &events) == 0);
    conn->peer = accept4(raw_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void accepted(struct job_listener *from, struct job_incoming *in)
{
    must(incoming_count > 0 && live_count < LIVE_MAX && !is_over);
    struct conn *conn = incoming[0];
    memmove(incoming, incoming + 1, --incoming_count * sizeof(struct conn *));
    must(job_stream_accept(&conn->stream, in, &events) == 0);
    conn->stream.handle.data = from;
    live_count++;
    seen.accepted++;
}

static void dial_in(unsigned slot)
{
    struct sockaddr_storage to;
    socklen_t len;
    must(job_address_parse(address, &to, &len) == 0);
    int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *)&to, len) == 0);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    struct conn *conn = new_conn(slot);
    conn->peer = fd;
    incoming[incoming_count++] = conn;
}

/* What both ends do. */

static void peer_sends(struct conn *conn, size_t len)
{
    static uint8_t bytes[70000];
    for (size_t i = 0; i < len; i++)
        bytes[i] = pattern(conn->slot, conn->peer_sent + i);
    ssize_t n = send(conn->peer, bytes, len, MSG_NOSIGNAL);
    conn->peer_sent += n > 0 ? (uint64_t)n : 0;
}

static void peer_acts(struct conn *conn)
{
    static uint8_t bytes[65536];
    ssize_t n;
    if (conn->peer < 0)
        return;
    switch (random_below(&dice, 8)) {
    case 0:
    case 1: return peer_sends(conn, 1 + random_below(&dice, 40));
    case 2: return peer_sends(conn, 1 + random_below(&dice, 70000));
    case 3:
        if (one_in(8))
            (void)shutdown(conn->peer, SHUT_WR);
        return;
    case 4:
        if (one_in(12)) {
            close(conn->peer);
            conn->peer = -1;
        }
        return;
    default:
        n = recv(conn->peer, bytes, one_in(3) ? 1 : sizeof bytes, 0);
        if (n > 0)
            read_records(conn, bytes, (size_t)n);
    }
}

static void send_records(struct conn *conn)
{
    struct job_buf *bufs[2] = {record(conn->number + 1), record(conn->number + 2)};
    if (!bufs[0] || !bufs[1]) {
        job_buf_free(&bufs[0]);
        job_buf_free(&bufs[1]);
        return;
    }
    size_t len = job_buf_len(bufs[0]) + job_buf_len(bufs[1]);
    int err = job_stream_send_all(&conn->stream, bufs, 2);
    must((bufs[0] == NULL) == (err == 0) && (bufs[1] == NULL) == (err == 0));
    job_buf_free(&bufs[0]);
    job_buf_free(&bufs[1]);
    if (err == 0) {
        conn->number += 2;
        conn->queued += len;
        conn->owes_room |= job_stream_is_full(&conn->stream);
    }
}

static void write_small(struct conn *conn)
{
    uint8_t bytes[HEADER + 50];
    uint32_t len = (uint32_t)random_below(&dice, 50);
    write_record(bytes, conn->number + 1, len);
    int err = job_stream_write(&conn->stream, bytes, HEADER + len);
    conn->owes_room |= err == -ENOMEM;
    if (err == 0) {
        conn->number++;
        conn->queued += HEADER + len;
    }
}

static void use_place(struct conn *conn, unsigned i)
{
    if (conn->numbers[i] == 0) {
        if (job_stream_reserve(&conn->stream, &conn->places[i]) == 0)
            conn->numbers[i] = ++conn->number;
        else
            conn->owes_room = true;
        return;
    }
    struct job_buf *buf = one_in(4) ? NULL : record(conn->numbers[i]);
    size_t len = job_buf_len(buf);
    if (buf && job_place_fill(&conn->places[i], &buf) == 0)
        conn->queued += len, seen.filled++;
    else
        job_place_abandon(&conn->places[i]);
    job_buf_free(&buf);
    conn->numbers[i] = 0;
}

static void ask_for_notice(struct conn *conn, struct note *note)
{
    if (note->is_out)
        return;
    *note = (struct note){.conn = conn, .number = conn->number};
    note->notice = (struct job_notice){.sent = note_sent, .released = note_released};
    note->is_out = job_stream_notify(&conn->stream, &note->notice) == 0;
    notes_out += note->is_out;
}

static void set_timeouts(struct conn *conn)
{
    uint64_t timeout = one_in(3) ? 0 : 1 + random_below(&dice, one_in(2) ? 20000 : 10000000);
    conn->has_timeout = true;
    switch (random_below(&dice, 3)) {
    case 0: must(job_stream_set_idle_timeout(&conn->stream, timeout) == 0); break;
    case 1: must(job_stream_set_send_timeout(&conn->stream, timeout) == 0); break;
    default: must(job_stream_set_deadline(&conn->stream, timeout) == 0);
    }
}

/* What is dropped was never to be read by the peer; what was expected comes in any length. */
static void cancel(struct conn *conn)
{
    size_t before = job_stream_queued(&conn->stream);
    unsigned what = 1 + (unsigned)random_below(&dice, JOB_STREAM_ALL);
    int err = job_stream_cancel(&conn->stream, what);
    must(err == 0 || err == -ENOENT || (err == -ECANCELED && conn->is_finishing));
    conn->queued -= before - job_stream_queued(&conn->stream);
    seen.dropped += before > job_stream_queued(&conn->stream);
    if (what & JOB_STREAM_EXPECT)
        conn->expected = 0;
}

static void finish(struct conn *conn)
{
    conn->is_finishing = true;
    must(job_stream_finish(&conn->stream, 1 + random_below(&dice, one_in(2) ? 1000 : 1000000000)) == 0);
}

/* A stream that finishes may be closed by itself at any time, but its `closed` has not come: it is still ours to close or fill. */
static void we_act(struct conn *conn)
{
    if (conn->stream.handle.job_loop == NULL || conn->is_closing)
        return;   /* in the backlog */
    switch (random_below(&dice, 16)) {
    case 0: return job_stream_pause(&conn->stream);
    case 1: case 2: return job_stream_resume(&conn->stream);
    case 3: case 4: return use_place(conn, (unsigned)random_below(&dice, PLACES));
    case 5: return one_in(6) ? close_conn(conn) : (void)0;
    case 6: return one_in(3) ? cancel(conn) : (void)0;
    default: break;
    }
    if (conn->is_finishing)
        return;
    switch (random_below(&dice, 12)) {
    case 0: case 1: return send_records(conn);
    case 2: case 3: return write_small(conn);
    case 4: return ask_for_notice(conn, &conn->notes[random_below(&dice, PLACES)]);
    case 5: return set_timeouts(conn);
    case 6: return one_in(3) ? finish(conn) : (void)0;
    case 7: return one_in(8) ? (void)job_stream_shutdown(&conn->stream) : (void)0;
    case 8: return expect(conn, random_below(&dice, 3) * random_below(&dice, 20000));
    case 9: return (void)(conn->is_submitted && one_in(2) && job_task_cancel(&conn->task));
    case 10:
        must(job_stream_set_marks(&conn->stream, 1000, 10) == 0);
        conn->owes_room = true;   /* may be full from now on */
        return;
    default: return;
    }
}

static void end_all(void)
{
    is_over = true;
    job_listener_close(&listener, NULL);
    for (unsigned slot = 0; slot < CONNS; slot++) {
        struct conn *conn = conns[slot];
        if (conn && conn->stream.handle.job_loop == NULL) {   /* never accepted */
            drain_peer(conn, MSG_DONTWAIT);
            must(job_task_fini(&conn->task) == 0);
            conns[slot] = NULL;
            closed_count++;
            free(conn);
        } else if (conn && !conn->is_closing) {
            close_conn(conn);
        }
    }
}

static void step(struct job_timer *timer)
{
    static void (*const births[])(unsigned slot) = {adopt, connect_out, dial_in};
    for (int i = 0; i < 8 && steps_left > 0; i++, steps_left--) {
        unsigned slot = (unsigned)random_below(&dice, CONNS);
        if (!conns[slot])
            births[random_below(&dice, 3)](slot);
        for (unsigned n = 0; n < 6; n++) {
            slot = (unsigned)random_below(&dice, CONNS);
            if (conns[slot] && one_in(2))
                peer_acts(conns[slot]);
            else if (conns[slot])
                we_act(conns[slot]);
        }
    }
    if (steps_left > 0)
        return (void)job_timer_start(timer, one_in(4) ? random_below(&dice, 100000) : 0);
    end_all();
}

/* One sequence, all of it: a loop of its own, and nothing left behind. */
static void open_world(void)
{
    struct sockaddr_storage to;
    socklen_t len;
    static unsigned worlds;
    char accepting[JOB_ADDRESS_TEXT];
    (void)snprintf(raw_address, sizeof raw_address, "unix:@streams-%d-%u", (int)getpid(), worlds);
    (void)snprintf(accepting, sizeof accepting, "unix:@streams-accept-%d-%u", (int)getpid(), worlds++);
    must(job_address_parse(raw_address, &to, &len) == 0);
    raw_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(bind(raw_listener, (struct sockaddr *)&to, len) == 0 && listen(raw_listener, CONNS) == 0);
    unsigned slots = WORLD_IS_FAKE ? 4U << random_below(&dice, 3) : 8;
    struct job_loop_options options = {.receive_slots = slots, .receive_slot_bytes = 4096};
    must(job_loop_open(runtime, &loop, &options) == 0);
    struct job_listener_options listen_options = {
        .address = one_in(WORLD_IS_FAKE ? 32 : 2) ? NULL : accepting, .connections_max = LIVE_MAX};
    must(job_listener_open(loop, &listener, &listen_options, accepted) == 0);
    must(job_listener_address(&listener, address, sizeof address) == 0);
    incoming_count = live_count = 0;
    is_over = false;
}

static void run_sequence(unsigned steps)
{
    steps_left = steps;
    open_world();
    must(job_timer_open(loop, &step_timer, step) == 0);
    must(job_timer_start(&step_timer, 0) == 0);

    must(job_loop_run(loop) == 0);

    must(opened == closed_count && submitted == done_count && notes_out == 0);
    must(job_loop_close(&loop, 0) == 0);
    close(raw_listener);
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    must(counts.bufs == 0);
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

/* SECONDS= : the same for so long. From a tenth of it on, at most a minute, memory may not grow any more. */
enum { GROWTH_MAX = 2 << 20 };

static size_t resident_bytes(void)
{
    size_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    must(file && fscanf(file, "%zu %zu", &size, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Sequences with seeds from `first` on. Returns how many. */
static unsigned soak(uint64_t first, double seconds, unsigned steps)
{
    double begin = seconds_now(), warm = begin + (seconds > 600 ? 60 : seconds / 10);
    size_t base = 0, most = 0;
    unsigned count = 0;
    while (seconds_now() < begin + seconds) {
        seed_now = first + count;
        prepare_world(count++);
        run_sequence(steps);
        size_t resident = resident_bytes();
        if (base == 0 || seconds_now() < warm)
            base = resident > base ? resident : base;
        most = resident > most ? resident : most;
    }
    fprintf(stderr, "%.0f s, %u sequences of %u steps, %u connections: %zu KiB resident, %zu at most later\n", seconds, count,
            steps, opened, base >> 10, most >> 10);
    ck_assert_uint_le(most, base + GROWTH_MAX);
    return count;
}

START_TEST(whatever_a_connection_lives_through_nothing_is_lost_doubled_or_left)
{
    uint64_t first = fixture_random("whatever_a_connection_lives_through_nothing_is_lost_doubled_or_left").state;
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

    const char *seconds = getenv("SECONDS");
    if (seconds)
        first += soak(first, atof(seconds), steps);
    for (unsigned i = 0; i < sequences; i++) {
        seed_now = first + i;
        prepare_world(i);
        run_sequence(steps);
    }

    for (unsigned i = 0; never_seen() && !getenv("SEED") && i < MORE_MAX; i++) {
        seed_now = first + sequences + i;
        prepare_world(sequences + i);
        run_sequence(steps);
    }
    ck_assert_msg(!never_seen() || getenv("SEED"), "%s: it never happened", never_seen());
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("streams");
    TCase *tcase = tcase_create("streams");
    const char *seconds = getenv("SECONDS");
    tcase_set_timeout(tcase, 280 + (seconds ? atof(seconds) : 0));
    tcase_add_test(tcase, whatever_a_connection_lives_through_nothing_is_lost_doubled_or_left);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
