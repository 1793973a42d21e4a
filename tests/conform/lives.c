/* lives.c — close in every state; tasks and `closed`; memory that runs out and comes back. */
#include "conform/conform.h"

enum state {
    JUST_OPENED,
    IN_DATA,
    AFTER_DATA_PAUSED,        /* bufs wait on the stream */
    RESUME_PENDING,
    SENDING,
    SENDING_WITH_QUEUE,
    SHUT_DOWN,
    SHUTDOWN_WANTED,
    IN_END,
    AFTER_END,
    IN_SENT,
    WITH_TASK,
    WITH_OPEN_BUF,            /* a piece of it is kept */
    TWICE,
    STATES,
};

struct life {
    struct scenario *scenario;
    struct job_stream stream;
    struct job_task task;
    enum state state;
    struct job_buf *kept;
    int peer;
    unsigned acts, closes, dones;
    bool is_closing;
};

static void close_now(struct life *life)
{
    life->is_closing = true;
    job_stream_close(&life->stream);
    if (life->state == TWICE)
        job_stream_close(&life->stream);
    must(life->scenario, life->closes == 0);
    must(life->scenario, job_handle_is_closing(&life->stream.handle));
}

static void life_run(struct job_task *task)
{
    (void)task;
}

static void life_done(struct job_task *task, int status)
{
    struct life *life = job_container_of(task, struct life, task);
    must(life->scenario, life->closes == 0 && (status == 0 || status == -ECANCELED));
    life->dones++;
}

static void life_data(struct job_stream *stream, struct job_buf **in)
{
    struct life *life = job_container_of(stream, struct life, stream);
    must(life->scenario, !life->is_closing);
    if (life->state == IN_DATA)
        close_now(life);
    else if (life->state == AFTER_DATA_PAUSED || life->state == RESUME_PENDING)
        job_stream_pause(stream);
    else if (life->state == WITH_OPEN_BUF && !life->kept)
        life->kept = job_buf_take(in);
}

static void life_end(struct job_stream *stream, int status)
{
    struct life *life = job_container_of(stream, struct life, stream);
    must(life->scenario, !life->is_closing && (status == 0 || life->scenario->may_break));
    if (life->state == IN_END)
        close_now(life);
}

static void life_sent(struct job_stream *stream, int status)
{
    struct life *life = job_container_of(stream, struct life, stream);
    must(life->scenario, !life->is_closing && (status == 0 || life->scenario->may_break));
    if (life->state == IN_SENT)
        close_now(life);
}

static void life_closed(struct job_stream *stream)
{
    struct life *life = job_container_of(stream, struct life, stream);
    must(life->scenario, life->is_closing && life->closes++ == 0);
    must(life->scenario, life->state != WITH_TASK || life->dones == 1);
    memset(&life->stream, 0xEE, sizeof life->stream);   /* it is ours again */
}

static const struct job_stream_events life_events = {
    .data = life_data, .end = life_end, .sent = life_sent, .closed = life_closed};

static void queue_some(struct life *life, unsigned count)
{
    uint64_t offset = 0;
    while (count-- > 0) {
        struct job_buf *buf = make(life->scenario, 7, &offset, 60000);
        if (job_stream_send(&life->stream, &buf) < 0)
            job_buf_free(&buf);
    }
}

static bool life_act(struct scenario *scenario)
{
    struct life *life = scenario->state;
    if (life->closes)
        return false;
    if (life->is_closing || ++life->acts < 1 + below(scenario, 12))
        return true;
    switch (life->state) {
    case RESUME_PENDING: job_stream_resume(&life->stream); break;
    case SENDING: queue_some(life, 1); break;
    case SENDING_WITH_QUEUE: queue_some(life, 30); break;
    case SHUT_DOWN: (void)job_stream_shutdown(&life->stream); break;
    case SHUTDOWN_WANTED:
        queue_some(life, 20);
        (void)job_stream_shutdown(&life->stream);
        break;
    case WITH_TASK: must_ok(scenario, job_submit(scenario->pool, &life->task, &life->stream.handle)); break;
    default: break;
    }
    if (life->state != IN_DATA && life->state != IN_END && life->state != IN_SENT)
        close_now(life);
    else if (life->acts > 60)   /* the connection broke before it came to that */
        close_now(life);
    return true;
}

static void live(struct scenario *scenario, enum state state)
{
    static const char bytes[3000];
    struct life life = {.scenario = scenario, .state = state};
    int fds[2];
    fixture_pair(fds);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    must_ok(scenario, job_task_init(&life.task, scenario->pool, life_run, life_done));
    must_ok(scenario, job_stream_adopt(scenario->loop, &life.stream, fds[1], &life_events));
    for (unsigned n = 1 + below(scenario, 4); n > 0; n--)
        must(scenario, send(fds[0], bytes, 1 + below(scenario, sizeof bytes), 0) > 0);
    if (state == IN_END || state == AFTER_END)
        shutdown(fds[0], SHUT_WR);
    if (state == IN_SENT)
        queue_some(&life, 1);
    if (state == JUST_OPENED)
        close_now(&life);
    run(scenario, &life, life_act);
    must(scenario, life.closes == 1);
    job_buf_free(&life.kept);
    close(fds[0]);
    tell(scenario, " %d", (int)state);
}

void close_in_each_state(struct scenario *scenario)
{
    for (enum state state = 0; state < STATES; state++)
        live(scenario, state);
}

enum { TASKS = 12 };

static struct tasks {
    struct scenario *scenario;
    struct job_timer owner;   /* any handle will do */
    struct job_task tasks[TASKS];
    unsigned submitted, done, canceled, closes;
} many;

static void many_done(struct job_task *task, int status)
{
    must(many.scenario, many.closes == 0);
    many.done++;
    many.canceled += status == -ECANCELED;
    must(many.scenario, task->buf != NULL);
}

static void many_closed(struct job_timer *timer)
{
    (void)timer;
    must(many.scenario, many.closes++ == 0 && many.done == many.submitted);
}

static bool many_act(struct scenario *scenario)
{
    struct job_task *task = &many.tasks[many.submitted];
    if (many.submitted < TASKS && below(scenario, 10)) {
        uint64_t offset = 0;
        struct job_buf *buf = task->buf ? NULL : make(scenario, 1, &offset, 100);
        if (buf)
            must_ok(scenario, job_task_give(task, &buf));
        int err = job_submit(scenario->pool, task, &many.owner.handle);
        must(scenario, err == 0 || err == -EAGAIN);
        many.submitted += err == 0;
        if (err == 0 && below(scenario, 4) == 0)
            (void)job_task_cancel(task);
        return true;
    }
    job_timer_close(&many.owner, many_closed);
    must(scenario, many.submitted == TASKS || job_submit(scenario->pool, task, &many.owner.handle) == -ECANCELED);
    return false;
}

static void many_fired(struct job_timer *timer)
{
    (void)timer;
    must(many.scenario, false);
}

void tasks_end_before_closed(struct scenario *scenario)
{
    many = (struct tasks){.scenario = scenario};
    must_ok(scenario, job_timer_open(scenario->loop, &many.owner, many_fired));
    for (int i = 0; i < TASKS; i++)
        must_ok(scenario, job_task_init(&many.tasks[i], scenario->pool, life_run, many_done));
    run(scenario, NULL, many_act);
    must(scenario, many.closes == 1);
    for (int i = 0; i < TASKS; i++)
        must_ok(scenario, job_task_fini(&many.tasks[i]));
    tell(scenario, " closed %u", many.closes);
}

enum { SLOTS = 6, SLOT = 4096, STARVERS = 5 };

static struct starvation {
    struct scenario *scenario;
    struct job_loop *loop;
    struct job_arena *arena;
    struct job_stream streams[STARVERS];
    struct peer peers[STARVERS];
    uint64_t received[STARVERS];
    struct job_buf *kept[SLOTS];
    unsigned closed;
    bool is_closing[STARVERS];
} few;

static void few_data(struct job_stream *stream, struct job_buf **in)
{
    unsigned index = (unsigned)(stream - few.streams);
    verify(few.scenario, *in, few.peers[index].key, &few.received[index]);
    unsigned place = below(few.scenario, SLOTS);
    if (!few.kept[place] && below(few.scenario, 3))
        few.kept[place] = job_buf_take(in);
}

static void few_end(struct job_stream *stream, int status)
{
    unsigned index = (unsigned)(stream - few.streams);
    must(few.scenario, status == 0 || few.scenario->may_break);
    must(few.scenario, status < 0 || few.received[index] == few.peers[index].to_send);
    few.is_closing[index] = true;
    job_stream_close(stream);
}

static void few_closed(struct job_stream *stream)
{
    (void)stream;
    few.closed++;
}

static const struct job_stream_events few_events = {.data = few_data, .end = few_end, .closed = few_closed};

static bool few_act(struct scenario *scenario)
{
    for (unsigned i = 0; i < STARVERS; i++)
        peer_act(scenario, &few.peers[i]);
    job_buf_free(&few.kept[below(scenario, SLOTS)]);
    return few.closed < STARVERS;
}

/* Memory for a handful of slots, most of which the user keeps: receives wait for it inside the engine and go on when some is freed. */
void starving(struct scenario *scenario)
{
    struct job_arena_options options = {
        .limit_bytes = SLOTS * SLOT, .reserve_bytes = SLOT, .cache_slots_max = JOB_ARENA_NO_CACHE};
    struct job_loop *other = scenario->loop;
    few = (struct starvation){.scenario = scenario};
    must_ok(scenario, job_arena_open(scenario->runtime, &few.arena, &options));
    struct job_loop_options loop_options = {
        .arena = few.arena, .entries = 8, .receive_slots = 4, .receive_slot_bytes = SLOT, .no_spin = true};
    must_ok(scenario, job_loop_open(scenario->runtime, &scenario->loop, &loop_options));
    for (unsigned i = 0; i < STARVERS; i++) {
        int fds[2];
        fixture_pair(fds);
        peer_open(&few.peers[i], fds[0], scenario->seed + i, 2000 + below(scenario, 30000));
        must_ok(scenario, job_stream_adopt(scenario->loop, &few.streams[i], fds[1], &few_events));
    }
    run(scenario, NULL, few_act);
    for (unsigned i = 0; i < STARVERS; i++) {
        tell(scenario, " %llu", (unsigned long long)few.received[i]);
        peer_close(&few.peers[i]);
    }
    for (unsigned i = 0; i < SLOTS; i++)
        job_buf_free(&few.kept[i]);
    must_ok(scenario, job_loop_close(&scenario->loop, 0));
    must_ok(scenario, job_arena_close(&few.arena));
    scenario->loop = other;
}
