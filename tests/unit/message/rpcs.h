/* rpcs.h — two rpcs that face each other on one loop: shared by their tests. */
#ifndef TESTS_UNIT_MESSAGE_RPCS_H
#define TESTS_UNIT_MESSAGE_RPCS_H

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

static inline unsigned all_done(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CALLS; i++)
        count += callers[i].done;
    return count;
}

static inline void on_done(struct job_rpc_call *call, int status, struct job_message *answer)
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

static inline void hold(struct side *side, struct job_message *message)
{
    ck_assert_uint_lt(side->held_count, CALLS);
    side->held[side->held_count++] = message;
}

static inline void echo(struct side *side, struct job_message *message)
{
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    ck_assert_ok(job_rpc_answer(&side->rpc, &message, 7, &(struct job_post){.bytes = bytes, .len = len}));
    ck_assert_ptr_null(message);
}

static inline void on_call(struct job_rpc *rpc, struct job_message *message)
{
    struct side *side = job_container_of(rpc, struct side, rpc);
    ck_assert_uint_eq(side->closed, 0);
    side->then(side, message);
}

static inline void on_writable(struct job_rpc *rpc)
{
    job_container_of(rpc, struct side, rpc)->writable++;
}

static inline void on_closed(struct job_rpc *rpc)
{
    struct side *side = job_container_of(rpc, struct side, rpc);
    side->closed++;
    side->done_at_close = all_done();
}

static const struct job_rpc_events events = {.call = on_call, .writable = on_writable, .closed = on_closed};
static const struct job_rpc_events asks_only = {.writable = on_writable, .closed = on_closed};

static inline void log_hook(void *arg, enum job_log_level level, const char *text)
{
    fixture_log(arg, level, text);
    warnings += level == JOB_LOG_WARNING && strncmp(text, "rpc ", 4) == 0;
}

static inline void setup(void)
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

static inline void teardown(void)
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

static inline void open_both(const struct job_channel_options *channel, const struct job_rpc_options *options)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], channel));
    static const struct job_rpc_options roomy = {.calls_max = 256};   /* the default is tiny with JOB_SMALL */
    options = options ? options : &roomy;
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], options, &events));
    ck_assert_ok(job_rpc_open(loop, &b.rpc, &ends[1], options, &events));
    ck_assert_ptr_null(ends[0]);
}

static inline void turns(unsigned count)
{
    fixture_turns(loop, count);
}

static inline int ask(struct side *side, unsigned index, const char *text)
{
    struct job_post post = {.bytes = text, .len = strlen(text) + 1};
    return job_rpc_call(&side->rpc, &callers[index].call, &post, 0);
}

static inline int answer(struct side *side, unsigned index, int status, const char *text)
{
    struct job_post post = {.bytes = text, .len = strlen(text) + 1};
    return job_rpc_answer(&side->rpc, &side->held[index], status, &post);
}

static inline struct job_rpc_stats stats_of(const struct side *side)
{
    struct job_rpc_stats stats;
    job_rpc_stats(&side->rpc, &stats);
    return stats;
}

static inline struct job_buf *text_buf(const char *text)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, text, strlen(text)));
    return buf;
}

#endif
