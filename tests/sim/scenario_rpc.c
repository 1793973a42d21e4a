/* scenario_rpc.c — calls between two loops, at once in both directions: each ends once, with its own answer or without one; whoever closes,
 * at whatever moment, the other side's calls end; those who call each other at their limits go on. No time-out anywhere: a call that never
 * ends is a deadlock.
 */
#include <errno.h>
#include <string.h>

#include "loop/loop.h"
#include "message/rpc.h"
#include "sim/world.h"

enum { CALLS = 3, GONE = 0x5a };

struct side {
    struct job_loop *loop;
    struct job_rpc rpc;
    struct job_call begin, again, end;
    struct job_rpc_call calls[CALLS];
    struct job_message *held[CALLS];
    unsigned to_ask, asked, dones, answered, dead, canceled, served, held_count, closed, late;
    bool holds, cancels, closes_when_done, is_over;
};

static struct side sides[2];
static unsigned served_at_most[2];

static unsigned index_of(const struct side *side)
{
    return (unsigned)(side - sides);
}

static void see_whether_done(struct side *side)
{
    if (side->closes_when_done && side->dones == side->to_ask && side->served == served_at_most[index_of(side)] &&
        side->held_count == 0 && !side->is_over) {
        side->is_over = true;
        job_rpc_close(&side->rpc);
    }
}

static void on_done(struct job_rpc_call *call, int status, struct job_message *answer)
{
    struct side *side = call->data;
    unsigned index = (unsigned)(call - side->calls);
    assert(self()->loop == side->loop && side->closed == 0);
    assert(call->done);
    call->done = NULL;   /* a second one would be seen */
    side->dones++;
    if (answer) {
        bool is_refused = status == -EBUSY && side->cancels;   /* the other one still holds what we have canceled */
        assert(is_refused || status == (int)(10 * index_of(side) + index));
        side->answered++;
    } else if (status == -EOWNERDEAD) {
        side->dead++;
    } else {
        assert(status == -ECANCELED);
        side->canceled++;
    }
    see_whether_done(side);
}

static void ask(struct side *side)
{
    while (side->asked < side->to_ask && !side->is_over) {
        struct job_rpc_call *call = &side->calls[side->asked];
        unsigned number = 10 * index_of(side) + side->asked;
        *call = (struct job_rpc_call){.done = on_done, .data = side};
        int err = job_rpc_call(&side->rpc, call, &(struct job_post){.bytes = &number, .len = sizeof number}, 0);
        assert(err == 0 || err == -EAGAIN || err == -EPIPE || err == -ECANCELED);
        if (err == -EAGAIN)
            return;
        if (err < 0) {
            side->to_ask = side->asked;
            return;
        }
        side->asked++;
        if (side->cancels && sim_random(2))
            job_rpc_cancel(call);
    }
}

static void answer(struct side *side, struct job_message *message)
{
    unsigned number;
    memcpy(&number, job_message_bytes(message, NULL), sizeof number);
    int err = job_rpc_answer(&side->rpc, &message, (int)number, NULL);
    assert((err == 0) == (message == NULL));
    assert(err == 0 || err == -EPIPE || err == -ECANCELED);   /* never for lack of room */
    side->served++;
}

static void answer_held(struct job_call *call)
{
    struct side *side = container_of(call, struct side, again);
    while (side->held_count > 0)
        answer(side, side->held[--side->held_count]);   /* the last one first */
    see_whether_done(side);
}

static void on_call(struct job_rpc *rpc, struct job_message *message)
{
    struct side *side = container_of(rpc, struct side, rpc);
    assert(self()->loop == side->loop && side->closed == 0);
    if (!side->holds) {
        answer(side, message);
        see_whether_done(side);
        return;
    }
    side->held[side->held_count++] = message;
    assert(side->held_count <= RPC_CALLS_DEFAULT);   /* also of those that were canceled */
    if (side->held_count > 1)
        return;
    int err = job_loop_defer(side->loop, &side->again);
    assert(err == 0 || err == -EALREADY);
}

static void on_writable(struct job_rpc *rpc)
{
    ask(container_of(rpc, struct side, rpc));
}

static void on_closed(struct job_rpc *rpc)
{
    struct side *side = container_of(rpc, struct side, rpc);
    struct job_rpc_stats stats;
    job_rpc_stats(rpc, &stats);
    assert(side->closed == 0 && side->dones == side->asked);   /* no call is open any more */
    side->late = (unsigned)stats.late;
    side->closed++;
    side->held_count = 0;
    memset(rpc, GONE, sizeof *rpc);
}

static const struct job_rpc_events events = {.call = on_call, .writable = on_writable, .closed = on_closed};

static void begin(struct job_call *call)
{
    struct side *side = container_of(call, struct side, begin);
    if (side->closed == 0)
        ask(side);
    else
        side->to_ask = 0;
}

static void close_now(struct job_call *call)
{
    struct side *side = container_of(call, struct side, end);
    side->is_over = true;
    if (side->closed == 0)
        job_rpc_close(&side->rpc);
}

static void loop_thread(void *arg)
{
    struct side *side = arg;
    int err = job_loop_run(side->loop);
    assert(err == 0);
    err = job_loop_close(&side->loop, 0);
    assert(err == 0);
}

static void open_sides(unsigned messages_max)
{
    struct job_end *ends[2];
    struct job_channel_options options = {.messages_max = messages_max};
    world_open(64, 0, 0);
    memset(sides, 0, sizeof sides);
    served_at_most[0] = served_at_most[1] = 0;
    int err = job_channel_open(world_runtime(), &ends[0], &ends[1], &options);
    assert(err == 0);
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = &sides[i];
        err = job_loop_open(world_runtime(), &side->loop, &(struct job_loop_options){.no_spin = true});
        assert(err == 0);
        side->again.run = answer_held;
        err = job_rpc_open(side->loop, &side->rpc, &ends[i], NULL, &events);
        assert(err == 0);
        sim_label(&side->loop->mailbox, sizeof side->loop->mailbox, "mailbox");
    }
}

static void call_on(struct side *side, struct job_call *call, void (*run)(struct job_call *call))
{
    *call = (struct job_call){.run = run};
    int err = job_loop_call(side->loop, call);
    assert(err == 0);
}

static void start(void)
{
    for (unsigned i = 0; i < 2; i++) {
        sim_spawn(loop_thread, &sides[i]);
        if (sides[i].to_ask > 0)
            call_on(&sides[i], &sides[i].begin, begin);
    }
}

/* One place in each queue, two calls open at most: both are refused again and again. */
static void crossed(void)
{
    open_sides(1);
    for (unsigned i = 0; i < 2; i++) {
        sides[i].to_ask = i == 0 ? CALLS : 2;
        sides[i].holds = sim_random(2);
        sides[i].closes_when_done = true;
        served_at_most[1 - i] = sides[i].to_ask;
    }
    start();
}

static void check_crossed(void)
{
    assert(sides[0].answered == CALLS && sides[1].answered == 2);
    assert(sides[0].closed == 1 && sides[1].closed == 1);
    assert(world.dropped == 0 && world.ends == 0);
    world_close();
}

/* Somebody closes, perhaps both, while calls go both ways. */
static void closes(void)
{
    open_sides(2);
    unsigned who = sim_random(3);
    for (unsigned i = 0; i < 2; i++) {
        sides[i].to_ask = 2;
        sides[i].holds = sim_random(2);
    }
    start();
    for (unsigned i = 0; i < 2; i++) {
        if (who == i || who == 2)
            call_on(&sides[i], &sides[i].end, close_now);
    }
}

static void check_ended(void)
{
    for (unsigned i = 0; i < 2; i++) {
        assert(sides[i].closed == 1 && sides[i].dones == sides[i].asked);
        assert(sides[i].answered + sides[i].dead + sides[i].canceled == sides[i].asked);
    }
    assert(world.ends == 0);
    world_close();
}

/* Some calls are canceled at once; their answers are late, and taken for no other call's though its slot is the same. */
static void cancels(void)
{
    open_sides(2);
    sides[0].to_ask = CALLS;
    sides[0].cancels = true;
    sides[0].closes_when_done = true;
    sides[1].holds = sim_random(2);
    start();
}

static void check_cancels(void)
{
    assert(sides[0].dones == CALLS && sides[0].dead == 0);
    assert(sides[0].answered + sides[0].canceled == CALLS && sides[0].late <= sides[0].canceled);
    check_ended();
}

static const char *const marks[] = {"inbox_push_wakes", "inbox_waits_for_room", NULL};
static const char *const marks_close[] = {"inbox_push_finds_closed", NULL};
static const char *const marks_late[] = {"rpc_answer_is_late", "rpc_holds_what_its_caller_has_given_up", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"crossed_calls_at_their_limits_go_on", crossed, check_crossed, 400, 0, marks},
        {"each_call_ends_once_whoever_closes", closes, check_ended, 300, 0, marks_close},
        {"a_late_answer_is_taken_for_no_other_calls", cancels, check_cancels, 300, 0, marks_late},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
