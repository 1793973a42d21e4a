/* test_timers.c — timers, deferred calls, tasks and cancels mixed at random for a while: at the end every one of them is accounted for.
 *
 * SOAK_MS says for how long; the default is short. SEED repeats the sequence of decisions.
 */
#include "support/fixture.h"

enum { TIMERS = 500, TASKS = 64, MS = 1000000, FIRED_LEAST = 100, SUBMITTED_LEAST = 10 };

struct item {
    struct job_timer timer;
    uint64_t armed, fired, stopped;   /* one-shots: armed = fired + stopped + what is armed */
    bool is_repeating;
};

struct work {
    struct job_task task;
    bool is_out;
};

static struct job_loop *loop;
static struct job_pool *pool;
static struct item items[TIMERS];
static struct work works[TASKS];
static struct job_call calls[8];
static struct random dice;
static uint64_t fired_count, submitted, ended, cancelled, posted, called, end_ns;
static unsigned closed;

static void stop(struct item *item)
{
    item->stopped += job_timer_is_armed(&item->timer) && !item->is_repeating;
    job_timer_stop(&item->timer);
    ck_assert(!job_timer_is_armed(&item->timer));
}

static void start(struct item *item)
{
    stop(item);
    item->is_repeating = random_below(&dice, 8) == 0;
    job_timer_set_slack(&item->timer, random_below(&dice, 3) ? 0 : random_below(&dice, 5 * MS));
    uint64_t after = random_below(&dice, 4) ? random_below(&dice, 20 * MS) : random_below(&dice, 3) * MS / 100;
    if (item->is_repeating) {
        ck_assert_ok(job_timer_start_repeating(&item->timer, after, MS / 10 + random_below(&dice, 10 * MS)));
    } else {
        ck_assert_ok(job_timer_start(&item->timer, after));
        item->armed++;
    }
}

static void run_work(struct job_task *task)
{
    job_task_set_status(task, 1);
}

static void work_done(struct job_task *task, int status)
{
    struct work *work = job_container_of(task, struct work, task);
    ck_assert(work->is_out && (status == 1 || status == -ECANCELED));
    work->is_out = false;
    ended++;
}

static void submit(struct work *work)
{
    if (work->is_out) {
        cancelled += job_task_cancel(&work->task) == 0;
        return;
    }
    ck_assert_ok(job_task_init(&work->task, pool, run_work, work_done));
    if (job_submit(pool, &work->task, &items[0].timer.handle) == 0) {
        work->is_out = true;
        submitted++;
    }
}

static void count_call(struct job_call *call)
{
    (void)call;
    called++;
}

static void post(struct job_call *call)
{
    bool is_deferred = random_below(&dice, 2) == 0;
    call->run = count_call;
    int err = is_deferred ? job_loop_defer(loop, call) : job_loop_call(loop, call);
    ck_assert(err == 0 || err == -EALREADY);
    posted += err == 0;
}

static void on_closed(struct job_timer *timer)
{
    (void)timer;
    closed++;
}

/* The time has passed, and something has happened in it: a busy machine may have given us little of it. */
static bool is_enough(void)
{
    return job_loop_now(loop) >= end_ns && fired_count > FIRED_LEAST && submitted > SUBMITTED_LEAST;
}

static void fired(struct job_timer *timer)
{
    struct item *item = job_container_of(timer, struct item, timer);
    fired_count += !item->is_repeating;
    item->fired += !item->is_repeating;
    ck_assert(job_timer_is_armed(timer) == item->is_repeating);
    if (is_enough()) {
        for (unsigned i = 0; i < TIMERS; i++) {
            stop(&items[i]);
            job_timer_close(&items[i].timer, on_closed);
        }
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        switch (random_below(&dice, 8)) {
        case 0: stop(&items[random_below(&dice, TIMERS)]); break;
        case 1: submit(&works[random_below(&dice, TASKS)]); break;
        case 2: post(&calls[random_below(&dice, 8)]); break;
        default: start(&items[random_below(&dice, TIMERS)]); break;
        }
    }
    start(&items[random_below(&dice, TIMERS)]);   /* one is always armed */
}

START_TEST(whatever_is_armed_stopped_submitted_cancelled_and_posted_is_accounted_for)
{
    struct job_runtime *runtime = fixture_runtime();
    dice = fixture_random("timers");
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 2}));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    for (unsigned i = 0; i < TIMERS; i++)
        ck_assert_ok(job_timer_open(loop, &items[i].timer, fired));
    end_ns = job_loop_now(loop) + fixture_rounds("SOAK_MS", 1000) * (uint64_t)MS;
    start(&items[1]);

    ck_assert_int_eq(job_loop_run(loop), 0);

    uint64_t all = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        ck_assert_uint_eq(items[i].armed, items[i].fired + items[i].stopped);
        all += items[i].fired;
    }
    ck_assert_uint_eq(all, fired_count);
    ck_assert_uint_eq(submitted, ended);
    ck_assert_uint_le(cancelled, ended);
    ck_assert_uint_eq(posted, called);
    ck_assert_uint_eq(closed, TIMERS);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("timers");
    TCase *tcase = tcase_create("soak");
    tcase_set_timeout(tcase, 0);   /* SOAK_MS may be minutes */
    tcase_add_test(tcase, whatever_is_armed_stopped_submitted_cancelled_and_posted_is_accounted_for);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
