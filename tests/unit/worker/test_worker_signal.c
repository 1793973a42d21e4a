/* test_worker_signal.c — a worker that waits for a signal too takes nothing away from its parent. */
#include <signal.h>

#include "workers.h"

enum { ROUNDS = 20 };

static struct job_signal here, there;
static unsigned heard_here, heard_there, sent;
static bool is_ended;

static void hears_there(struct job_signal *signal, int number)
{
    (void)signal;
    ck_assert_int_eq(number, SIGUSR1);
    const uint64_t value = 1;
    int err = job_inside_post(job_inside_current(), &(struct job_post){.bytes = &value, .len = sizeof value});
    ck_assert(err == 0 || err == -EPIPE);   /* its parent has closed it, and the stop comes behind this */
}

static void waits_for_a_signal(struct job_inside *inside, struct job_message *start)
{
    const int number = SIGUSR1;
    listens(inside, start);   /* lives until it is stopped */
    ck_assert_ok(job_signal_open(job_inside_loop(inside), &there, &number, 1, hears_there));
    post_value(inside, 0);
}

static void raise_next(void)
{
    sent++;
    kill(getpid(), SIGUSR1);
}

/* In the middle the worker is closed, and while it ends the next one comes, which its handle may still take. */
static void go_on(void)
{
    if (heard_here < sent || (!is_ended && heard_there < sent))
        return;
    if (sent == ROUNDS) {
        job_signal_close(&here, NULL);
        return;
    }
    if (sent == ROUNDS / 2) {
        job_worker_close(&w.worker);
        is_ended = true;
    }
    raise_next();
}

static void hears_here(struct job_signal *signal, int number)
{
    (void)signal;
    ck_assert_int_eq(number, SIGUSR1);
    heard_here++;
    go_on();
}

static void told_by_worker(struct told *told)
{
    if (told->value == 0) {
        raise_next();
        return;
    }
    heard_there++;
    go_on();
}

START_TEST(a_worker_that_hears_a_signal_takes_it_from_nobody_also_while_it_ends)
{
    const int number = SIGUSR1;
    ck_assert_ok(job_signal_open(loop, &here, &number, 1, hears_here));
    job_handle_ref(&here.handle);
    open_worker(&w, waits_for_a_signal, NULL);
    w.then = told_by_worker;

    run_to_end(&w);

    ck_assert_uint_eq(heard_here, ROUNDS);
    ck_assert_uint_eq(heard_there, ROUNDS / 2);
}
END_TEST

static void block_and_setup(void)
{
    const int number = SIGUSR1;
    ck_assert_ok(job_signals_block(&number, 1));   /* before the runtime's threads */
    setup();
}

int main(void)
{
    Suite *suite = suite_create("worker signal");
    TCase *tcase = tcase_create("worker signal");
    tcase_add_checked_fixture(tcase, block_and_setup, teardown);
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, a_worker_that_hears_a_signal_takes_it_from_nobody_also_while_it_ends);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
