/* test_network.c — a service behind a bad network, and at its limit of descriptors.
 *
 * A proxy thread stands between clients and service and does what networks do: it delays, cuts into single bytes, loses some, forwards
 * nothing any more, resets. The service takes messages of known length, answers each with its bytes inverted, and has time-outs. However
 * bad it is: what a client reads is right as far as it goes, all of it when the network only was slow, and the service is rid of everybody.
 */
#include <endian.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "support/fixture.h"

enum { MS = 1000000, CLIENTS = 8, MESSAGES = 6, MESSAGE = 3000, HEADER = 4 };

enum weather { CALM, SINGLE_BYTES, DELAY, LOSS, BLACK_HOLE, RESET, WEATHERS };

/* The service. */

struct conn {
    struct job_stream stream;
    bool has_header;
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_listener listener;
static struct conn conns[512];
static unsigned opened, closed_count, timed_out, broken, wanted;
static uint64_t patience_ns;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct conn *conn = job_container_of(stream, struct conn, stream);
    uint32_t len = 0;
    conn->has_header = !conn->has_header;
    if (conn->has_header) {
        if (job_buf_read(*in, 0, &len, HEADER) < 0 || be32toh(len) != MESSAGE)
            return job_stream_close(stream);   /* bytes were lost: this is no header */
        ck_assert_ok(job_stream_expect(stream, MESSAGE));
        return;
    }
    uint8_t *bytes = job_buf_data(*in);
    for (size_t i = 0; i < job_buf_len(*in); i++)
        bytes[i] = (uint8_t)~bytes[i];
    (void)job_stream_send(stream, in);
    ck_assert_ok(job_stream_expect(stream, HEADER));
    ck_assert_ok(job_stream_set_deadline(stream, patience_ns));
}

static void on_end(struct job_stream *stream, int status)
{
    timed_out += status == -ETIMEDOUT;
    broken += status < 0 && status != -ETIMEDOUT;
    (void)job_stream_finish(stream, patience_ns);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    if (++closed_count == wanted)
        job_listener_close(&listener, NULL);
}

static void accepted(struct job_listener *from, struct job_incoming *incoming)
{
    static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};
    struct conn *conn = &conns[opened++];
    (void)from;
    ck_assert_uint_le(opened, sizeof conns / sizeof conns[0]);
    conn->has_header = false;
    ck_assert_ok(job_stream_accept(&conn->stream, incoming, &events));
    ck_assert_ok(job_stream_expect(&conn->stream, HEADER));
    ck_assert_ok(job_stream_set_idle_timeout(&conn->stream, patience_ns));
    ck_assert_ok(job_stream_set_deadline(&conn->stream, patience_ns));
}

static void open_service(const struct job_listener_options *options, uint64_t patience)
{
    opened = closed_count = timed_out = broken = 0;
    patience_ns = patience;
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_listener_open(loop, &listener, options, accepted));
}

static void close_service(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_le(counts.bufs, 1);   /* a loop may keep one slot for small receives */
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

/* The proxy: one thread a connection. */

struct proxied {
    pthread_t thread;
    enum weather weather;
    struct random dice;
    int client, service;         /* its own descriptors, to either side */
    size_t forwarded, trouble_at;
};

static void reset_both(struct proxied *p)
{
    static const struct linger at_once = {.l_onoff = 1};
    setsockopt(p->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    setsockopt(p->service, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* One way, one piece. False: this connection is over. */
static bool forward(struct proxied *p, int from, int to)
{
    uint8_t bytes[1000];
    size_t most = p->weather == SINGLE_BYTES ? 1 : sizeof bytes;
    ssize_t n = recv(from, bytes, most, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (p->weather == DELAY && random_below(&p->dice, 4) == 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)random_below(&p->dice, 2 * MS)}, NULL);
    p->forwarded += (size_t)n;
    if (p->forwarded > p->trouble_at && p->weather == RESET)
        return reset_both(p), false;
    if (p->forwarded > p->trouble_at && p->weather == LOSS) {
        p->trouble_at = SIZE_MAX;
        n /= 2;
    }
    return n == 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *stand_between(void *arg)
{
    struct proxied *p = arg;
    bool is_open = true;
    while (is_open) {
        struct pollfd both[] = {{.fd = p->client, .events = POLLIN}, {.fd = p->service, .events = POLLIN}};
        bool is_hole = p->weather == BLACK_HOLE && p->forwarded > p->trouble_at;
        if (is_hole)
            both[0].events = both[1].events = POLLRDHUP;   /* until one of them gives up */
        (void)poll(both, 2, -1);
        if (is_hole)
            break;
        for (int i = 0; i < 2 && is_open; i++) {
            if (both[i].revents)
                is_open = forward(p, both[i].fd, both[!i].fd);
        }
    }
    close(p->client);
    close(p->service);
    return NULL;
}

/* The clients: a thread each, at the other end of a socket pair that leads to its proxy. */

struct client {
    pthread_t thread;
    struct proxied proxied;
    int fd;
    uint8_t key;
    size_t right;                /* bytes of answers */
    bool is_wrong;
};

static void *ask(void *arg)
{
    struct client *client = arg;
    uint8_t message[HEADER + MESSAGE], answer[MESSAGE];
    uint32_t header = htobe32(MESSAGE);
    memcpy(message, &header, HEADER);
    for (int n = 0; n < MESSAGES; n++) {
        memset(message + HEADER, client->key + n, MESSAGE);
        if (send(client->fd, message, sizeof message, MSG_NOSIGNAL) != (ssize_t)sizeof message)
            break;
        ssize_t got = recv(client->fd, answer, MESSAGE, MSG_WAITALL);
        for (ssize_t i = 0; i < got; i++)
            client->is_wrong |= (answer[i] ^ message[HEADER + i]) != 0xFF;
        client->right += got > 0 ? (size_t)got : 0;
        if (got != MESSAGE)
            break;
    }
    close(client->fd);
    return NULL;
}

static void start_client(struct client *client, enum weather weather, uint64_t seed)
{
    int fds[2];
    fixture_pair(fds);
    *client = (struct client){.fd = fds[0], .key = (uint8_t)seed};
    client->proxied = (struct proxied){.weather = weather, .dice = {seed}, .client = fds[1]};
    client->proxied.trouble_at = random_below(&client->proxied.dice, 4 * MESSAGE);
    client->proxied.service = fixture_connect(job_listener_port(&listener));
    ck_assert_int_eq(pthread_create(&client->proxied.thread, NULL, stand_between, &client->proxied), 0);
    ck_assert_int_eq(pthread_create(&client->thread, NULL, ask, client), 0);
}

START_TEST(whatever_the_network_does_answers_are_right_and_nobody_is_left)
{
    enum weather weather = (enum weather)_i;
    struct client clients[CLIENTS];
    struct random dice = fixture_random("network");
    bool is_only_slow = weather <= DELAY;
    int descriptors = fixture_descriptors();
    wanted = CLIENTS;
    open_service(NULL, is_only_slow ? 60000 * (uint64_t)MS : 30 * MS);
    for (int i = 0; i < CLIENTS; i++)
        start_client(&clients[i], weather, random_next(&dice));

    ck_assert_int_eq(job_loop_run(loop), 0);

    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        pthread_join(clients[i].proxied.thread, NULL);
        ck_assert_msg(!clients[i].is_wrong || weather == LOSS, "client %d read what was not sent to it", i);
        if (is_only_slow)
            ck_assert_uint_eq(clients[i].right, MESSAGES * MESSAGE);
    }
    if (is_only_slow)
        ck_assert_uint_eq(timed_out + broken, 0);
    if (weather == BLACK_HOLE)
        ck_assert_uint_eq(timed_out, CLIENTS);
    close_service();
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

/* Clients in a process of their own, since here descriptors are few. Exits with 1 when one hears neither an answer nor an end. */
static void storm(int gate, unsigned visits)
{
    uint16_t port = 0;
    struct client client;
    if (read(gate, &port, sizeof port) != (ssize_t)sizeof port)
        _exit(2);
    for (unsigned n = 0; n < visits; n += 10) {
        int fds[10];
        for (int i = 0; i < 10; i++)
            fds[i] = fixture_connect(port);
        for (int i = 0; i < 10; i++) {
            client = (struct client){.fd = fds[i], .key = (uint8_t)i};
            (void)ask(&client);
            if (client.is_wrong)
                _exit(1);
        }
    }
    _exit(0);
}

static void is_it_over(struct job_timer *timer)
{
    int status;
    pid_t child = (pid_t)(intptr_t)timer->handle.data;
    if (waitpid(child, &status, WNOHANG) == 0) {
        ck_assert_ok(job_timer_start(timer, MS));
        return;
    }
    ck_assert_int_eq(status, 0);
    job_timer_close(timer, NULL);
    job_listener_close(&listener, NULL);
}

START_TEST(a_storm_of_clients_at_the_limit_of_descriptors_is_survived)
{
    enum { VISITS = 400 };
    struct rlimit before, low;
    struct job_timer timer;
    int gate[2];
    ck_assert_int_eq(pipe(gate), 0);
    pid_t child = fork();
    if (child == 0)
        storm(gate[0], VISITS);
    int descriptors = fixture_descriptors();
    wanted = UINT32_MAX;
    open_service(&(struct job_listener_options){.turns_away = _i}, 60000 * (uint64_t)MS);
    uint16_t port = job_listener_port(&listener);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(0);
    close(highest);
    low = (struct rlimit){(rlim_t)highest + 3, before.rlim_max};   /* three connections at a time, of ten that come */
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    timer.handle.data = (void *)(intptr_t)child;
    ck_assert_ok(job_timer_open(loop, &timer, is_it_over));
    ck_assert_ok(job_timer_start(&timer, MS));
    ck_assert_int_eq(write(gate[1], &port, sizeof port), sizeof port);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(opened, closed_count);
    ck_assert_uint_gt(opened, 0);
    if (_i == 0)
        ck_assert_uint_eq(opened, VISITS);   /* all have waited for their turn */
    close_service();
    ck_assert_int_eq(fixture_descriptors(), descriptors);
    close(gate[0]);
    close(gate[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("network");
    TCase *tcase = tcase_create("network");
    tcase_set_timeout(tcase, 20);
    tcase_add_loop_test(tcase, whatever_the_network_does_answers_are_right_and_nobody_is_left, 0, WEATHERS);
    tcase_add_loop_test(tcase, a_storm_of_clients_at_the_limit_of_descriptors_is_survived, 0, 2);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
