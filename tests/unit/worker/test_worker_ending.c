/* test_worker_ending.c — what a worker and its parent still hear of each other once one of them has said that it ends. */
#include "unit/worker/stopped_workers.h"

enum { WAITING = 5 };

static const struct job_worker_options roomy = {.channel = {.messages_max = 4 * WAITING}};

static void open_counter(void)
{
    ck_assert_ok(job_region_open(runtime, 64, &counter));
}

/* Until the other thread has said so. */
static void await_counter(void)
{
    uint32_t value = 0;
    for (unsigned looks = 0; value == 0; fixture_pause(&looks)) {
        if (job_region_load32(counter, 0, &value) < 0)
            ck_abort_msg("no counter");
    }
}

static void tell_counter(void)
{
    ck_assert_ok(job_region_store32(counter, 0, 1));
}

/* Of the worker; its parent looks when it has ended. */
static unsigned heard;
static int listened_again;

static void exits_at_the_first(struct job_inside *inside, struct job_message *message)
{
    (void)message;
    heard++;
    job_inside_exit(inside, 3);
}

static const struct job_inside_events exiting = {.message = exits_at_the_first};

static void listens_again(struct job_inside *inside, struct job_message *message)
{
    exits_at_the_first(inside, message);
    listened_again = job_inside_listen(inside, &exiting);
}

static const struct job_inside_events obstinate = {.message = listens_again};
static const struct job_inside_events *listens_with;

static void listens_when_told(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    await_counter();
    ck_assert_ok(job_inside_listen(inside, listens_with));
}

/* Runs a worker for which messages wait when it begins to listen. */
static void run_with_waiting(const struct job_inside_events *inside_events)
{
    open_counter();
    heard = 0;
    listens_with = inside_events;
    open_worker(&w, listens_when_told, &roomy);
    for (unsigned i = 0; i < WAITING; i++)
        ck_assert_ok(job_worker_post(&w.worker, &(struct job_post){0}));
    tell_counter();
    run_to_end(&w);
    job_region_release(&counter);
}

START_TEST(a_worker_that_has_said_its_exit_hears_no_more)
{
    run_with_waiting(&exiting);
    ck_assert_uint_eq(heard, 1);
    ck_assert_int_eq(w.code, 3);
}
END_TEST

START_TEST(a_worker_that_has_said_its_exit_cannot_listen_again)
{
    listened_again = 0;
    run_with_waiting(&obstinate);
    ck_assert_int_eq(listened_again, -ECANCELED);
    ck_assert_uint_eq(heard, 1);
    ck_assert_int_eq(w.code, 3);
}
END_TEST

static void posts_many(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    for (unsigned i = 0; i < WAITING; i++)
        post_value(inside, i);
    tell_counter();
}

static void close_it(struct told *told)
{
    job_worker_close(&told->worker);
}

START_TEST(a_worker_that_is_closed_in_a_message_tells_none_of_those_that_wait)
{
    open_counter();
    w.then = close_it;
    open_worker(&w, posts_many, &roomy);
    await_counter();
    run_to_end(&w);
    ck_assert_uint_eq(w.messages, 1);
    job_region_release(&counter);
}
END_TEST

START_TEST(a_post_to_a_worker_that_has_ended_says_so_before_its_exit_is_told)
{
    int err;
    unsigned looks = 0;
    open_worker(&w, ends_at_once, NULL);
    while ((err = job_worker_post(&w.worker, &(struct job_post){0})) == 0 || err == -EAGAIN)
        fixture_pause(&looks);
    ck_assert_int_eq(err, -ESRCH);
    ck_assert_uint_eq(w.exits, 0);
    run_to_end(&w);
}
END_TEST

/* The bound is twenty ticks from the first stop. Deadlines pass in their order, so a busy machine makes both late. */
enum { TICK_NS = 10000000, BOUND_TICKS = 20, PATIENCE_TICKS = 60 };

static struct job_timer asks_again;
static unsigned asked;

static void frees_it(struct job_worker *worker, const void *function)
{
    on_stuck(worker, function);
    tell_counter();
    job_timer_close(&asks_again, NULL);
}

static void ask_again(struct job_timer *timer)
{
    ck_assert_ok(job_worker_stop(&w.worker));
    if (++asked < PATIENCE_TICKS)
        return;
    tell_counter();   /* the bound has moved with each of them */
    job_timer_close(timer, NULL);
}

/* It has begun: one that is stopped before would end at once. */
static void begins_to_ask(struct told *told)
{
    (void)told;
    ck_assert_ok(job_timer_start_repeating(&asks_again, 0, TICK_NS));
}

START_TEST(a_worker_that_is_asked_to_stop_again_and_again_is_stuck_when_the_first_time_is_over)
{
    struct job_worker_events freeing = events;
    struct job_worker_options options = {.stop_timeout_ns = (uint64_t)BOUND_TICKS * TICK_NS};
    freeing.stuck = frees_it;
    asked = 0;
    open_counter();
    w.then = begins_to_ask;
    ck_assert_ok(job_timer_open(loop, &asks_again, ask_again));
    ck_assert_ok(job_worker_open(loop, &w.worker, blocks_until_told, &options, &freeing));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(w.exits, 1);
    ck_assert_uint_eq(w.stuck, 1);
    job_region_release(&counter);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker ending");
    TCase *tcase = tcase_create("worker ending");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_worker_that_has_said_its_exit_hears_no_more);
    tcase_add_test(tcase, a_worker_that_has_said_its_exit_cannot_listen_again);
    tcase_add_test(tcase, a_worker_that_is_closed_in_a_message_tells_none_of_those_that_wait);
    tcase_add_test(tcase, a_post_to_a_worker_that_has_ended_says_so_before_its_exit_is_told);
    tcase_add_test(tcase, a_worker_that_is_asked_to_stop_again_and_again_is_stuck_when_the_first_time_is_over);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
