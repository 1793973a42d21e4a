/* workers.h — a worker and what its parent was told of it: what the tests of workers share. */
#ifndef TESTS_UNIT_WORKER_WORKERS_H
#define TESTS_UNIT_WORKER_WORKERS_H

#include "support/fixture.h"

/* One worker and what its parent was told. */
struct told {
    struct job_worker worker;
    unsigned online, messages, errors, exits, closed, left, stuck, writable;
    const char *left_what;
    unsigned left_count;
    unsigned messages_at_exit, messages_at_online;
    int code, err;
    char text[128];
    uint64_t value;                       /* of the last message, if it has 8 bytes */
    const void *running;
    void (*then)(struct told *told);      /* at each message */
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct told w;

static inline void on_online(struct job_worker *worker)
{
    struct told *told = job_container_of(worker, struct told, worker);
    told->online++;
    told->messages_at_online = told->messages;
}

static inline void on_message(struct job_worker *worker, struct job_message *message)
{
    struct told *told = job_container_of(worker, struct told, worker);
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    if (len == sizeof told->value)
        memcpy(&told->value, bytes, len);
    told->messages++;
    if (told->then)
        told->then(told);
}

static inline void on_error(struct job_worker *worker, int err, const char *text)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->exits, 0);
    told->errors++;
    told->err = err;
    snprintf(told->text, sizeof told->text, "%s", text);
}

static inline void on_stuck(struct job_worker *worker, const void *function)
{
    struct told *told = job_container_of(worker, struct told, worker);
    told->stuck++;
    told->running = function;
}

static inline void on_writable(struct job_worker *worker)
{
    job_container_of(worker, struct told, worker)->writable++;
}

static inline void on_exit_code(struct job_worker *worker, int code)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->closed, 0);
    told->exits++;
    told->code = code;
    told->messages_at_exit = told->messages;
}

static inline void on_closed(struct job_worker *worker)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->exits, 1);
    told->closed++;
}

static inline void on_left(struct job_worker *worker, const struct job_hung *first, unsigned count)
{
    struct told *told = job_container_of(worker, struct told, worker);
    ck_assert_uint_eq(told->exits, 1);
    ck_assert_uint_eq(told->closed, 0);
    told->left++;
    told->left_what = first->what;
    told->left_count = count;
}

static const struct job_worker_events events = {
    .online = on_online, .message = on_message,     .writable = on_writable, .error = on_error,
    .stuck = on_stuck,   .exit = on_exit_code, .closed = on_closed, .left = on_left,
};

static inline void setup(void)
{
    memset(&w, 0, sizeof w);
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static inline void teardown(void)
{
    struct job_counts counts;
    ck_assert_ok(job_loop_close(&loop, 0));
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    ck_assert_uint_eq(job_worker_list(runtime, NULL, 0), 0);
    fixture_close(runtime);
}

/* Who names no time-out for its stop is not stuck because the machine is busy. */
static inline void open_worker(struct told *told, job_worker_main_fn *main, const struct job_worker_options *options)
{
    struct job_worker_options patient = options ? *options : (struct job_worker_options){0};
    if (patient.stop_timeout_ns == 0)
        patient.stop_timeout_ns = 600000000000;
    ck_assert_ok(job_worker_open(loop, &told->worker, main, &patient, &events));
}

static inline void run_to_end(struct told *told)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(told->exits, 1);
    ck_assert_uint_eq(told->closed, 1);
}

static inline void post_value(struct job_inside *inside, uint64_t value)
{
    ck_assert_ok(job_inside_post(inside, &(struct job_post){.bytes = &value, .len = sizeof value}));
}

static inline void ends_at_once(struct job_inside *inside, struct job_message *start)
{
    (void)inside, (void)start;
}

static inline void posts_two(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    post_value(inside, 1);
    post_value(inside, 2);
}

static inline void hears(struct job_inside *inside, struct job_message *message)
{
    uint64_t value = 0;
    size_t len;
    const void *bytes = job_message_bytes(message, &len);
    if (len == sizeof value)
        memcpy(&value, bytes, len);
    post_value(inside, value + 1);
}

static const struct job_inside_events hearing = {.message = hears};

static inline void listens(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &hearing));
}

static int exit_with;

static inline void exits(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    listens(inside, NULL);
    post_value(inside, 7);
    job_inside_exit(inside, exit_with);
    job_inside_exit(inside, exit_with + 1);   /* the first one counts */
}

static inline void stop_it(struct told *told)
{
    ck_assert_ok(job_worker_stop(&told->worker));
}

#endif
