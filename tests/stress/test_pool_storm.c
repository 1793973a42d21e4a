/* test_pool_storm.c — a ledger says that each submit that was accepted has exactly one end, whatever happens to the pool meanwhile.
 *
 * Several loops and foreign threads submit at random to one pool with tiny lanes: tasks that fork tasks (so there is something to
 * steal), cancels, waits for room, and in some rounds a stop in the middle. Each round opens and closes everything.
 */
#include <sched.h>

#include "support/fixture.h"

/* check writes each of its assertions to a pipe, also one that holds: too slow for one a task. */
#define must(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s", #condition);                                                                            \
    } while (0)

enum { LOOPS = 3, FOREIGN = 2, TASKS = 24, CHILDREN = 8, ROUNDS_DEFAULT = 12, SUBMITS = 3000 };

struct item {
    struct job_task task;
    struct side *side;
    uint32_t accepted, ended;   /* of this task: one thread at a time owns it */
    bool is_out, is_waiting;
};

/* A loop, or a thread without one. */
struct side {
    struct job_loop *loop;      /* NULL: foreign */
    struct job_timer anchor, tick;
    struct random dice;
    struct item items[TASKS];
    unsigned submits_left;
    bool has_stopped;           /* a submit said -ECANCELED */
    pthread_t thread;
};

static struct job_runtime *runtime;
static struct job_pool *pool;
static struct side sides[LOOPS + FOREIGN];
static uint64_t accepted_total, ended_total, cancelled_total, refused_total, forked_total;   /* any thread */

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void child_runs(struct job_task *task)
{
    (void)task;
}

static void child_ended(struct job_task *task, int status)
{
    must(status == 0 || status == -ECANCELED);
    must(job_task_fini(task) == 0);
    free(task);
    add(&ended_total, 1);
}

static void forks(struct job_task *task)
{
    unsigned count = (unsigned)(uintptr_t)task->data % CHILDREN;
    for (unsigned i = 0; i < count; i++) {
        struct job_task *child = malloc(sizeof *child);
        must(job_task_init(child, pool, child_runs, child_ended) == 0);
        int err = job_submit(pool, child, NULL);
        if (err < 0) {
            must(err == -ECANCELED);
            free(child);
            continue;
        }
        add(&accepted_total, 1);
        add(&forked_total, 1);
    }
    if (count == 0 && job_task_is_cancelled(task))
        job_task_set_status(task, -EINTR);
}

static void ended(struct job_task *task, int status)
{
    struct item *item = job_container_of(task, struct item, task);
    item->ended++;
    add(&ended_total, 1);
    add(&cancelled_total, status == -ECANCELED);
    must(item->ended == item->accepted);
    if (!item->side->loop)
        must(job_task_fini(task) == 0);   /* its thread may submit it anew before we have returned */
    __atomic_store_n(&item->is_out, false, __ATOMIC_RELEASE);   /* submit_some() acquires it */
}

static void has_room(struct job_task *task);

static void submit(struct side *side, struct item *item)
{
    struct job_handle *handle = side->loop ? &side->anchor.handle : NULL;
    if (!handle)
        must(job_task_init(&item->task, pool, forks, ended) == 0);
    item->accepted++;   /* before its end can come */
    item->is_out = true;
    int err = job_submit(pool, &item->task, handle);
    if (err == 0)
        return add(&accepted_total, 1);
    item->accepted--;
    item->is_out = false;
    if (err == -EAGAIN) {
        add(&refused_total, 1);
        item->is_waiting = true;
        must(job_task_when_writable(&item->task, has_room) == 0);
        return;
    }
    must(err == -ECANCELED);
    side->has_stopped = true;
}

static void has_room(struct job_task *task)
{
    struct item *item = job_container_of(task, struct item, task);
    item->is_waiting = false;
    submit(item->side, item);
}

static void submit_some(struct side *side)
{
    for (int i = 0; i < 20 && side->submits_left > 0 && !side->has_stopped; i++) {
        struct item *item = &side->items[random_below(&side->dice, TASKS)];
        if (__atomic_load_n(&item->is_out, __ATOMIC_ACQUIRE)) {
            if (random_below(&side->dice, 4) == 0)
                (void)job_task_cancel(&item->task);
            continue;
        }
        if (item->is_waiting)
            continue;
        side->submits_left--;
        item->task.data = (void *)(uintptr_t)random_next(&side->dice);
        submit(side, item);
    }
}

static void ticks(struct job_timer *timer)
{
    struct side *side = job_container_of(timer, struct side, tick);
    submit_some(side);
    if (side->submits_left > 0 && !side->has_stopped) {
        must(job_timer_start(timer, 0) == 0);
        return;
    }
    job_timer_close(timer, NULL);
    if (random_below(&side->dice, 2))
        job_timer_close(&side->anchor, NULL);   /* with tasks out, and perhaps some that wait */
}

static void never(struct job_timer *timer)
{
    (void)timer;
}

static void *side_main(void *arg)
{
    struct side *side = arg;
    if (!side->loop) {
        while (side->submits_left > 0 && !side->has_stopped)
            submit_some(side);
        return NULL;
    }
    must(job_timer_open(side->loop, &side->anchor, never) == 0);
    must(job_timer_open(side->loop, &side->tick, ticks) == 0);
    must(job_timer_start(&side->tick, 0) == 0);
    must(job_loop_run(side->loop) == 0);
    return NULL;
}

static void open_side(struct side *side, bool has_loop, struct random *dice)
{
    *side = (struct side){.dice = {random_next(dice)}, .submits_left = SUBMITS};
    if (has_loop)
        must(job_loop_open(runtime, &side->loop, &(struct job_loop_options){.entries = 8, .receive_slots = 4}) == 0);
    for (int i = 0; i < TASKS; i++) {
        side->items[i].side = side;
        must(job_task_init(&side->items[i].task, pool, forks, ended) == 0);
    }
}

static void *closes_loop(void *arg)
{
    struct side *side = arg;
    side_main(side);
    if (side->loop)
        must(job_loop_close(&side->loop, 0) == 0);
    return NULL;
}

static void play_round(struct random *dice)
{
    struct job_pool_options options = {
        .workers = 1 + (unsigned)random_below(dice, 3),
        .queue_limit = 1u << random_below(dice, 4),
        .no_spin = random_below(dice, 2),
    };
    bool stops = random_below(dice, 3) == 0;
    uint64_t stop_after = random_below(dice, SUBMITS);
    accepted_total = ended_total = 0;
    ck_assert_ok(job_pool_open(runtime, &pool, &options));
    for (int i = 0; i < LOOPS + FOREIGN; i++) {
        open_side(&sides[i], i < LOOPS, dice);
        ck_assert_int_eq(pthread_create(&sides[i].thread, NULL, closes_loop, &sides[i]), 0);
    }
    while (stops && __atomic_load_n(&accepted_total, __ATOMIC_RELAXED) < stop_after)
        sched_yield();
    if (stops)
        job_pool_stop(pool);
    for (int i = 0; i < LOOPS + FOREIGN; i++)
        pthread_join(sides[i].thread, NULL);
    struct job_pool_stats stats;
    ck_assert_int_eq(job_pool_workers(pool), options.workers);
    while (__atomic_load_n(&ended_total, __ATOMIC_RELAXED) < __atomic_load_n(&accepted_total, __ATOMIC_RELAXED))
        sched_yield();   /* a lost task: the watchdog ends this */
    job_pool_stats(pool, &stats);
    ck_assert_uint_eq(stats.submitted, accepted_total);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    ck_assert_uint_eq(ended_total, accepted_total);
    for (int i = 0; i < LOOPS + FOREIGN; i++) {
        for (int j = 0; j < TASKS; j++)
            ck_assert_uint_eq(sides[i].items[j].ended, sides[i].items[j].accepted);
    }
}

START_TEST(each_accepted_task_has_exactly_one_end)
{
    const char *text = getenv("ROUNDS");
    int rounds = text ? atoi(text) : ROUNDS_DEFAULT;
    struct random dice = fixture_random("each_accepted_task_has_exactly_one_end");
    runtime = fixture_runtime();
    for (int i = 0; i < rounds; i++)
        play_round(&dice);
    ck_assert_uint_gt(cancelled_total, 0);   /* what the test is for has happened */
    ck_assert_uint_gt(refused_total, 0);
    ck_assert_uint_gt(forked_total, 0);
    fixture_close(runtime);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool storm");
    TCase *tcase = tcase_create("pool storm");
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, each_accepted_task_has_exactly_one_end);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
