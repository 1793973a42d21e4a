/* test_listener.c — open, accept, what is not taken, running out of descriptors, close, and every refusal. */
#include <netinet/tcp.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/atomic.h"
#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_listener listener;
static unsigned accepted_count, closed_count;
static int taken[64];
static char address_of_path[64];   /* "unix:", and */
static const char *const path = address_of_path + 5;   /* of this process: others may run beside it */
static const struct job_listener_options on_path = {.address = address_of_path};

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    accepted_count = closed_count = 0;
    (void)snprintf(address_of_path, sizeof address_of_path, "unix:/tmp/test_listener.%d", (int)getpid());
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static void closed(struct job_listener *l)
{
    ck_assert_ptr_eq(l, &listener);
    closed_count++;
}

static void leaves(struct job_listener *l, struct job_incoming *incoming)
{
    ck_assert_ptr_eq(incoming->listener, l);
    int one = 0;
    socklen_t len = sizeof one;
    ck_assert_int_eq(getsockopt(incoming->fd, IPPROTO_TCP, TCP_NODELAY, &one, &len), 0);
    ck_assert_int_ne(one, 0);
    ck_assert_int_ne(fcntl(incoming->fd, F_GETFD) & FD_CLOEXEC, 0);
    accepted_count++;
    job_listener_close(l, closed);
    job_listener_close(l, NULL);
    ck_assert_uint_eq(closed_count, 0);
}

static void leaves_unix(struct job_listener *l, struct job_incoming *incoming)
{
    (void)incoming;
    accepted_count++;
    job_listener_close(l, closed);
}

START_TEST(what_the_callback_does_not_take_is_closed_and_close_inside_it_comes_later_and_once)
{
    int descriptors = fixture_descriptors();
    ck_assert_ok(job_listener_open(loop, &listener, NULL, leaves));
    int client = fixture_connect(job_listener_port(&listener));

    ck_assert_int_eq(job_loop_run(loop), 0);

    char byte;
    ck_assert_int_le(recv(client, &byte, 1, 0), 0);
    close(client);
    ck_assert_uint_eq(accepted_count, 1);
    ck_assert_uint_eq(closed_count, 1);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

static void takes_descriptor(struct job_listener *l, struct job_incoming *incoming)
{
    taken[accepted_count++] = incoming->fd;
    incoming->fd = -1;
    if (accepted_count == 3)
        job_listener_close(l, closed);
}

START_TEST(a_descriptor_that_is_taken_stays_open)
{
    int clients[3];
    ck_assert_ok(job_listener_open(loop, &listener, &(struct job_listener_options){.address = "::1"}, takes_descriptor));
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(job_listener_port(&listener)),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    for (int i = 0; i < 3; i++) {
        clients[i] = socket(AF_INET6, SOCK_STREAM, 0);
        ck_assert_int_eq(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(accepted_count, 3);
    for (int i = 0; i < 3; i++) {
        fixture_write(clients[i], "x", 1);
        char byte = 0;
        ck_assert_uint_eq(fixture_read(taken[i], &byte, 1), 1);
        close(taken[i]);
        close(clients[i]);
    }
}
END_TEST

static int hoard[64], hoarded;

/* Another thread's descriptors: no handle of the loop ever closes one. */
static void *frees_one_later(void *arg)
{
    (void)arg;
    for (;;) {
        struct job_loop_stats stats;
        job_loop_stats(loop, &stats);
        if (stats.completions > 0)   /* the first accept has failed */
            break;
        sched_yield();
    }
    close(hoard[--hoarded]);
    return NULL;
}

START_TEST(a_listener_without_descriptors_goes_on_when_somebody_else_frees_one)
{
    struct rlimit before, low;
    pthread_t thread;
    ck_assert_ok(job_listener_open(loop, &listener, NULL, leaves));
    int client = fixture_connect(job_listener_port(&listener));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(0);
    low = (struct rlimit){(rlim_t)highest + 8, before.rlim_max};
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (hoarded = 0; (hoard[hoarded] = dup(0)) >= 0; hoarded++)
        ck_assert_int_lt(hoarded, 60);
    ck_assert_int_eq(pthread_create(&thread, NULL, frees_one_later, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(accepted_count, 1);
    while (hoarded > 0)
        close(hoard[--hoarded]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    close(client);
}
END_TEST

static int guests[3];

static void serves_the_others(struct job_listener *l, struct job_incoming *incoming)
{
    (void)incoming;
    if (++accepted_count == 2)
        job_listener_close(l, closed);
}

static bool is_turned_away(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

static void come(int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(job_listener_port(&listener)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
}

static sem_t has_turned;

static void turned(struct job_call *call)
{
    (void)call;
    sem_post(&has_turned);
}

/* The second call is of a later turn than what was seen before the first. */
static void wait_for_a_turn(void)
{
    static struct job_call calls[2] = {{.run = turned}, {.run = turned}};
    sem_init(&has_turned, 0, 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(job_loop_call(loop, &calls[i]));
        sem_wait(&has_turned);
    }
}

/* Two that come when the first was lost wait, however often the listener looks; then there are descriptors. */
static void *visit_without_a_number(void *arg)
{
    struct job_loop_stats stats;
    bool *is_lost = arg;
    come(guests[0]);
    while (!is_turned_away(guests[0]))
        sched_yield();
    wait_for_a_turn();   /* so accepting has paused: another may be lost until then */
    come(guests[1]);
    come(guests[2]);
    job_loop_stats(loop, &stats);
    for (uint64_t before = stats.turns; !*is_lost && stats.turns < before + 3; job_loop_stats(loop, &stats)) {
        *is_lost = is_turned_away(guests[1]) || is_turned_away(guests[2]);
        sched_yield();
    }
    while (hoarded > 0)
        close(hoard[--hoarded]);
    if (*is_lost)
        job_loop_stop(loop);
    return NULL;
}

/* The kernel accepts with number 0, which is nobody's to have: one client is lost, by operations of one and of many completions. */
START_TEST(a_listener_that_can_have_number_0_alone_loses_one_client_and_pauses)
{
    struct rlimit before, low;
    pthread_t thread;
    bool is_lost = false;
    struct job_listener_options options = {.connections_max = _i ? 8 : 0};
    ck_assert_ok(job_listener_open(loop, &listener, &options, serves_the_others));
    for (int i = 0; i < 3; i++)
        guests[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){(rlim_t)guests[2] + 8, before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (hoarded = 0; (hoard[hoarded] = dup(1)) >= 0; hoarded++)
        ck_assert_int_lt(hoarded, 60);
    close(0);
    ck_assert_int_eq(pthread_create(&thread, NULL, visit_without_a_number, &is_lost), 0);

    ck_assert_int_ge(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert(!is_lost);
    ck_assert_uint_eq(accepted_count, 2);
    ck_assert_int_lt(fcntl(0, F_GETFD), 0);
    for (int i = 0; i < 3; i++)
        close(guests[i]);
}
END_TEST

static unsigned warned_count;

static void counts_warnings(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)text;
    warned_count += level == JOB_LOG_WARNING;
}

enum { VISITORS = 40 };

static void turns_away(struct job_listener *l, struct job_incoming *incoming)
{
    (void)incoming;
    if (++accepted_count == VISITORS)
        job_listener_close(l, closed);
}

/* One descriptor is free: each connection that is turned away lets the next one in, and accepting pauses again. */
START_TEST(a_listener_at_the_limit_does_not_let_strangers_fill_the_log)
{
    struct job_runtime *other = NULL;
    struct job_loop *other_loop = NULL;
    struct rlimit before, low;
    int clients[VISITORS];
    warned_count = 0;
    ck_assert_ok(job_runtime_open(&other, &(struct job_runtime_options){.log = counts_warnings}));
    ck_assert_ok(job_loop_open(other, &other_loop, NULL));
    ck_assert_ok(job_listener_open(other_loop, &listener, NULL, turns_away));
    for (int i = 0; i < VISITORS; i++)
        clients[i] = fixture_connect(job_listener_port(&listener));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(0);
    low = (struct rlimit){(rlim_t)highest + 1, before.rlim_max};
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);

    ck_assert_int_eq(job_loop_run(other_loop), 0);

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ck_assert_uint_eq(accepted_count, VISITORS);
    ck_assert_uint_ge(warned_count, 1);
    ck_assert_uint_lt(warned_count, VISITORS / 4);   /* one every 10 s */
    for (int i = 0; i < VISITORS; i++)
        close(clients[i]);
    ck_assert_int_eq(job_loop_close(&other_loop, 0), 0);
    fixture_close(other);
}
END_TEST

static int unix_socket(bool listens)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, path);
    if (listens) {
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        ck_assert_int_eq(listen(fd, 4), 0);
    } else {
        ck_assert_msg(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect: %s", strerror(errno));
    }
    return fd;
}

START_TEST(a_path_that_a_dead_process_left_is_bound_anew_and_removed_at_close)
{
    (void)unlink(path);
    close(unix_socket(true));
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_ok(job_listener_open(loop, &listener, &on_path, leaves_unix));
    ck_assert_uint_eq(job_listener_port(&listener), 0);
    int client = unix_socket(false);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(accepted_count, 1);
    ck_assert_int_ne(access(path, F_OK), 0);
    close(client);
}
END_TEST

START_TEST(a_live_socket_and_any_other_file_stay)
{
    (void)unlink(path);
    int live = unix_socket(true);
    ck_assert_int_eq(job_listener_open(loop, &listener, &on_path, leaves_unix), -EADDRINUSE);
    int client = unix_socket(false);
    close(client);
    close(live);
    ck_assert_int_eq(unlink(path), 0);

    close(open(path, O_CREAT | O_CLOEXEC, 0600));
    ck_assert_int_eq(job_listener_open(loop, &listener, &on_path, leaves_unix), -EADDRINUSE);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(a_path_that_is_somebody_elses_by_now_is_not_removed)
{
    (void)unlink(path);
    ck_assert_ok(job_listener_open(loop, &listener, &on_path, leaves_unix));
    ck_assert_int_eq(unlink(path), 0);
    int other = unix_socket(true);
    job_listener_close(&listener, closed);

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(unlink(path), 0);
    close(other);
}
END_TEST

static int open_said;

static void *opens_elsewhere(void *arg)
{
    (void)arg;
    open_said = job_listener_open(loop, &listener, &on_path, leaves_unix);
    return NULL;
}

static void opens_while_closing(struct job_timer *timer)
{
    (void)timer;
    open_said = job_listener_open(loop, &listener, &on_path, leaves_unix);
}

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("fired");
}

enum { STALE_MODE = 0400 };   /* not what bind(2) gives: an inode's number may come again */

static void leave_stale(void)
{
    (void)unlink(path);
    close(unix_socket(true));
    ck_assert_int_eq(chmod(path, STALE_MODE), 0);
}

static bool is_stale_there(void)
{
    struct stat status;
    return lstat(path, &status) == 0 && (status.st_mode & 07777) == STALE_MODE;
}

START_TEST(where_no_handle_may_be_opened_the_path_is_not_touched)
{
    pthread_t thread;
    struct job_timer timer;
    ck_assert_int_eq(job_loop_run(loop), 0);   /* from here on it is this thread's */
    for (int has_stale = 0; has_stale <= 1; has_stale++) {
        (void)unlink(path);
        if (has_stale)
            leave_stale();
        ck_assert_int_eq(pthread_create(&thread, NULL, opens_elsewhere, NULL), 0);
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        ck_assert_int_eq(open_said, -EPERM);
        ck_assert_int_eq(access(path, F_OK) == 0, has_stale);
        ck_assert_int_eq(is_stale_there(), has_stale);
    }
    ck_assert_ok(job_timer_open(loop, &timer, never));
    job_timer_close(&timer, opens_while_closing);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(open_said, -ECANCELED);
    ck_assert(is_stale_there());
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}
END_TEST

static void expect_option(int fd, int level, int name, int expected)
{
    int value = -1;
    socklen_t len = sizeof value;
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    ck_assert_int_eq(value, expected);
}

static void looks_at_options(struct job_listener *l, struct job_incoming *incoming)
{
    bool is_custom = l->handle.data != NULL;
    expect_option(incoming->fd, IPPROTO_TCP, TCP_NODELAY, !is_custom);
    expect_option(incoming->fd, SOL_SOCKET, SO_KEEPALIVE, is_custom);
    if (is_custom) {
        expect_option(incoming->fd, IPPROTO_TCP, TCP_KEEPIDLE, 7);
        expect_option(incoming->fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
        expect_option(incoming->fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
        expect_option(incoming->fd, SOL_SOCKET, SO_SNDBUF, 2 * 16384);   /* the kernel doubles it */
        expect_option(incoming->fd, SOL_SOCKET, SO_RCVBUF, 2 * 8192);
    }
    accepted_count++;
    job_listener_close(l, closed);
}

START_TEST(accepted_sockets_have_the_options_of_the_listener)
{
    struct job_listener_options options = {
        .socket = {.delay = true, .keepalive = true, .keepalive_idle_s = 7,
                   .send_buffer_bytes = 16384, .receive_buffer_bytes = 8192}};
    listener.handle.data = _i ? &options : NULL;
    ck_assert_ok(job_listener_open(loop, &listener, _i ? &options : NULL, looks_at_options));
    int client = fixture_connect(job_listener_port(&listener));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(accepted_count, 1);
    close(client);
}
END_TEST

enum { LIMIT = 3, GUESTS = 20 };

static struct job_stream streams[GUESTS];
static unsigned live, live_most, ended, looks;
static bool closes_early;
static atomic_u32 all_at_the_door;
static sem_t may_go;

static void guest_ended(struct job_stream *stream, int status)
{
    ck_assert_int_eq(status, 0);
    job_stream_close(stream);
}

static void guest_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
}

static void guest_closed(struct job_stream *stream)
{
    (void)stream;
    live--;
    if (++ended == GUESTS)
        job_listener_close(&listener, closed);
}

static const struct job_stream_events guest_events = {.data = guest_data, .end = guest_ended, .closed = guest_closed};

static void takes_guest(struct job_listener *l, struct job_incoming *incoming)
{
    if (accepted_count == 0) {   /* one that is not taken does not count */
        accepted_count++;
        return;
    }
    struct job_stream *stream = &streams[accepted_count++ - 1];
    ck_assert_ok(job_stream_accept(stream, incoming, &guest_events));
    live++;
    live_most = live > live_most ? live : live_most;
    ck_assert_uint_le(live, LIMIT);
    if (accepted_count == GUESTS + 1 && closes_early)
        job_listener_close(l, closed);
}

/* As many as may be are here and all others at the door: each look is a turn in which one more could come in. Only then may anybody go. */
static void looks_at_the_door(struct job_timer *timer)
{
    enum { LOOKS = 10 };
    looks += live == LIMIT && load_acquire(&all_at_the_door);   /* pairs with store_release in visits */
    if (looks < LOOKS) {
        ck_assert_ok(job_timer_start(timer, 0));
        return;
    }
    sem_post(&may_go);
    job_timer_close(timer, NULL);
}

static void *visits(void *arg)
{
    int fds[GUESTS + 1];
    (void)arg;
    for (int i = 0; i < GUESTS + 1; i++)
        fds[i] = fixture_connect(job_listener_port(&listener));   /* all at once: the backlog holds them */
    store_release(&all_at_the_door, 1);   /* pairs with load_acquire in looks_at_the_door */
    sem_wait(&may_go);
    for (int i = 0; i < GUESTS + 1; i++)
        shutdown(fds[i], SHUT_WR);
    char byte;
    for (int i = 0; i < GUESTS + 1; i++) {
        while (recv(fds[i], &byte, 1, 0) > 0) {
        }
        close(fds[i]);
    }
    return NULL;
}

START_TEST(no_more_streams_live_than_allowed_and_each_that_goes_lets_the_next_one_in)
{
    pthread_t thread;
    struct job_timer timer;
    live = live_most = ended = looks = 0;
    closes_early = _i;
    memset(streams, 0, sizeof streams);
    store_relaxed(&all_at_the_door, 0);   /* no thread yet */
    sem_init(&may_go, 0, 0);
    struct job_listener_options options = {.connections_max = LIMIT};
    ck_assert_ok(job_listener_open(loop, &listener, &options, takes_guest));
    ck_assert_ok(job_timer_open(loop, &timer, looks_at_the_door));
    ck_assert_ok(job_timer_start(&timer, 0));
    ck_assert_int_eq(pthread_create(&thread, NULL, visits, NULL), 0);

    ck_assert_int_eq(job_loop_run(loop), 0);

    pthread_join(thread, NULL);
    ck_assert_uint_eq(ended, GUESTS);
    ck_assert_uint_eq(live_most, LIMIT);
}
END_TEST

static void nobody_comes_in(struct job_listener *l, struct job_incoming *incoming)
{
    (void)l, (void)incoming;
    ck_abort();
}

/* Nobody wants in any more: the loop sleeps, but for a look now and then. */
static void nothing_was_done(struct job_timer *timer, uint64_t since)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    ck_assert_uint_lt(stats.turns - since, 100);
    job_timer_close(timer, NULL);
    job_listener_close(&listener, closed);
}

static void all_were_turned_away(struct job_timer *timer)
{
    static uint64_t turns;
    static int next;
    struct job_loop_stats stats;
    char byte;
    if (turns > 0) {
        nothing_was_done(timer, turns);
        return;
    }
    if (next < VISITORS && recv(hoard[next], &byte, 1, MSG_DONTWAIT) == 0)
        next++;
    if (next < VISITORS) {
        ck_assert_ok(job_timer_start(timer, 1000000));
        return;
    }
    job_loop_stats(loop, &stats);
    turns = stats.turns;
    ck_assert_ok(job_timer_start(timer, 200000000));
}

START_TEST(without_descriptors_clients_are_turned_away_if_asked_for_and_the_spare_one_is_kept)
{
    struct rlimit before, low;
    struct job_timer timer;
    int descriptors = fixture_descriptors();
    struct job_listener_options options = {.turns_away = true};
    ck_assert_ok(job_listener_open(loop, &listener, &options, nobody_comes_in));
    for (int i = 0; i < VISITORS; i++)
        hoard[i] = fixture_connect(job_listener_port(&listener));
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    int highest = dup(0);
    low = (struct rlimit){(rlim_t)highest, before.rlim_max};
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert_ok(job_timer_open(loop, &timer, all_were_turned_away));
    ck_assert_ok(job_timer_start(&timer, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    for (int i = 0; i < VISITORS; i++)
        close(hoard[i]);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

START_TEST(bad_arguments_and_refusals_of_the_kernel_leave_nothing_open)
{
    int descriptors = fixture_descriptors();
    struct job_listener other = {0};
    ck_assert_int_eq(job_listener_open(NULL, &listener, NULL, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, NULL, NULL, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, &listener, NULL, NULL), -EINVAL);
    struct job_listener_options negative = {.backlog = -1};
    struct job_listener_options name = {.address = "localhost"}, foreign = {.address = "192.0.2.1"};
    ck_assert_int_eq(job_listener_open(loop, &listener, &negative, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, &listener, &name, leaves), -EINVAL);
    ck_assert_int_eq(job_listener_open(loop, &listener, &foreign, leaves), -EADDRNOTAVAIL);
    ck_assert_uint_eq(job_listener_port(NULL), 0);
    job_listener_close(NULL, closed);
    job_listener_close(&other, closed);
    ck_assert_int_eq(job_listener_address(&other, (char[JOB_ADDRESS_TEXT]){0}, JOB_ADDRESS_TEXT), -EINVAL);
    ck_assert_int_eq(fixture_descriptors(), descriptors);

    ck_assert_ok(job_listener_open(loop, &listener, NULL, leaves));
    struct job_listener_options same = {.port = job_listener_port(&listener)};
    ck_assert_int_eq(job_listener_open(loop, &other, &same, leaves), -EADDRINUSE);
    ck_assert_int_eq(fixture_descriptors(), descriptors + 1);
    job_listener_close(&listener, closed);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(closed_count, 1);
    ck_assert_int_eq(fixture_descriptors(), descriptors);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listener");
    TCase *tcase = tcase_create("listener");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 5);
    tcase_add_test(tcase, what_the_callback_does_not_take_is_closed_and_close_inside_it_comes_later_and_once);
    tcase_add_test(tcase, a_descriptor_that_is_taken_stays_open);
    tcase_add_test(tcase, a_listener_without_descriptors_goes_on_when_somebody_else_frees_one);
    tcase_add_loop_test(tcase, a_listener_that_can_have_number_0_alone_loses_one_client_and_pauses, 0, 2);
    tcase_add_test(tcase, a_listener_at_the_limit_does_not_let_strangers_fill_the_log);
    tcase_add_test(tcase, a_path_that_a_dead_process_left_is_bound_anew_and_removed_at_close);
    tcase_add_test(tcase, a_live_socket_and_any_other_file_stay);
    tcase_add_test(tcase, a_path_that_is_somebody_elses_by_now_is_not_removed);
    tcase_add_test(tcase, where_no_handle_may_be_opened_the_path_is_not_touched);
    tcase_add_loop_test(tcase, accepted_sockets_have_the_options_of_the_listener, 0, 2);
    tcase_add_loop_test(tcase, no_more_streams_live_than_allowed_and_each_that_goes_lets_the_next_one_in, 0, 2);
    tcase_add_test(tcase, without_descriptors_clients_are_turned_away_if_asked_for_and_the_spare_one_is_kept);
    tcase_add_test(tcase, bad_arguments_and_refusals_of_the_kernel_leave_nothing_open);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
