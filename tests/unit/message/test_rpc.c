/* test_rpc.c — calls on one loop: answers in any order, limits, time-outs, cancel, closing at each moment, and what each call says when. */
#include "support/fixture.h"

enum { CALLS = 16 };

struct caller {
    struct job_rpc_call call;
    unsigned done;
    int status;
    bool has_answer;
    char text[32];
    struct job_buf *buf;
};

struct side {
    struct job_rpc rpc;
    struct job_message *held[CALLS];
    unsigned held_count, writable, closed, done_at_close;
    void (*then)(struct side *side, struct job_message *message);
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_end *ends[2];
static struct side a, b;
static struct caller callers[CALLS];
static unsigned warnings;

static unsigned all_done(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CALLS; i++)
        count += callers[i].done;
    return count;
}

static void on_done(struct job_rpc_call *call, int status, struct job_message *answer)
{
    struct caller *caller = job_container_of(call, struct caller, call);
    size_t len = 0;
    const char *bytes = job_message_bytes(answer, &len);
    caller->done++;
    caller->status = status;
    caller->has_answer = answer != NULL;
    if (answer)
        memcpy(caller->text, bytes, len < sizeof caller->text ? len : sizeof caller->text);
    caller->buf = job_message_take_buf(answer, 0);
}

static void hold(struct side *side, struct job_message *message)
{
    ck_assert_uint_lt(side->held_count, CALLS);
    side->held[side->held_count++] = message;
}

static void echo(struct side *side, struct job_message *message)
{
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    ck_assert_ok(job_rpc_answer(&side->rpc, &message, 7, &(struct job_post){.bytes = bytes, .len = len}));
    ck_assert_ptr_null(message);
}

static void on_call(struct job_rpc *rpc, struct job_message *message)
{
    struct side *side = job_container_of(rpc, struct side, rpc);
    ck_assert_uint_eq(side->closed, 0);
    side->then(side, message);
}

static void on_writable(struct job_rpc *rpc)
{
    job_container_of(rpc, struct side, rpc)->writable++;
}

static void on_closed(struct job_rpc *rpc)
{
    struct side *side = job_container_of(rpc, struct side, rpc);
    side->closed++;
    side->done_at_close = all_done();
}

static const struct job_rpc_events events = {.call = on_call, .writable = on_writable, .closed = on_closed};
static const struct job_rpc_events asks_only = {.writable = on_writable, .closed = on_closed};

static void log_hook(void *arg, enum job_log_level level, const char *text)
{
    fixture_log(arg, level, text);
    warnings += level == JOB_LOG_WARNING && strncmp(text, "rpc ", 4) == 0;
}

static void setup(void)
{
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    memset(callers, 0, sizeof callers);
    a.then = b.then = hold;
    for (unsigned i = 0; i < CALLS; i++)
        callers[i].call.done = on_done;
    warnings = 0;
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.name = "test", .log = log_hook}));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static void teardown(void)
{
    struct job_counts counts;
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    for (unsigned i = 0; i < CALLS; i++)
        job_buf_free(&callers[i].buf);
    ck_assert_ok(job_loop_close(&loop, 0));
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static void open_both(const struct job_channel_options *channel, const struct job_rpc_options *options)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], channel));
    static const struct job_rpc_options roomy = {.calls_max = 256};   /* the default is tiny with JOB_SMALL */
    options = options ? options : &roomy;
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], options, &events));
    ck_assert_ok(job_rpc_open(loop, &b.rpc, &ends[1], options, &events));
    ck_assert_ptr_null(ends[0]);
}

static void stop(struct job_call *call)
{
    (void)call;
    job_loop_stop(loop);
}

static void turns(unsigned count)
{
    while (count-- > 0) {
        struct job_call call = {.run = stop};
        ck_assert_ok(job_loop_call(loop, &call));
        ck_assert_int_eq(job_loop_run(loop), 1);
    }
}

static void stop_when_due(struct job_timer *timer)
{
    (void)timer;
    job_loop_stop(loop);
}

/* Until something is so, or the runner ends the test. */
#define run_until(condition)                                                                                           \
    do {                                                                                                               \
        struct job_timer timer = {0};                                                                                  \
        ck_assert_ok(job_timer_open(loop, &timer, stop_when_due));                                                     \
        while (!(condition)) {                                                                                         \
            ck_assert_ok(job_timer_start(&timer, 100000));                                                             \
            ck_assert_ok(job_loop_run(loop));                                                                          \
        }                                                                                                              \
        job_timer_close(&timer, NULL);                                                                                 \
        turns(2);                                                                                                      \
    } while (0)

static int ask(struct side *side, unsigned index, const char *text)
{
    struct job_post post = {.bytes = text, .len = strlen(text) + 1};
    return job_rpc_call(&side->rpc, &callers[index].call, &post, 0);
}

static int answer(struct side *side, unsigned index, int status, const char *text)
{
    struct job_post post = {.bytes = text, .len = strlen(text) + 1};
    return job_rpc_answer(&side->rpc, &side->held[index], status, &post);
}

static struct job_rpc_stats stats_of(const struct side *side)
{
    struct job_rpc_stats stats;
    job_rpc_stats(&side->rpc, &stats);
    return stats;
}

static struct job_buf *text_buf(const char *text)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, text, strlen(text)));
    return buf;
}

START_TEST(a_call_is_answered_once_with_status_and_bytes)
{
    b.then = echo;
    open_both(NULL, NULL);

    ck_assert_ok(ask(&a, 0, "question"));
    ck_assert_uint_eq(callers[0].done, 0);   /* never inside */
    turns(5);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_int_eq(callers[0].status, 7);
    ck_assert_str_eq(callers[0].text, "question");
    ck_assert_uint_eq(stats_of(&a).calls, 1);
    ck_assert_uint_eq(stats_of(&a).answered, 1);
    ck_assert_uint_eq(stats_of(&a).open, 0);
    ck_assert_uint_eq(stats_of(&b).served, 1);
    ck_assert_uint_eq(stats_of(&b).unanswered, 0);
}
END_TEST

static void pass_back(struct side *side, struct job_message *message)
{
    struct job_buf *buf = job_message_take_buf(message, 0);
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(job_rpc_answer(&side->rpc, &message, 0, &(struct job_post){.items = &item, .count = 1}));
    ck_assert_ptr_null(buf);
}

START_TEST(bufs_go_there_and_back_without_a_copy)
{
    struct job_buf *buf = text_buf("moved"), *same = buf;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    b.then = pass_back;
    open_both(NULL, NULL);

    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, &(struct job_post){.items = &item, .count = 1}, 0));
    ck_assert_ptr_null(buf);
    turns(5);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_ptr_eq(callers[0].buf, same);
}
END_TEST

static void pass_all_back(struct side *side, struct job_message *message)
{
    struct job_item items[6];
    struct job_buf *bufs[2] = {job_message_take_buf(message, 0), job_message_take_buf(message, 1)};
    struct job_region *region = job_message_take_region(message, 2);
    struct job_end *end = job_message_take_end(message, 3);
    int fd = job_message_take_fd(message, 4);
    ck_assert(job_buf_is_frozen(bufs[1]) && region && end && fd >= 0);
    items[0] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[0]};
    items[1] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[1]};
    items[2] = (struct job_item){.kind = JOB_ITEM_REGION, .region = region};
    items[3] = (struct job_item){.kind = JOB_ITEM_END, .end = &end};
    items[4] = (struct job_item){.kind = JOB_ITEM_FD, .fd = &fd};
    char bytes[300] = "long";
    ck_assert_ok(job_rpc_answer(&side->rpc, &message, 0, &(struct job_post){bytes, sizeof bytes, items, 5}));
    job_region_release(&region);
}

/* More items than a message has room for inside, and more bytes. */
START_TEST(every_kind_of_item_goes_both_ways)
{
    int descriptors = fixture_descriptors();
    struct job_buf *buf = text_buf("buf"), *view = text_buf("view");
    struct job_region *region = NULL;
    struct job_end *end = NULL, *other = NULL;
    int fd = dup(0);
    b.then = pass_all_back;
    open_both(NULL, NULL);
    ck_assert_ok(job_buf_freeze(view));
    ck_assert_ok(job_region_open(runtime, 64, &region));
    ck_assert_ok(job_channel_open(runtime, &end, &other, NULL));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &buf},       {.kind = JOB_ITEM_BUF, .buf = &view},
                               {.kind = JOB_ITEM_REGION, .region = region}, {.kind = JOB_ITEM_END, .end = &end},
                               {.kind = JOB_ITEM_FD, .fd = &fd}};

    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, &(struct job_post){.items = items, .count = 5}, 0));
    turns(6);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_str_eq(callers[0].text, "long");
    ck_assert_ptr_nonnull(callers[0].buf);
    ck_assert_int_eq(fixture_descriptors(), descriptors);   /* what nobody took went with the answer */
    job_region_release(&region);
    job_end_close(&other);
}
END_TEST

START_TEST(answers_come_in_any_order_each_to_its_call)
{
    open_both(NULL, NULL);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(ask(&a, i, (const char *[]){"zero", "one", "two", "three"}[i]));
    turns(3);
    ck_assert_uint_eq(b.held_count, 4);
    ck_assert_uint_eq(stats_of(&b).unanswered, 4);

    static const unsigned order[] = {2, 0, 3, 1};
    for (unsigned i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "to %s", (const char *)job_message_bytes(b.held[order[i]], NULL));
        ck_assert_ok(answer(&b, order[i], (int)order[i], text));
        turns(2);
        ck_assert_uint_eq(all_done(), i + 1);
        ck_assert_uint_eq(callers[order[i]].done, 1);
        ck_assert_int_eq(callers[order[i]].status, (int)order[i]);
    }

    ck_assert_str_eq(callers[2].text, "to two");
    ck_assert_str_eq(callers[3].text, "to three");
}
END_TEST

START_TEST(a_call_times_out_once_and_its_late_answer_is_dropped_and_counted)
{
    struct job_buf *buf = text_buf("late");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    open_both(NULL, NULL);

    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, NULL, 1000000));
    run_until(callers[0].done > 0);
    ck_assert_int_eq(callers[0].status, -ETIMEDOUT);
    ck_assert(!callers[0].has_answer);
    ck_assert_ok(ask(&a, 0, "again"));   /* the same slot: the late answer must not be taken for this one's */
    ck_assert_ok(job_rpc_answer(&b.rpc, &b.held[0], 0, &(struct job_post){.items = &item, .count = 1}));
    turns(3);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_uint_eq(stats_of(&a).late, 1);
    ck_assert_uint_eq(stats_of(&a).timed_out, 1);
    ck_assert_ok(answer(&b, 1, 5, "in time"));
    turns(3);
    ck_assert_uint_eq(callers[0].done, 2);
    ck_assert_int_eq(callers[0].status, 5);
}
END_TEST

/* Its time-out lay before that of another call, which is seen to pass. */
START_TEST(a_call_that_is_answered_does_not_time_out_as_well)
{
    b.then = echo;
    open_both(NULL, NULL);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, NULL, 20000000));
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[1].call, NULL, UINT64_MAX));
    run_until(all_done() == 2);
    b.then = hold;
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[2].call, NULL, 20000000));
    run_until(callers[2].done > 0);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_int_eq(callers[1].status, 7);
    ck_assert_int_eq(callers[2].status, -ETIMEDOUT);
}
END_TEST

START_TEST(a_canceled_call_ends_later_and_once)
{
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);

    job_rpc_cancel(&callers[0].call);
    ck_assert_uint_eq(callers[0].done, 0);
    ck_assert_int_eq(ask(&a, 0, "too early"), -EBUSY);
    job_rpc_cancel(&callers[0].call);
    turns(2);
    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_int_eq(callers[0].status, -ECANCELED);
    job_rpc_cancel(&callers[0].call);   /* idle */
    job_rpc_cancel(NULL);
    ck_assert_ok(answer(&b, 0, 0, "late"));
    turns(2);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_uint_eq(stats_of(&a).late, 1);
    ck_assert_uint_eq(stats_of(&a).canceled, 1);
}
END_TEST

START_TEST(open_calls_are_limited_and_room_is_told_once)
{
    open_both(NULL, &(struct job_rpc_options){.calls_max = 2});
    ck_assert_ok(ask(&a, 0, "0"));
    ck_assert_ok(ask(&a, 1, "1"));
    ck_assert_int_eq(ask(&a, 2, "2"), -EAGAIN);
    ck_assert_int_eq(ask(&a, 2, "2"), -EAGAIN);
    turns(3);
    ck_assert_uint_eq(a.writable, 0);

    ck_assert_ok(answer(&b, 1, 0, ""));
    turns(3);
    ck_assert_uint_eq(a.writable, 1);
    ck_assert_uint_eq(callers[2].done, 0);
    ck_assert_ok(ask(&a, 2, "2"));
    ck_assert_ok(answer(&b, 0, 0, ""));
    turns(3);

    ck_assert_uint_eq(a.writable, 1);
    ck_assert_uint_eq(stats_of(&a).open, 1);
}
END_TEST

static void give_up(unsigned index)
{
    job_rpc_cancel(&callers[index].call);
    turns(2);
    ck_assert_int_eq(callers[index].status, -ECANCELED);
}

START_TEST(calls_that_were_given_up_are_held_within_the_callers_limit)
{
    open_both(NULL, &(struct job_rpc_options){.calls_max = 2});
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_ok(ask(&a, i, "given up"));
        turns(2);
        give_up(i);
    }
    struct job_buf *buf = text_buf("for nobody");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[2].call, &(struct job_post){.items = &item, .count = 1}, 0));
    turns(3);
    ck_assert_int_eq(callers[2].status, -EBUSY);
    ck_assert(callers[2].has_answer);
    ck_assert_uint_eq(b.held_count, 2);
    ck_assert_uint_eq(stats_of(&b).refused, 1);
    ck_assert_uint_eq(stats_of(&b).unanswered, 2);

    ck_assert_ok(answer(&b, 0, 0, "late"));
    ck_assert_ok(ask(&a, 3, "there is room again"));
    turns(3);
    ck_assert_uint_eq(b.held_count, 3);
    ck_assert_uint_eq(callers[3].done, 0);
    ck_assert_ok(answer(&b, 2, 9, ""));
    turns(3);
    ck_assert_int_eq(callers[3].status, 9);
    ck_assert_uint_eq(stats_of(&b).served, 4);
}
END_TEST

START_TEST(a_full_queue_refuses_calls_and_leaves_their_bufs)
{
    struct job_buf *buf = text_buf("mine");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    struct job_post post = {.items = &item, .count = 1};
    b.then = echo;
    open_both(&(struct job_channel_options){.messages_max = 1}, NULL);
    ck_assert_ok(ask(&a, 0, "0"));

    ck_assert_int_eq(job_rpc_call(&a.rpc, &callers[1].call, &post, 1), -EAGAIN);
    ck_assert_ptr_nonnull(buf);
    turns(4);

    ck_assert_uint_eq(a.writable, 1);
    ck_assert_uint_eq(callers[1].done, 0);   /* it never began */
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[1].call, &post, 0));
    turns(4);
    ck_assert_uint_eq(callers[1].done, 1);
}
END_TEST

/* Before it answers its first call, b asks as much as a's queue holds. */
static void ask_back(struct side *side, struct job_message *message)
{
    hold(side, message);
    for (unsigned i = 0; i < 4 && side->held_count == 1; i++)
        ck_assert_ok(ask(side, 8 + i, "back"));
    if (side->held_count == 1)   /* later some may have been delivered */
        ck_assert_int_eq(ask(side, 12, "one more"), -EAGAIN);
    ck_assert_ok(answer(side, side->held_count - 1, 0, "into a's full queue"));
}

START_TEST(crossed_calls_at_their_limits_go_on)
{
    a.then = echo;
    b.then = ask_back;
    open_both(&(struct job_channel_options){.messages_max = 4}, NULL);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(ask(&a, i, "there"));   /* b's queue is full */
    ck_assert_int_eq(ask(&a, 4, "one more"), -EAGAIN);
    turns(8);

    ck_assert_uint_eq(all_done(), 8);
    for (unsigned i = 8; i < 12; i++)
        ck_assert_int_eq(callers[i].status, 7);
}
END_TEST

START_TEST(a_caller_that_closes_ends_its_calls_before_closed)
{
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "held"));
    turns(2);
    ck_assert_ok(ask(&a, 1, "not yet there"));
    ck_assert_ok(ask(&a, 2, "canceled already"));
    job_rpc_cancel(&callers[2].call);
    job_rpc_close(&a.rpc);
    job_rpc_close(&a.rpc);
    ck_assert_uint_eq(all_done(), 0);
    ck_assert_int_eq(ask(&a, 3, "late"), -ECANCELED);
    int err = answer(&b, 0, 0, "nobody hears");
    ck_assert_int_eq(err, -EPIPE);
    ck_assert_ptr_nonnull(b.held[0]);
    turns(5);

    ck_assert_uint_eq(a.done_at_close, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(callers[i].done, 1);
        ck_assert_int_eq(callers[i].status, -ECANCELED);
    }
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

START_TEST(each_open_call_of_a_dead_callee_ends_once_with_EOWNERDEAD)
{
    open_both(NULL, NULL);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(ask(&a, i, "held"));
    turns(2);
    ck_assert_ok(answer(&b, 1, 4, "answered"));
    ck_assert_ok(ask(&a, 3, "not yet there"));
    job_rpc_close(&b.rpc);
    ck_assert_int_eq(answer(&b, 0, 0, "closing"), -ECANCELED);
    turns(6);

    ck_assert_uint_eq(all_done(), 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(callers[i].done, 1);
        ck_assert_int_eq(callers[i].status, i == 1 ? 4 : -EOWNERDEAD);
        ck_assert(callers[i].has_answer == (i == 1));
    }
    ck_assert_uint_eq(a.closed, 1);
    ck_assert_uint_eq(a.done_at_close, 4);
}
END_TEST

static int calls_in_done[2];

static void ask_the_dead(struct job_rpc_call *call, int status, struct job_message *message)
{
    on_done(call, status, message);
    calls_in_done[0] = ask(&a, 1, "anybody?");
    calls_in_done[1] = answer(&a, 0, 0, "for nobody");
}

START_TEST(in_done_of_a_dead_callee_its_end_is_closed)
{
    open_both(NULL, NULL);
    callers[0].call.done = ask_the_dead;
    ck_assert_ok(ask(&a, 0, "held"));
    ck_assert_ok(ask(&b, 2, "held as well"));
    turns(2);
    ck_assert_uint_eq(a.held_count, 1);
    job_rpc_close(&b.rpc);
    turns(4);

    ck_assert_int_eq(callers[0].status, -EOWNERDEAD);
    ck_assert_int_eq(calls_in_done[0], -EPIPE);
    ck_assert_int_eq(calls_in_done[1], -EPIPE);
    ck_assert_uint_eq(a.closed, 1);
}
END_TEST

static unsigned told_closed;

static void forget(struct job_handle *handle)
{
    told_closed++;
    memset(handle, 0xa5, sizeof(struct job_rpc));   /* it is ours again */
}

START_TEST(without_a_closed_event_an_rpc_tells_who_was_named_for_its_handle)
{
    static const struct job_rpc_events deaf = {0};
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &deaf));
    job_handle_on_closed(&a.rpc.handle, forget);
    job_rpc_close(&a.rpc);
    turns(4);
    ck_assert_uint_eq(told_closed, 1);
}
END_TEST

START_TEST(a_callee_whose_end_never_came_to_a_loop_is_dead_when_it_is_closed)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));
    ck_assert_ok(ask(&a, 0, "anybody?"));
    turns(2);
    job_end_close(&ends[1]);
    ck_assert_int_eq(ask(&a, 1, "too late"), -EPIPE);
    turns(3);

    ck_assert_uint_eq(all_done(), 1);
    ck_assert_int_eq(callers[0].status, -EOWNERDEAD);
    ck_assert_uint_eq(a.closed, 1);
}
END_TEST

static void close_in_done(struct job_rpc_call *call, int status, struct job_message *message)
{
    on_done(call, status, message);
    job_rpc_close(&a.rpc);
    ck_assert_int_lt(ask(&a, 9, "more"), 0);
}

START_TEST(closing_in_done_ends_the_others_once)
{
    for (unsigned i = 0; i < 3; i++)
        callers[i].call.done = close_in_done;
    for (unsigned round = 0; round < 2; round++) {
        open_both(NULL, NULL);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_ok(ask(&a, i, "held"));
        turns(2);
        if (round == 0)
            ck_assert_ok(answer(&b, 0, 0, ""));
        else
            job_rpc_close(&b.rpc);
        turns(6);
        for (unsigned i = 0; i < 3; i++)
            ck_assert_uint_eq(callers[i].done, round + 1);
        ck_assert_uint_eq(a.closed, 1);
        ck_assert_uint_eq(b.closed, 1);
        a.closed = b.closed = b.held_count = 0;
    }
}
END_TEST

START_TEST(a_loop_that_closes_ends_open_calls)
{
    open_both(NULL, NULL);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(ask(&a, i, "held"));
    turns(2);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[3].call, NULL, 1000000000));
    ck_assert_ok(job_loop_close(&loop, 0));

    ck_assert_uint_eq(all_done(), 4);
    ck_assert_int_eq(callers[3].status, -ECANCELED);
    ck_assert_uint_eq(a.closed + b.closed, 2);
}
END_TEST

START_TEST(without_a_handler_calls_are_answered_with_ENOSYS)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));
    ck_assert_ok(job_rpc_open(loop, &b.rpc, &ends[1], NULL, &asks_only));
    ck_assert_ok(ask(&a, 0, "question"));
    turns(4);
    ck_assert_int_eq(callers[0].status, -ENOSYS);
    ck_assert(callers[0].has_answer);
}
END_TEST

START_TEST(a_callee_that_does_not_answer_is_reported_once_a_call)
{
    open_both(NULL, &(struct job_rpc_options){.calls_max = 3, .overdue_ns = 1000000});
    ck_assert_ok(ask(&a, 0, "question"));
    ck_assert_ok(ask(&a, 1, "question"));
    run_until(stats_of(&a).overdue == 2);
    unsigned told = warnings;
    ck_assert_uint_ge(told, 1);
    ck_assert_uint_eq(stats_of(&a).open, 2);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[2].call, NULL, 5000000));
    run_until(callers[2].done);

    ck_assert_uint_eq(stats_of(&a).overdue, 3);
    ck_assert_uint_eq(warnings, told + 1);
    ck_assert_uint_eq(all_done(), 1);
    ck_assert_ok(answer(&b, 0, 0, "at last"));
    turns(3);
    ck_assert_uint_eq(callers[0].done, 1);
}
END_TEST

START_TEST(a_caller_keeps_its_loop_alive_only_while_a_call_is_open)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &asks_only));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, NULL, 1000000));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(callers[0].status, -ETIMEDOUT);
    ck_assert_ok(job_rpc_call(&a.rpc, &callers[1].call, NULL, 0));
    job_rpc_cancel(&callers[1].call);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(callers[1].status, -ECANCELED);
}
END_TEST

START_TEST(what_cannot_be_answered_is_refused)
{
    char big[3000] = {0};
    struct job_message *message = NULL, *none = NULL;
    struct job_end *end = NULL, *other = NULL;
    open_both(&(struct job_channel_options){.bytes_max = 2000}, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);
    ck_assert_ok(job_channel_open(runtime, &end, &other, NULL));
    ck_assert_ok(job_end_post(end, &(struct job_post){0}));
    ck_assert_ok(job_end_receive(other, &message, 0));

    ck_assert_int_eq(job_rpc_answer(&b.rpc, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &none, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &message, 0, NULL), -EINVAL);      /* no call */
    ck_assert_int_eq(job_rpc_answer(&a.rpc, &b.held[0], 0, NULL), -EINVAL);    /* not its */
    struct job_post too_big = {.bytes = big, .len = sizeof big};
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &b.held[0], 0, &too_big), -EMSGSIZE);
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &b.held[0], 0, &(struct job_post){.len = 3}), -EINVAL);
    job_message_free(&b.held[0]);   /* ignored, and said so in the log */
    ck_assert_ptr_nonnull(b.held[0]);
    ck_assert_ok(job_rpc_answer(&b.rpc, &b.held[0], 0, NULL));
    ck_assert_ptr_null(b.held[0]);
    turns(2);

    ck_assert_uint_eq(callers[0].done, 1);
    job_message_free(&message);
    job_end_close(&end);
    job_end_close(&other);
}
END_TEST

START_TEST(a_second_answer_by_another_copy_of_the_pointer_is_refused)
{
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);
    b.held[1] = b.held[0];
    ck_assert_ok(answer(&b, 0, 1, "first"));
    ck_assert_int_eq(answer(&b, 1, 2, "second"), -EINVAL);
    turns(2);

    ck_assert_int_eq(callers[0].status, 1);
    ck_assert_uint_eq(stats_of(&a).late, 0);
    ck_assert_uint_eq(stats_of(&b).unanswered, 0);
}
END_TEST

START_TEST(bad_arguments_are_refused_and_change_nothing)
{
    struct job_rpc never = {0};
    struct job_rpc_call without = {0};
    struct job_end *none = NULL;
    struct job_rpc_stats stats;
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_int_eq(job_rpc_open(NULL, &a.rpc, &ends[0], NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, NULL, &ends[0], NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, NULL, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, &none, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, &ends[0], NULL, NULL), -EINVAL);
    struct job_rpc_options many = {.calls_max = 65537};
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, &ends[0], &many, &events), -EINVAL);
    ck_assert_ptr_nonnull(ends[0]);
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));

    ck_assert_int_eq(job_rpc_call(NULL, &callers[0].call, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&never, &callers[0].call, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&a.rpc, NULL, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&a.rpc, &without, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&a.rpc, &callers[0].call, &(struct job_post){.len = 1}, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(NULL, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(&never, NULL, 0, NULL), -EINVAL);
    job_rpc_close(NULL);
    job_rpc_close(&never);
    job_rpc_stats(&never, &stats);
    ck_assert_uint_eq(stats.calls, 0);
    ck_assert_uint_eq(stats_of(&a).calls, 0);
    job_rpc_stats(&a.rpc, NULL);
}
END_TEST

static void *from_elsewhere(void *arg)
{
    int *errs = arg;
    errs[0] = job_rpc_call(&a.rpc, &callers[1].call, NULL, 0);
    errs[1] = job_rpc_answer(&b.rpc, &b.held[0], 0, NULL);
    job_rpc_cancel(&callers[0].call);
    return NULL;
}

START_TEST(another_thread_is_refused)
{
    pthread_t thread;
    int errs[2];
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);
    ck_assert_int_eq(pthread_create(&thread, NULL, from_elsewhere, errs), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    turns(2);
    ck_assert_int_eq(errs[0], -EPERM);
    ck_assert_int_eq(errs[1], -EPERM);
    ck_assert_uint_eq(all_done(), 0);
}
END_TEST

START_TEST(messages_that_are_no_calls_are_dropped_and_counted)
{
    struct job_counts counts;
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));
    struct job_buf *buf = text_buf("lost");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(job_end_post(ends[1], &(struct job_post){.items = &item, .count = 1}));
    turns(2);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(stats_of(&a).stray, 1);
    ck_assert_uint_eq(counts.dropped_messages, 1);
    ck_assert_uint_eq(counts.bufs, 0);
}
END_TEST

static void keep(struct job_rpc_call *call, int status, struct job_message *message)
{
    (void)status;
    job_message_keep(message);
    call->data = message;
    job_container_of(call, struct caller, call)->done++;
}

START_TEST(an_answer_may_be_kept)
{
    b.then = echo;
    open_both(NULL, NULL);
    callers[0].call.done = keep;
    ck_assert_ok(ask(&a, 0, "kept"));
    turns(3);
    job_rpc_close(&a.rpc);
    turns(3);
    struct job_message *kept = callers[0].call.data;
    ck_assert_str_eq(job_message_bytes(kept, NULL), "kept");
    job_message_free(&kept);
    ck_assert_ptr_null(kept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc");
    TCase *tcase = tcase_create("rpc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_call_is_answered_once_with_status_and_bytes);
    tcase_add_test(tcase, bufs_go_there_and_back_without_a_copy);
    tcase_add_test(tcase, every_kind_of_item_goes_both_ways);
    tcase_add_test(tcase, answers_come_in_any_order_each_to_its_call);
    tcase_add_test(tcase, a_call_times_out_once_and_its_late_answer_is_dropped_and_counted);
    tcase_add_test(tcase, a_call_that_is_answered_does_not_time_out_as_well);
    tcase_add_test(tcase, a_canceled_call_ends_later_and_once);
    tcase_add_test(tcase, open_calls_are_limited_and_room_is_told_once);
    tcase_add_test(tcase, calls_that_were_given_up_are_held_within_the_callers_limit);
    tcase_add_test(tcase, a_full_queue_refuses_calls_and_leaves_their_bufs);
    tcase_add_test(tcase, crossed_calls_at_their_limits_go_on);
    tcase_add_test(tcase, a_caller_that_closes_ends_its_calls_before_closed);
    tcase_add_test(tcase, each_open_call_of_a_dead_callee_ends_once_with_EOWNERDEAD);
    tcase_add_test(tcase, in_done_of_a_dead_callee_its_end_is_closed);
    tcase_add_test(tcase, without_a_closed_event_an_rpc_tells_who_was_named_for_its_handle);
    tcase_add_test(tcase, a_callee_whose_end_never_came_to_a_loop_is_dead_when_it_is_closed);
    tcase_add_test(tcase, closing_in_done_ends_the_others_once);
    tcase_add_test(tcase, a_loop_that_closes_ends_open_calls);
    tcase_add_test(tcase, without_a_handler_calls_are_answered_with_ENOSYS);
    tcase_add_test(tcase, a_callee_that_does_not_answer_is_reported_once_a_call);
    tcase_add_test(tcase, a_caller_keeps_its_loop_alive_only_while_a_call_is_open);
    tcase_add_test(tcase, what_cannot_be_answered_is_refused);
    tcase_add_test(tcase, a_second_answer_by_another_copy_of_the_pointer_is_refused);
    tcase_add_test(tcase, bad_arguments_are_refused_and_change_nothing);
    tcase_add_test(tcase, another_thread_is_refused);
    tcase_add_test(tcase, messages_that_are_no_calls_are_dropped_and_counted);
    tcase_add_test(tcase, an_answer_may_be_kept);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
