/* moves.c — an echo whose connections leave their stream and come back on another one, at any moment; what the kernel does meanwhile goes
 * along: data, the end, a failure.
 */
#include "conform/conform.h"

enum { MOVERS_MAX = 4 };

struct moves;

struct place {
    struct job_stream stream;
    struct mover *mover;
    bool is_open;
    unsigned ends;
};

struct mover {
    struct place places[2];
    unsigned at;                          /* the place that has it, or had it last */
    struct job_connection *connection;    /* between two places */
    struct moves *of;
    struct peer peer;
    uint64_t received;
    unsigned ends;
    bool is_leaving, is_over;
};

struct moves {
    struct scenario *scenario;
    struct mover movers[MOVERS_MAX];
    unsigned count;
};

static struct place *place_of(struct job_stream *stream)
{
    return job_container_of(stream, struct place, stream);
}

static void end_it(struct mover *mover)
{
    mover->is_over = true;
    job_connection_close(&mover->connection);
    if (mover->places[mover->at].is_open)
        job_stream_close(&mover->places[mover->at].stream);
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    struct mover *mover = place_of(stream)->mover;
    struct scenario *scenario = mover->of->scenario;
    must(scenario, stream == &mover->places[mover->at].stream && !mover->connection);
    must(scenario, !mover->is_leaving && !mover->is_over && place_of(stream)->ends == 0);
    verify(scenario, *in, mover->peer.key, &mover->received);
    int err = job_stream_send(stream, in);
    must(scenario, err == 0 || (scenario->may_break && *in));
    if (err < 0)
        end_it(mover);
}

/* Told by each stream that the connection comes to. */
static void on_end(struct job_stream *stream, int status)
{
    struct mover *mover = place_of(stream)->mover;
    struct scenario *scenario = mover->of->scenario;
    must(scenario, stream == &mover->places[mover->at].stream && !mover->connection);
    must(scenario, !mover->is_leaving && !mover->is_over && place_of(stream)->ends == 0);
    must(scenario, status == 0 || scenario->may_break);
    place_of(stream)->ends++;
    mover->ends++;
    must(scenario, scenario->may_break || mover->received == mover->peer.to_send);
    int err = status < 0 ? status : job_stream_shutdown(stream);
    must(scenario, err == 0 || scenario->may_break);
    if (err < 0)
        end_it(mover);
}

static void on_sent(struct job_stream *stream, int status)
{
    struct mover *mover = place_of(stream)->mover;
    must(mover->of->scenario, status == 0 || mover->of->scenario->may_break);
    if (status < 0 && !mover->is_over)
        end_it(mover);
}

static void on_closed(struct job_stream *stream)
{
    must(place_of(stream)->mover->of->scenario, place_of(stream)->is_open);
    place_of(stream)->is_open = false;
}

static const struct job_stream_events events = {
    .data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed};

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    struct mover *mover = place_of(stream)->mover;
    struct scenario *scenario = mover->of->scenario;
    must(scenario, stream == &mover->places[mover->at].stream && !mover->is_over && !mover->connection);
    must(scenario, mover->is_leaving);
    mover->is_leaving = false;
    if (scenario->may_break && below(scenario, 50) == 0) {   /* nobody takes it */
        mover->is_over = true;
        return;
    }
    mover->connection = *connection;
    *connection = NULL;
}

static void arrive(struct scenario *scenario, struct mover *mover)
{
    struct place *next = &mover->places[1 - mover->at];
    if (!mover->connection || next->is_open || below(scenario, 2))
        return;
    mover->at = 1 - mover->at;
    next->ends = 0;
    must_ok(scenario, job_stream_attach(scenario->loop, &next->stream, &mover->connection, &events));
    must(scenario, !mover->connection);
    next->is_open = true;
}

static void leave(struct scenario *scenario, struct mover *mover)
{
    struct place *place = &mover->places[mover->at];
    if (!place->is_open || mover->connection || mover->is_over || below(scenario, 4) > 0)
        return;
    int err = job_stream_detach(&place->stream, on_detached);
    must(scenario, err == 0 || err == -EBUSY || err == -EALREADY || err == -ECANCELED || scenario->may_break);
    mover->is_leaving |= err == 0;
}

static void disturb(struct scenario *scenario, struct mover *mover)
{
    struct place *place = &mover->places[mover->at];
    if (!place->is_open || mover->is_over)
        return;
    if (below(scenario, 3) == 0)
        job_stream_pause(&place->stream);
    else
        job_stream_resume(&place->stream);
}

static bool act(struct scenario *scenario)
{
    struct moves *moves = scenario->state;
    bool is_any = false;
    for (unsigned i = 0; i < moves->count; i++) {
        struct mover *mover = &moves->movers[i];
        disturb(scenario, mover);
        leave(scenario, mover);
        arrive(scenario, mover);
        peer_act(scenario, &mover->peer);
        if (peer_is_done(&mover->peer) && !mover->is_over && (mover->ends || scenario->may_break))
            end_it(mover);
        is_any |= !mover->is_over || mover->places[0].is_open || mover->places[1].is_open;
    }
    return is_any;
}

void echo_with_moves(struct scenario *scenario)
{
    static struct moves moves;
    moves = (struct moves){.scenario = scenario, .count = 1 + below(scenario, MOVERS_MAX)};
    for (unsigned i = 0; i < moves.count; i++) {
        struct mover *mover = &moves.movers[i];
        int fds[2];
        fixture_pair(fds);
        mover->of = &moves;
        mover->places[0].mover = mover->places[1].mover = mover;
        peer_open(&mover->peer, fds[0], scenario->seed + i, below(scenario, 5) ? below(scenario, 60000) : 0);
        must_ok(scenario, job_stream_adopt(scenario->loop, &mover->places[0].stream, fds[1], &events));
        mover->places[0].is_open = true;
    }
    run(scenario, &moves, act);
    for (unsigned i = 0; i < moves.count; i++) {
        struct mover *mover = &moves.movers[i];
        must(scenario, mover->is_over && !mover->connection);
        if (!scenario->may_break) {
            must(scenario, mover->received == mover->peer.to_send);
            must(scenario, mover->peer.received == mover->received);
        }
        tell(scenario, " received %llu sent %llu", (unsigned long long)mover->received,
             (unsigned long long)mover->peer.received);
        peer_close(&mover->peer);
    }
}
