/* scenario_move.c — a connection that moves between two loops inside messages, there and back, against all that may come between: its peer
 * ends or breaks it, the queue is full, the receiving port closes, its loop or its worker stops, the stream is closed.
 *
 * Real streams, ports, workers and loops; the socket is that of fake_net.c, which stops whoever touches it and does not have it. Each
 * byte is told once and in order, each stream closes once, the descriptor is closed once and by nobody before its last operation, and
 * nothing is left. Where nobody destroys the connection, no byte is lost either, and the end is told once. No time-out anywhere: a
 * connection that is forgotten is a deadlock of the peer, who waits for its end.
 */
#include <errno.h>
#include <string.h>

#include "job/connection.h"
#include "sim/fake_net.h"
#include "sim/world.h"
#include "worker/record.h"

enum { MOVES = 3, HOPS = MOVES + 1, BYTES = 6, GONE = 0x5a };

struct side {
    struct job_loop *loop;
    struct job_port port;
    struct job_worker worker;               /* instead of the port of the side 0 */
    struct job_inside *inside;              /* and of the side 1 */
    struct job_call begin, act;
    struct job_connection *held;            /* ours: about to be posted, refused, or received */
    unsigned turns, fillers;
    bool is_way_gone;
};

/* The life of the connection between two moves. */
struct hop {
    struct job_stream stream;
    struct side *side;
    struct job_call call;
    bool is_leaving, is_closing;
    unsigned detached, closed;
};

static struct side sides[2];
static struct hop hops[HOPS];
static unsigned hop_count, told, written, ended, moves_left;
static bool may_be_destroyed, has_worker;
static enum net_end peers_end;
static void (*act)(struct side *side);   /* what comes between, on the side 1 */

static void finish(struct side *side)
{
    if (side->is_way_gone)
        return;
    if (side->inside)
        job_inside_exit(side->inside, 0);
    else if (has_worker)
        (void)job_worker_stop(&side->worker);
    else
        job_port_close(&side->port);
}

static int post(struct side *side, const struct job_post *post)
{
    if (side->is_way_gone)
        return -EPIPE;
    if (side->inside)
        return job_inside_post(side->inside, post);
    return has_worker ? job_worker_post(&side->worker, post) : job_port_post(&side->port, post);
}

static struct hop *hop_of(struct job_stream *stream)
{
    struct hop *hop = container_of(stream, struct hop, stream);
    assert(self()->loop == hop->side->loop);
    assert(hop->closed == 0);
    return hop;
}

static void settle(struct side *side);

/* By a message, or, when that is refused, again later or not at all. */
static void hand_over(struct side *side)
{
    size_t waiting = job_connection_waiting(side->held);
    struct job_item item = {.kind = JOB_ITEM_CONNECTION, .connection = &side->held};
    int err = post(side, &(struct job_post){.items = &item, .count = 1});
    assert((err == 0) == !side->held);
    if (err == 0) {
        if (waiting > 0)
            JOB_MARK(move_takes_bytes_along);
        if (side == &sides[1])
            JOB_MARK(move_goes_back);
        return;
    }
    assert(err == -EAGAIN || err == -EPIPE || err == -ECANCELED || err == -ESRCH);
    if (err == -EAGAIN && sim_random(2)) {
        JOB_MARK(move_waits_for_room);
        return;   /* until `writable` */
    }
    JOB_MARK(move_is_given_up);
    settle(side);
}

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    struct hop *hop = hop_of(stream);
    struct side *side = hop->side;
    assert(hop->is_leaving && hop->detached == 0 && !side->held);
    hop->detached++;
    net_take(side->loop);
    if (stream->job_error < 0)
        JOB_MARK(move_takes_failure_along);
    if (net.taken < net.sent)
        JOB_MARK(move_leaves_bytes_in_the_socket);
    if (may_be_destroyed && sim_random(8) == 1) {
        JOB_MARK(move_is_left_to_the_library);
        finish(side);
        return;
    }
    side->held = *connection;
    *connection = NULL;
    hand_over(side);
}

static void leave(struct hop *hop)
{
    if (hop->is_leaving || hop->is_closing || moves_left == 0)
        return;
    int err = job_stream_detach(&hop->stream, on_detached);
    assert(hop->detached == 0);   /* never inside */
    if (err == -EBUSY)
        JOB_MARK(move_must_send_first);
    if (err < 0) {
        assert(err == -EBUSY || err == -ECANCELED || net.end == NET_RESET);
        return;   /* -EBUSY: `sent` tries again */
    }
    hop->is_leaving = true;
    moves_left--;
    assert(job_stream_detach(&hop->stream, on_detached) == -EALREADY);
}

static void write_some(struct hop *hop)
{
    unsigned char byte = (unsigned char)written;
    if (hop->is_leaving || hop->is_closing)
        return;
    int err = job_stream_write(&hop->stream, &byte, 1);
    written += err == 0;
}

static void later(struct job_call *call)
{
    struct hop *hop = container_of(call, struct hop, call);
    if (hop->closed > 0)
        return;
    job_stream_resume(&hop->stream);
    if (sim_random(2))
        leave(hop);
}

static void whim(struct hop *hop)
{
    switch (sim_random(6)) {
    case 0: leave(hop); break;
    case 1: write_some(hop); break;
    case 2:
        write_some(hop);
        leave(hop);   /* -EBUSY */
        break;
    case 3:
        job_stream_pause(&hop->stream);
        (void)job_loop_defer(hop->side->loop, &hop->call);
        break;
    case 4: (void)job_loop_defer(hop->side->loop, &hop->call); break;
    default: break;
    }
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct hop *hop = hop_of(stream);
    assert(!hop->is_leaving && !hop->is_closing && ended == 0);
    for (size_t i = 0; i < job_buf_len(*in); i++) {
        unsigned char byte;
        int err = job_buf_read(*in, i, &byte, 1);
        assert(err == 0 && byte == (unsigned char)told);   /* the next one: none lost, none twice */
        told++;
    }
    whim(hop);
}

static void on_end(struct job_stream *stream, int status)
{
    struct hop *hop = hop_of(stream);
    assert(!hop->is_leaving && !hop->is_closing && ended == 0);
    ended++;
    if (status == 0)
        assert(net.end == NET_ENDED && told == net.sent);
    else
        assert(net.end == NET_RESET);
    hop->is_closing = true;
    job_stream_close(stream);
}

static void on_sent(struct job_stream *stream, int status)
{
    struct hop *hop = hop_of(stream);
    if (status == 0 && sim_random(2))
        leave(hop);
}

static void on_stream_closed(struct job_stream *stream)
{
    struct hop *hop = hop_of(stream);
    hop->closed++;
    if (hop->detached == 0)
        finish(hop->side);
    memset(stream, GONE, sizeof *stream);
}

static const struct job_stream_events stream_events = {
    .data = on_data, .end = on_end, .sent = on_sent, .closed = on_stream_closed};

static struct hop *hop_begin(struct side *side)
{
    assert(hop_count < HOPS);
    struct hop *hop = &hops[hop_count++];
    hop->side = side;
    hop->call.run = later;
    net_give(side->loop);
    return hop;
}

/* What this side holds becomes a stream of it. */
static void settle(struct side *side)
{
    struct hop *hop = hop_begin(side);
    int err = job_stream_attach(side->loop, &hop->stream, &side->held, &stream_events);
    if (err == 0) {
        assert(!side->held);
        whim(hop);
        return;
    }
    assert(err == -ECANCELED && side->held && may_be_destroyed);
    net_take(side->loop);
    hop_count--;
    job_connection_close(&side->held);
    finish(side);
}

static void arrived(struct side *side, struct job_message *message)
{
    assert(self()->loop == side->loop && !side->held);
    if (job_message_count(message) == 0)
        return;
    assert(!net.holder);
    if (may_be_destroyed && sim_random(8) == 1) {
        JOB_MARK(move_is_left_in_its_message);
        finish(side);
        return;
    }
    side->held = job_message_take_connection(message, 0);
    assert(side->held && !job_message_take_connection(message, 0));
    settle(side);
}

static void way_is_writable(struct side *side)
{
    if (side->held)
        hand_over(side);
}

static void way_is_gone(struct side *side)
{
    assert(!side->is_way_gone);
    side->is_way_gone = true;
    if (side->held)
        settle(side);   /* it waited for room */
}

static void on_message(struct job_port *port, struct job_message *message)
{
    arrived(container_of(port, struct side, port), message);
}

static void on_writable(struct job_port *port)
{
    way_is_writable(container_of(port, struct side, port));
}

static void on_port_closed(struct job_port *port)
{
    way_is_gone(container_of(port, struct side, port));
    memset(port, GONE, sizeof *port);
}

static const struct job_port_events port_events = {
    .message = on_message, .writable = on_writable, .closed = on_port_closed};

static void on_worker_message(struct job_worker *worker, struct job_message *message)
{
    arrived(container_of(worker, struct side, worker), message);
}

static void on_worker_writable(struct job_worker *worker)
{
    way_is_writable(container_of(worker, struct side, worker));
}

static void on_worker_closed(struct job_worker *worker)
{
    way_is_gone(container_of(worker, struct side, worker));
    memset(worker, GONE, sizeof *worker);
}

static const struct job_worker_events worker_events = {
    .message = on_worker_message, .writable = on_worker_writable, .closed = on_worker_closed};

static void on_inside_message(struct job_inside *inside, struct job_message *message)
{
    assert(inside == sides[1].inside);
    arrived(&sides[1], message);
}

static void on_inside_writable(struct job_inside *inside)
{
    assert(inside == sides[1].inside);
    way_is_writable(&sides[1]);
}

static const struct job_inside_events inside_events = {.message = on_inside_message, .writable = on_inside_writable};

static void worker_main(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    sides[1].inside = inside;
    sides[1].loop = job_inside_loop(inside);
    int err = job_inside_listen(inside, &inside_events);
    assert(err == 0 || err == -ECANCELED);
}

static void begin(struct job_call *call)
{
    struct side *side = container_of(call, struct side, begin);
    for (unsigned i = 0; i < side->fillers; i++)
        (void)post(side, &(struct job_post){0});
    struct hop *hop = hop_begin(side);
    int err = job_stream_adopt(side->loop, &hop->stream, NET_FD, &stream_events);
    assert(err == 0);
    whim(hop);
    (void)job_loop_defer(side->loop, &hop->call);
}

/* After some turns of its loop, which goes on till then. */
static void act_later(struct job_call *call)
{
    struct side *side = container_of(call, struct side, act);
    if (side->turns-- > 0) {
        int err = job_loop_defer(side->loop, call);
        assert(err == 0);
        return;
    }
    act(side);
}

static void loop_thread(void *arg)
{
    struct side *side = arg;
    int err = job_loop_run(side->loop);
    assert(err == 0 || may_be_destroyed);
    err = job_loop_close(&side->loop, 0);
    assert(err == 0);
}

static void peer(void *arg)
{
    (void)arg;
    unsigned rest = 1 + sim_random(BYTES);
    while (rest > 0) {
        unsigned len = 1 + sim_random(rest);
        net_send(len);
        rest -= len;
    }
    net_end(peers_end);
    sim_wait_until(net_is_closed, NULL);
}

static void open_world(enum net_end end)
{
    world_open(256, 0, 0);
    list_init(&world.workers);
    if (sim_random(2))
        feature_found(&world.features, FEATURE_COPYBREAK);
    net_open();
    memset(sides, 0, sizeof sides);
    memset(hops, 0, sizeof hops);
    hop_count = told = written = ended = 0;
    moves_left = MOVES;
    may_be_destroyed = has_worker = false;
    act = NULL;
    peers_end = end;
    sides[0].fillers = sim_random(3);
    int err = job_loop_open(world_runtime(), &sides[0].loop, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    sim_label(&sides[0].loop->mailbox, sizeof sides[0].loop->mailbox, "mailbox 0");
}

static void call_on(struct side *side, struct job_call *call, void (*run)(struct job_call *call))
{
    call->run = run;
    int err = job_loop_call(side->loop, call);
    assert(err == 0);
}

static void open_sides(enum net_end end, unsigned messages_max)
{
    struct job_end *ends[2];
    struct job_channel_options options = {.messages_max = messages_max};
    open_world(end);
    int err = job_channel_open(world_runtime(), &ends[0], &ends[1], &options);
    assert(err == 0);
    err = job_loop_open(world_runtime(), &sides[1].loop, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    sim_label(&sides[1].loop->mailbox, sizeof sides[1].loop->mailbox, "mailbox 1");
    for (unsigned i = 0; i < 2; i++) {
        err = job_port_open(sides[i].loop, &sides[i].port, &ends[i], &port_events);
        assert(err == 0);
        sim_spawn(loop_thread, &sides[i]);
    }
    call_on(&sides[0], &sides[0].begin, begin);
    sim_spawn(peer, NULL);
}

static void at_some_time(unsigned side, unsigned turns, void (*what)(struct side *side))
{
    may_be_destroyed = true;
    act = what;
    sides[side].turns = sim_random(turns);
    call_on(&sides[side], &sides[side].act, act_later);
}

static enum net_end any_end(void)
{
    return sim_random(2) ? NET_ENDED : NET_RESET;
}

static void peer_ends(void)
{
    open_sides(NET_ENDED, 4);
}

static void peer_resets(void)
{
    open_sides(NET_RESET, 4);
}

static void queue_is_full(void)
{
    open_sides(NET_ENDED, 1);
    sides[0].fillers = 1 + sim_random(2);
}

static void close_port(struct side *side)
{
    if (side->is_way_gone)
        return;
    if (sim_random(2))
        job_port_close(&side->port);
    else
        job_port_close_now(&side->port);
}

static void port_closes(void)
{
    open_sides(any_end(), 1 + sim_random(2));
    at_some_time(1, 16, close_port);
}

static void stop_loop(struct side *side)
{
    job_loop_stop(side->loop);
}

static void loop_stops(void)
{
    open_sides(any_end(), 1 + sim_random(2));
    at_some_time(sim_random(2), 16, stop_loop);
}

/* Also one that is leaving; if the connection is not here now it goes on. */
static void close_stream(struct side *side)
{
    for (unsigned i = 0; i < hop_count; i++) {
        struct hop *hop = &hops[i];
        if (hop->side != side || hop->closed > 0)
            continue;
        hop->is_closing = true;
        if (sim_random(2))
            job_stream_close(&hop->stream);
        else
            job_stream_reset(&hop->stream);
    }
}

static void stream_is_closed(void)
{
    open_sides(any_end(), 2);
    at_some_time(sim_random(2), 16, close_stream);
}

static void stop_worker(struct side *side)
{
    if (side->is_way_gone)
        return;
    if (sim_random(2))
        (void)job_worker_stop(&side->worker);
    else
        job_worker_close(&side->worker);
}

static void worker_stops(void)
{
    open_world(any_end());
    has_worker = true;
    int err = job_worker_open(sides[0].loop, &sides[0].worker, worker_main, NULL, &worker_events);
    assert(err == 0);
    sim_spawn(loop_thread, &sides[0]);
    call_on(&sides[0], &sides[0].begin, begin);
    at_some_time(0, 24, stop_worker);
    sim_spawn(peer, NULL);
}

static void check_any(void)
{
    assert(net.closed == 1);
    assert(world.fds == 0 && world.ends == 0);
    for (unsigned i = 0; i < hop_count; i++)
        assert(hops[i].closed == 1 && hops[i].detached <= 1);
    for (unsigned i = 0; i < 2; i++)
        assert(!sides[i].held);
    assert(told <= net.taken && net.taken <= net.sent && net.heard <= written && ended <= 1);
    if (ended == 0 && hop_count > 0)
        JOB_MARK(move_ends_nowhere);
    world_close();
}

static void check_all_told(void)
{
    assert(ended == 1 && told == net.sent);
    check_any();
}

static void check_told(void)
{
    assert(ended == 1);
    check_any();
}

static const char *const marks[] = {
    "move_takes_bytes_along", "move_leaves_bytes_in_the_socket", "move_goes_back", "move_must_send_first",
    "socket_starves", "socket_is_late", "socket_cancels_behind_data", NULL,
};
static const char *const marks_broken[] = {"move_takes_failure_along", "stream_broke_unreceived", "move_goes_back", NULL};
static const char *const marks_full[] = {"inbox_waits_for_room", "move_waits_for_room", "move_is_given_up", NULL};
static const char *const marks_closed[] = {
    "inbox_push_finds_closed", "move_is_given_up", "move_is_left_to_the_library", "move_is_left_in_its_message",
    "move_ends_nowhere", NULL,
};
static const char *const marks_stopped[] = {"move_takes_bytes_along", "move_goes_back", "move_ends_nowhere", NULL};
static const char *const marks_worker[] = {"worker_is_stopped", "move_goes_back", "move_ends_nowhere", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"a_connection_that_moves_tells_all_once_in_order", peer_ends, check_all_told, 1200, 0, marks},
        {"a_connection_that_breaks_while_it_moves_is_told", peer_resets, check_told, 1200, 0, marks_broken},
        {"a_full_queue_gives_the_connection_back", queue_is_full, check_all_told, 1200, 0, marks_full},
        {"a_port_that_closes_closes_or_refuses_what_moves_to_it", port_closes, check_any, 1200, 0, marks_closed},
        {"a_loop_that_stops_closes_what_it_has", loop_stops, check_any, 1200, 0, marks_stopped},
        {"a_stream_that_is_closed_while_it_leaves_closes_once", stream_is_closed, check_any, 1200, 0, marks_stopped},
        {"a_worker_that_stops_closes_what_moves_to_it", worker_stops, check_any, 1000, 0, marks_worker},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
