/* stream.h — one stream under test, its loop, and a plain socket as its peer; what its callbacks have told is counted.
 *
 * Header only, with variables of its own: each test is one program.
 */
#ifndef TESTS_SUPPORT_STREAM_H
#define TESTS_SUPPORT_STREAM_H

#include "support/fixture.h"

enum { MS = 1000000, BIG = 3 << 20 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_stream stream;
static int peer;                   /* -1: gone */
static unsigned datas, ends, sents, writables, closes;
static int end_status, sent_status;
static void (*in_data)(void), (*in_end)(void), (*in_sent)(void), (*in_writable)(void);

static inline void call(void (*fn)(void))
{
    if (fn)
        fn();
}

static inline void on_data(struct job_stream *s, struct job_buf **in)
{
    (void)in;
    ck_assert_ptr_eq(s, &stream);
    ck_assert_uint_eq(ends + closes, 0);
    datas++;
    call(in_data);
}

static inline void on_end(struct job_stream *s, int status)
{
    ck_assert_ptr_eq(s, &stream);
    ck_assert_uint_eq(ends + closes, 0);
    ends++;
    end_status = status;
    call(in_end);
}

static inline void on_sent(struct job_stream *s, int status)
{
    ck_assert_ptr_eq(s, &stream);
    ck_assert_uint_eq(closes, 0);
    sents++;
    sent_status = status;
    call(in_sent);
}

static inline void on_writable(struct job_stream *s)
{
    ck_assert(!job_stream_is_full(s));
    ck_assert_uint_eq(closes, 0);
    writables++;
    call(in_writable);
}

static inline void on_closed(struct job_stream *s)
{
    ck_assert_ptr_eq(s, &stream);
    closes++;
}

static const struct job_stream_events events = {
    .data = on_data, .end = on_end, .sent = on_sent, .closed = on_closed, .writable = on_writable};

/* The stream of fds[1]. options: NULL or those of the runtime and the loop. */
static inline void stream_begin(const int fds[2], const struct job_runtime_options *of_runtime,
                                const struct job_loop_options *of_loop)
{
    if (of_runtime)
        ck_assert_ok(job_runtime_open(&runtime, of_runtime));
    else
        runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, of_loop));
    datas = ends = sents = writables = closes = 0;
    in_data = in_end = in_sent = in_writable = NULL;
    end_status = sent_status = 1;
    peer = fds[0];
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], &events));
}

/* Closes what is open, and nothing may be left. */
static inline void stream_done(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_uint_eq(closes, 1);
    if (peer >= 0)
        close(peer);
    fixture_close(runtime);
}

/* The peer goes by a reset. */
static inline void reset_peer(void)
{
    fixture_reset(peer);
    peer = -1;
}

static inline void *reads_all(void *arg)
{
    static char bytes[65536];
    (void)arg;
    while (recv(peer, bytes, sizeof bytes, 0) > 0) {
    }
    return NULL;
}

static inline struct job_buf *bytes_of(size_t len)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), len, NULL, &buf));
    memset(job_buf_room(buf, &(size_t){0}), 'b', len);
    ck_assert_ok(job_buf_extend(buf, len));
    return buf;
}

static inline void queue(size_t len)
{
    struct job_buf *buf = bytes_of(len);
    ck_assert_ok(job_stream_send(&stream, &buf));
}

static inline void close_it(void)
{
    job_stream_close(&stream);
}

/* Runs the loop until the stream is closed, or stopped. */
static inline void run(void)
{
    ck_assert_int_ge(job_loop_run(loop), 0);
}

#endif
