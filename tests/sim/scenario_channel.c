/* scenario_channel.c — real ports on real loops: each message arrives once and in order, or comes back; `close` is the last; an end that
 * travels loses nothing; who is refused is told of room once. No time-out anywhere: a lost wake-up is a deadlock.
 */
#include <errno.h>
#include <string.h>

#include "loop/loop.h"
#include "message/end.h"
#include "sim/world.h"

enum { SIDES = 3, MESSAGES = 3, GONE = 0x5a };

/* One thread: a loop with a port, or none. */
struct side {
    struct job_loop *loop;
    struct job_port port;
    struct job_call call;
    unsigned to_post, posted, refused, writable, received, closed;
    bool closes_after_posts, is_told;
};

static struct side sides[SIDES];
static struct job_sender *senders[SIDES];
static struct job_end *travelling, *alone;
static unsigned given_up, delays;
static unsigned next_of[SIDES];   /* of each sender: what must come, wherever its peer is */

struct note {
    unsigned sender, number;
};

static struct side *side_of(struct job_port *port)
{
    return container_of(port, struct side, port);
}

static unsigned index_of(const struct side *side)
{
    return (unsigned)(side - sides);
}

static void note_received(struct side *side, const struct job_message *message)
{
    size_t len;
    const struct note *note = job_message_bytes(message, &len);
    assert(len == sizeof *note && note->sender < SIDES);
    assert(note->number == next_of[note->sender]);   /* once, in order */
    next_of[note->sender]++;
    side->received++;
}

static void post_all(struct side *side)
{
    while (side->posted < side->to_post) {
        struct note note = {index_of(side), side->posted};
        int err = job_port_post(&side->port, &(struct job_post){.bytes = &note, .len = sizeof note});
        assert(err == 0 || err == -EAGAIN || err == -EPIPE);
        if (err == -EAGAIN) {
            assert(!side->is_told);
            side->is_told = true;
            side->refused++;
        }
        if (err == -EPIPE)
            side->to_post = side->posted;
        if (err < 0)
            break;
        side->posted++;
    }
    if (side->posted == side->to_post && side->closes_after_posts)
        job_port_close(&side->port);
}

static void on_message(struct job_port *port, struct job_message *message)
{
    struct side *side = side_of(port);
    assert(self()->loop == side->loop && side->closed == 0);
    note_received(side, message);
}

static void on_writable(struct job_port *port)
{
    struct side *side = side_of(port);
    assert(side->is_told && side->closed == 0);
    side->is_told = false;
    side->writable++;
    post_all(side);
}

static void on_closed(struct job_port *port)
{
    struct side *side = side_of(port);
    assert(side->closed == 0);
    side->closed++;
    memset(&side->port, GONE, sizeof side->port);
}

static const struct job_port_events events = {.message = on_message, .writable = on_writable, .closed = on_closed};

static void begin(struct job_call *call)
{
    post_all(container_of(call, struct side, call));
}

static void loop_thread(void *arg)
{
    struct side *side = arg;
    int err = job_loop_run(side->loop);
    assert(err == 0);
    err = job_loop_close(&side->loop, 0);
    assert(err == 0);
}

static void open_side(struct side *side, struct job_end **end)
{
    int err = job_loop_open(world_runtime(), &side->loop, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    if (end) {
        err = job_port_open(side->loop, &side->port, end, &events);
        assert(err == 0);
    }
    sim_label(&side->loop->mailbox, sizeof side->loop->mailbox, "mailbox");
    sim_spawn(loop_thread, side);
}

static void world_begin(void)
{
    world_open(64, 0, 0);
    memset(sides, 0, sizeof sides);
    memset(senders, 0, sizeof senders);
    memset(next_of, 0, sizeof next_of);
    travelling = alone = NULL;
    given_up = delays = 0;
}

static void open_channel(struct job_end *ends[2], unsigned limit)
{
    struct job_channel_options options = {.messages_max = limit};
    int err = job_channel_open(world_runtime(), &ends[0], &ends[1], &options);
    assert(err == 0);
    sim_label(&ends[0]->in->inbox, sizeof ends[0]->in->inbox, "inbox a");
    sim_label(&ends[1]->in->inbox, sizeof ends[1]->in->inbox, "inbox b");
}

static void call_begin(struct side *side, unsigned messages, bool closes)
{
    side->to_post = messages;
    side->closes_after_posts = closes;
    side->call = (struct job_call){.run = begin};
    int err = job_loop_call(side->loop, &side->call);
    assert(err == 0);
}

/* One posts more than there is room for, and closes: the other one gets all, and then `closed`. */
static void one_way(void)
{
    struct job_end *ends[2];
    world_begin();
    open_channel(ends, 2);
    open_side(&sides[0], &ends[0]);
    open_side(&sides[1], &ends[1]);
    call_begin(&sides[0], MESSAGES, true);
}

/* Each message but the first is refused, and each answer must come. */
static void one_place(void)
{
    struct job_end *ends[2];
    world_begin();
    open_channel(ends, 1);
    open_side(&sides[0], &ends[0]);
    open_side(&sides[1], &ends[1]);
    call_begin(&sides[0], MESSAGES, true);
}

static void check_one_way(void)
{
    assert(sides[0].posted == MESSAGES && sides[1].received == MESSAGES);
    assert(sides[0].refused == sides[0].writable);
    assert(sides[0].closed == 1 && sides[1].closed == 1);
    assert(world.dropped == 0 && world.ends == 0);
    world_close();
}

/* Both post and close: what was accepted is received, or counted as dropped. */
static void both_close(void)
{
    struct job_end *ends[2];
    world_begin();
    open_channel(ends, 2);
    for (unsigned i = 0; i < 2; i++)
        open_side(&sides[i], &ends[i]);
    for (unsigned i = 0; i < 2; i++)
        call_begin(&sides[i], 2, true);
}

static void check_both_close(void)
{
    unsigned posted = sides[0].posted + sides[1].posted, received = sides[0].received + sides[1].received;
    assert(posted == received);   /* each drains what had come before its own close */
    assert(world.dropped == 0);
    assert(sides[0].closed == 1 && sides[1].closed == 1 && world.ends == 0);
    world_close();
}

/* A second thread posts by a sender, while the receiver closes without delivering. */
static void close_call(struct job_call *call)
{
    job_port_close_now(&container_of(call, struct side, call)->port);
}

static void sender_thread(void *arg)
{
    unsigned index = *(unsigned *)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct note note = {index, sides[index].posted};
        int err = job_sender_post(senders[index], &(struct job_post){.bytes = &note, .len = sizeof note});
        assert(err == 0 || err == -EAGAIN || err == -EPIPE);
        if (err < 0)
            break;
        sides[index].posted++;
    }
    job_sender_close(&senders[index]);
}

static void senders_meet_close(void)
{
    static const unsigned indices[] = {1, 2};
    struct job_end *ends[2];
    world_begin();
    open_channel(ends, 4);
    for (unsigned i = 1; i < SIDES; i++) {
        int err = job_end_sender(ends[1], &senders[i]);
        assert(err == 0);
    }
    job_end_close(&ends[1]);
    open_side(&sides[0], &ends[0]);
    if (sim_random(2)) {
        sides[0].call = (struct job_call){.run = close_call};
        int err = job_loop_call(sides[0].loop, &sides[0].call);
        assert(err == 0);
        given_up = 1;
    }
    for (unsigned i = 0; i < 2; i++)
        sim_spawn(sender_thread, (void *)(uintptr_t)&indices[i]);
}

static void close_later_call(struct job_call *call)
{
    struct side *side = container_of(call, struct side, call);
    if (side->closed > 0)
        return;
    if (delays == 0 && given_up)
        job_port_close_now(&side->port);
    else if (delays == 0)
        job_port_close(&side->port);
    else {
        delays--;
        int err = job_loop_call(side->loop, call);
        assert(err == 0);
    }
}

/* More waits than is turned round at once; a sender adds to it meanwhile, and the receiver may close in the middle. */
static void backlog(void)
{
    static const unsigned index = 1;
    struct job_end *ends[2];
    world_begin();
    open_channel(ends, 8);
    int err = job_end_sender(ends[1], &senders[index]);
    assert(err == 0);
    job_end_close(&ends[1]);
    for (; sides[index].posted < 4; sides[index].posted++) {
        struct note note = {index, sides[index].posted};
        err = job_sender_post(senders[index], &(struct job_post){.bytes = &note, .len = sizeof note});
        assert(err == 0);
    }
    open_side(&sides[0], &ends[0]);
    unsigned how = sim_random(3);
    given_up = how == 1;
    delays = sim_random(5);
    if (how > 0) {
        sides[0].call = (struct job_call){.run = close_later_call};
        err = job_loop_call(sides[0].loop, &sides[0].call);
        assert(err == 0);
    }
    sim_spawn(sender_thread, (void *)(uintptr_t)&index);
}

static void check_senders(void)
{
    unsigned posted = sides[1].posted + sides[2].posted;
    assert(sides[0].received + world.dropped == posted);
    if (!given_up)
        assert(world.dropped == 0);
    assert(sides[0].closed == 1 && world.ends == 0);
    world_close();
}

/* The end of sides[0]'s peer goes from loop to loop while sides[0] posts into it. */
static void on_carrier(struct job_port *port, struct job_message *message)
{
    struct job_end *end = job_message_take_end(message, 0);
    assert(end);
    job_port_close(port);
    int err = job_port_open(sides[2].loop, &sides[2].port, &end, &events);
    assert(err == 0);
}

static const struct job_port_events carrier_events = {.message = on_carrier};
static struct job_port carrier;

/* On sides[1]: it has received something or nothing, and sends its end on. */
static void send_on(struct job_call *call)
{
    struct side *side = container_of(call, struct side, call);
    struct job_end *end = NULL;
    if (delays > 0) {   /* meanwhile the port may deliver, sleep and be woken */
        delays--;
        int again = job_loop_call(side->loop, call);
        assert(again == 0);
        return;
    }
    int err = side->closed > 0 ? -ECANCELED : job_port_take(&side->port, &end);
    if (err < 0) {
        assert(err == -ECANCELED);
        job_end_close(&travelling);
        return;
    }
    struct job_item item = {.kind = JOB_ITEM_END, .end = &end};
    err = job_end_post(travelling, &(struct job_post){.items = &item, .count = 1});
    assert(err == 0 && !end);
    job_end_close(&travelling);
}

static void travels(void)
{
    struct job_end *ends[2], *way[2];
    world_begin();
    open_channel(ends, 2);
    open_channel(way, 2);
    open_side(&sides[0], &ends[0]);
    open_side(&sides[1], &ends[1]);
    open_side(&sides[2], NULL);
    travelling = way[0];
    delays = sim_random(5);
    int err = job_port_open(sides[2].loop, &carrier, &way[1], &carrier_events);
    assert(err == 0);
    call_begin(&sides[0], MESSAGES, true);
    sides[1].call = (struct job_call){.run = send_on};
    err = job_loop_call(sides[1].loop, &sides[1].call);
    assert(err == 0);
}

static void check_travels(void)
{
    assert(sides[0].posted == MESSAGES);
    assert(sides[1].received + sides[2].received == MESSAGES);
    assert(world.dropped == 0 && world.ends == 0);
    world_close();
}

/* A thread without a loop receives until the other one closes. */
static void receiver_thread(void *arg)
{
    struct side *side = arg;
    struct job_message *message;
    int err;
    while ((err = job_end_receive(alone, &message, -1)) == 0) {
        note_received(side, message);
        job_message_free(&message);
    }
    assert(err == -EPIPE);
    job_end_close(&alone);
}

static void blocking(void)
{
    struct job_end *ends[2];
    world_begin();
    open_channel(ends, 2);
    open_side(&sides[0], &ends[0]);
    alone = ends[1];
    sim_spawn(receiver_thread, &sides[1]);
    call_begin(&sides[0], MESSAGES, true);
}

static void check_blocking(void)
{
    assert(sides[1].received == MESSAGES && sides[0].closed == 1);
    assert(world.dropped == 0 && world.ends == 0);
    world_close();
}

static const char *const marks[] = {"inbox_push_wakes", "inbox_waits_for_room", NULL};
static const char *const marks_both[] = {"inbox_push_finds_closed", NULL};
static const char *const marks_close[] = {"inbox_push_wakes", "inbox_push_finds_closed", NULL};
static const char *const marks_backlog[] = {"end_turns_a_backlog", "inbox_push_finds_closed", NULL};
static const char *const marks_travel[] = {"inbox_push_wakes", "inbox_wake_on_its_way", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"each_message_arrives_once_in_order_and_then_close", one_way, check_one_way, 250, 0, marks},
        {"one_place_is_enough", one_place, check_one_way, 300, 0, marks},
        {"what_was_accepted_is_received_when_both_close", both_close, check_both_close, 250, 0, marks_both},
        {"many_senders_meet_a_receiver_that_closes", senders_meet_close, check_senders, 200, 0, marks_close},
        {"a_backlog_is_turned_round_in_several_turns", backlog, check_senders, 250, 0, marks_backlog},
        {"an_end_that_travels_loses_nothing", travels, check_travels, 300, 0, marks_travel},
        {"a_thread_without_a_loop_receives_all", blocking, check_blocking, 200, 0, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
