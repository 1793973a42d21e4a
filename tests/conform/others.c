/* others.c — listeners, descriptors that run out, timers, signals, and a submission queue that is always full. */
#include "conform/conform.h"

#include <signal.h>
#include <sys/resource.h>

enum { CLIENTS_MAX = 10 };

struct guest {
    struct job_stream stream;
    bool is_open, is_closing;
};

static struct hall {
    struct scenario *scenario;
    struct job_listener listener;
    struct guest guests[CLIENTS_MAX];
    int clients[CLIENTS_MAX];
    unsigned client_count, connected, accepted, refused, greeted, closed, listener_closed;
    bool takes_all, is_seat_taken, clients_leave;
    struct job_stream seat;      /* opened and closed now and then */
} hall;

static void guest_data(struct job_stream *stream, struct job_buf **in)
{
    (void)in;
    must(hall.scenario, !job_container_of(stream, struct guest, stream)->is_closing);
}

static void guest_end(struct job_stream *stream, int status)
{
    struct guest *guest = job_container_of(stream, struct guest, stream);
    must(hall.scenario, status == 0 || hall.scenario->is_faulty || hall.clients_leave);   /* unread bytes reset */
    guest->is_closing = true;
    job_stream_close(stream);
}

static void guest_sent(struct job_stream *stream, int status)
{
    (void)stream;
    must(hall.scenario, status == 0 || hall.scenario->is_faulty || hall.clients_leave);   /* unread bytes reset */
}

static void guest_closed(struct job_stream *stream)
{
    (void)stream;
    hall.closed++;
}

static const struct job_stream_events guest_events = {
    .data = guest_data, .end = guest_end, .sent = guest_sent, .closed = guest_closed};

static void accepted(struct job_listener *listener, struct job_incoming *incoming)
{
    struct scenario *scenario = hall.scenario;
    must(scenario, !job_handle_is_closing(&listener->handle) && incoming->fd >= 0);
    hall.accepted++;
    if (!hall.takes_all && below(scenario, 3) == 0) {
        hall.refused++;
        return;   /* nobody takes it: the peer sees a close */
    }
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct guest *guest = &hall.guests[i];
        if (guest->is_open)
            continue;
        must_ok(scenario, job_stream_accept(&guest->stream, incoming, &guest_events));
        guest->is_open = true;
        must(scenario, incoming->fd == -1);
        struct job_buf *hello = make(scenario, 5, &(uint64_t){0}, 5);
        must_ok(scenario, job_stream_send(&guest->stream, &hello));
        return;
    }
}

static void listener_closed(struct job_listener *listener)
{
    (void)listener;
    hall.listener_closed++;
}

/* A client: connects, reads the greeting or the end, goes. */
static void client_act(struct scenario *scenario, int *fd)
{
    if (*fd == -1 && hall.connected < hall.client_count) {
        *fd = fixture_connect(job_listener_port(&hall.listener));
        hall.connected++;
        ck_assert_int_eq(fcntl(*fd, F_SETFL, O_NONBLOCK), 0);
    }
    if (*fd < 0)
        return;
    uint8_t bytes[16];
    ssize_t n = recv(*fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    for (ssize_t i = 0; i < n; i++)
        must(scenario, bytes[i] == pattern_byte(5, (uint64_t)i));
    must(scenario, n == 5 || n == 0 || scenario->may_break || scenario->is_faulty);   /* a short send: the rest comes, and is not read */
    hall.greeted++;
    close(*fd);
    *fd = -2;
}

static void seat_closed(struct job_stream *stream)
{
    (void)stream;
    hall.is_seat_taken = false;
}

static const struct job_stream_events seat_events = {.data = guest_data, .closed = seat_closed};

/* Descriptors that are missing, really or by the fake's word, are waited for until a handle of the loop gives one back. */
static void give_one_back(struct scenario *scenario)
{
    int fds[2];
    if (hall.is_seat_taken || below(scenario, 10) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return;
    hall.is_seat_taken = true;
    must_ok(scenario, job_stream_adopt(scenario->loop, &hall.seat, fds[1], &seat_events));
    job_stream_close(&hall.seat);
    close(fds[0]);
}

static bool hall_act(struct scenario *scenario)
{
    if (hall.listener_closed)
        return hall.closed + hall.refused < hall.accepted || hall.is_seat_taken;
    give_one_back(scenario);
    for (unsigned i = 0; i < hall.client_count; i++)
        client_act(scenario, &hall.clients[i]);
    if (hall.greeted == hall.client_count)
        job_listener_close(&hall.listener, listener_closed);
    return true;
}

static void hall_open(struct scenario *scenario, unsigned clients)
{
    hall = (struct hall){.scenario = scenario, .client_count = clients};
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        hall.clients[i] = -1;
    must_ok(scenario, job_listener_open(scenario->loop, &hall.listener, NULL, accepted));
}

static void hall_check(struct scenario *scenario)
{
    must(scenario, hall.listener_closed == 1);
    must(scenario, hall.accepted == hall.client_count && hall.closed + hall.refused == hall.accepted);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        must(scenario, hall.clients[i] < 0);
    tell(scenario, " accepted %u", hall.accepted);
}

void accepting(struct scenario *scenario)
{
    hall_open(scenario, 1 + below(scenario, CLIENTS_MAX));
    must(scenario, job_listener_port(&hall.listener) != 0);
    run(scenario, NULL, hall_act);
    hall_check(scenario);
}

static bool leaving_act(struct scenario *scenario)
{
    if (scenario->pumps <= below(scenario, 5))
        return true;
    job_listener_close(&hall.listener, listener_closed);
    for (unsigned i = 0; i < hall.client_count; i++)
        close(hall.clients[i]);
    return false;
}

/* Connections wait, arrive while it closes, or have just been accepted: each is taken or closed, and no descriptor is lost. */
void closing_a_listener(struct scenario *scenario)
{
    hall_open(scenario, 1 + below(scenario, CLIENTS_MAX));
    for (unsigned i = 0; i < hall.client_count; i++)
        hall.clients[i] = fixture_connect(job_listener_port(&hall.listener));
    hall.clients_leave = true;
    run(scenario, NULL, leaving_act);
    must(scenario, hall.listener_closed == 1);
    must(scenario, hall.closed + hall.refused == hall.accepted);
    tell(scenario, " closed %u", hall.listener_closed);
}

static struct rlimit limit_before;

static void leave_descriptors(unsigned room)
{
    int highest = dup(2);
    close(highest);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    struct rlimit limit = {.rlim_cur = (rlim_t)highest + room, .rlim_max = limit_before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* The limit leaves room for two guests: the listener pauses, and goes on as guests leave. No client is lost. */
void out_of_descriptors(struct scenario *scenario)
{
    enum { CLIENTS = 6, ROOM = 2 };
    hall_open(scenario, CLIENTS);
    hall.takes_all = true;
    for (unsigned i = 0; i < CLIENTS; i++) {
        hall.clients[i] = fixture_connect(job_listener_port(&hall.listener));
        ck_assert_int_eq(fcntl(hall.clients[i], F_SETFL, O_NONBLOCK), 0);
        hall.connected++;
    }
    leave_descriptors(ROOM);
    run(scenario, NULL, hall_act);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
    hall_check(scenario);
}

enum { TIMERS = 20 };

static struct clockwork {
    struct scenario *scenario;
    struct job_timer timers[TIMERS];
    uint64_t due[TIMERS];
    unsigned fired[TIMERS], wanted[TIMERS], closes;
    uint64_t last_due;
} works;

static void works_fired(struct job_timer *timer)
{
    unsigned index = (unsigned)(timer - works.timers);
    struct scenario *scenario = works.scenario;
    must(scenario, works.wanted[index] == 1);
    must(scenario, job_loop_now(scenario->loop) >= works.due[index]);   /* never early */
    must(scenario, works.due[index] >= works.last_due);
    works.last_due = works.due[index];
    works.wanted[index] = 0;
    works.fired[index]++;
    if (below(scenario, 3) == 0)
        job_timer_stop(&works.timers[(index + 1) % TIMERS]);
}

static void works_closed(struct job_timer *timer)
{
    (void)timer;
    works.closes++;
}

void timers(struct scenario *scenario)
{
    works = (struct clockwork){.scenario = scenario};
    uint64_t now = ((struct root *)scenario->runtime)->now_ns();
    unsigned fired = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        must_ok(scenario, job_timer_open(scenario->loop, &works.timers[i], works_fired));
        uint64_t timeout = 3000000U * below(scenario, 8);
        works.due[i] = now + timeout;   /* whatever time passes between two starts, they are due in this order */
        works.wanted[i] = 1;
        must_ok(scenario, job_timer_start_at(&works.timers[i], works.due[i]));
    }
    int rc = job_loop_run(scenario->loop);
    must(scenario, rc == 0);
    for (unsigned i = 0; i < TIMERS; i++) {
        must(scenario, works.fired[i] <= 1 && !job_timer_is_armed(&works.timers[i]));
        fired += works.fired[i];
        job_timer_close(&works.timers[i], works_closed);
    }
    rc = job_loop_run(scenario->loop);
    must(scenario, rc == 0 && works.closes == TIMERS);
    tell(scenario, " fired %u", fired);
}

static struct alarm_clock {
    struct scenario *scenario;
    struct job_signal signal;
    struct job_timer rest;
    unsigned caught, raised, closes, rests;
    uint64_t turns;
} alarms;

static void alarms_closed(struct job_signal *signal)
{
    (void)signal;
    alarms.closes++;
}

static void alarms_caught(struct job_signal *signal, int number)
{
    struct scenario *scenario = alarms.scenario;
    must(scenario, number == SIGUSR1 || number == SIGUSR2);
    must(scenario, signal == &alarms.signal && alarms.closes == 0);
    alarms.caught++;
}

/* Between two signals the loop rests: an open handle that waits costs no turn. */
static void alarms_rested(struct job_timer *timer)
{
    struct scenario *scenario = alarms.scenario;
    struct job_loop_stats stats;
    job_loop_stats(scenario->loop, &stats);
    if (!scenario->is_faulty && alarms.turns > 0)
        must(scenario, stats.turns - alarms.turns <= 8);
    alarms.turns = stats.turns;
    if (alarms.caught == alarms.raised && alarms.raised >= 3) {
        job_signal_close(&alarms.signal, alarms_closed);
        return job_timer_close(timer, NULL);
    }
    must(scenario, ++alarms.rests < 2000);
    if (alarms.caught == alarms.raised) {
        alarms.raised++;
        ck_assert_int_eq(raise(below(scenario, 2) ? SIGUSR1 : SIGUSR2), 0);
    }
    must_ok(scenario, job_timer_start(timer, 1000000));
}

void signals(struct scenario *scenario)
{
    const int numbers[] = {SIGUSR1, SIGUSR2};
    alarms = (struct alarm_clock){.scenario = scenario};
    must_ok(scenario, job_signal_open(scenario->loop, &alarms.signal, numbers, 2, alarms_caught));
    must_ok(scenario, job_timer_open(scenario->loop, &alarms.rest, alarms_rested));
    must_ok(scenario, job_timer_start(&alarms.rest, 1000000));
    int rc = job_loop_run(scenario->loop);
    must(scenario, rc == 0 && alarms.closes == 1);
    tell(scenario, " caught %u", alarms.caught);
}

enum { PAIRS = 40, SMALL = 2 * PAIRS, PORTS = 6 };

static struct crowd {
    struct scenario *scenario;
    struct job_stream streams[SMALL];   /* 2n and 2n + 1 are each other's peers */
    struct job_listener listeners[PORTS];
    unsigned datas, closes, listeners_closed;
} crowd;

static void crowd_data(struct job_stream *stream, struct job_buf **in)
{
    (void)in;
    must(crowd.scenario, !job_handle_is_closing(&stream->handle));
    crowd.datas++;
}

static void crowd_end(struct job_stream *stream, int status)
{
    (void)stream;
    must(crowd.scenario, status == 0 || crowd.scenario->may_break);
}

static void crowd_closed(struct job_stream *stream)
{
    (void)stream;
    crowd.closes++;
}

static void nobody_comes(struct job_listener *listener, struct job_incoming *incoming)
{
    must(crowd.scenario, !listener && !incoming);
}

static void port_closed(struct job_listener *listener)
{
    (void)listener;
    crowd.listeners_closed++;
}

static const struct job_stream_events crowd_events = {.data = crowd_data, .end = crowd_end, .closed = crowd_closed};

static bool crowd_act(struct scenario *scenario)
{
    if (scenario->pumps < 3)
        return true;
    for (unsigned i = 0; i < SMALL; i++) {   /* all at once: many times what the queue holds */
        struct job_buf *buf = make(scenario, 1, &(uint64_t){0}, 30);
        if (job_stream_send(&crowd.streams[i], &buf) < 0)
            job_buf_free(&buf);
        job_stream_close(&crowd.streams[i]);
    }
    for (unsigned i = 0; i < PORTS; i++)   /* which only their cancels end */
        job_listener_close(&crowd.listeners[i], port_closed);
    return false;
}

/* Starts, sends and cancels by the dozen in one callback on a small queue: none may be lost. There are more of them than descriptors,
 * and the process may open no more. */
void many_small_ops(struct scenario *scenario)
{
    crowd = (struct crowd){.scenario = scenario};
    for (unsigned i = 0; i < SMALL; i += 2) {
        int fds[2];
        fixture_pair(fds);
        if (below(scenario, 2))
            ck_assert_int_eq(send(fds[0], "some", 4, 0), 4);
        for (unsigned end = 0; end < 2; end++)
            must_ok(scenario, job_stream_adopt(scenario->loop, &crowd.streams[i + end], fds[end], &crowd_events));
    }
    for (unsigned i = 0; i < PORTS; i++)
        must_ok(scenario, job_listener_open(scenario->loop, &crowd.listeners[i], NULL, nobody_comes));
    leave_descriptors(0);
    run(scenario, NULL, crowd_act);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
    must(scenario, crowd.closes == SMALL && crowd.listeners_closed == PORTS);
    tell(scenario, " closed %u", crowd.closes);
}
