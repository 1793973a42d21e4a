/* scenario_carrier.c — tasks that block lend their places: no place is lost, none is shared, and every task runs.
 *
 * A sleep that has a time-out ends by it at once or never, so that no time-out heals a lost wake-up.
 */
#include "sched/pool.h"
#include "sim/world.h"

enum { TASKS_MAX = 6 };

static struct job_pool *pool;
static struct job_task tasks[TASKS_MAX];
static unsigned count, ran, ended, meeting, met, inside, inside_max, refused;
static bool leaves, closes_early;
static unsigned submitters;

static bool all_met(void *arg)
{
    (void)arg;
    return met >= meeting;
}

/* Ends only when `meeting` of them have been inside together, or beside each other. */
static void blocks(struct job_task *task)
{
    (void)task;
    ran++;
    refused += job_blocking_enter() < 0;
    inside++;
    inside_max = inside > inside_max ? inside : inside_max;
    met++;
    sim_wait_until(all_met, NULL);
    inside--;
    if (leaves)
        (void)job_blocking_leave();
}

/* Enters and leaves twice: places are offered while others still wake up for the first offer. */
static void blocks_twice(struct job_task *task)
{
    blocks(task);
    (void)job_blocking_enter();
    (void)job_blocking_leave();
}

static void computes(struct job_task *task)
{
    (void)task;
    ran++;
    met++;
}

static void done(struct job_task *task, int status)
{
    (void)task;
    assert(status == 0 || closes_early);
    ended++;
}

static void submit(struct job_task *task, job_task_run_fn *run)
{
    int err = job_task_init(task, pool, run, done);
    assert(err == 0);
    err = job_submit(pool, task, NULL);
    assert(err == 0);
    count++;
}

static bool all_have_ended(void *arg)
{
    (void)arg;
    return ended == count && submitters == 0;
}

static bool first_have_ended(void *arg)
{
    (void)arg;
    return ended == count;
}

static bool somebody_is_inside(void *arg)
{
    (void)arg;
    return ran > 0;
}

static void closer(void *arg)
{
    sim_wait_until(closes_early ? somebody_is_inside : all_have_ended, arg);
    meeting = closes_early ? 0 : meeting;
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void opened(unsigned workers, unsigned limit, unsigned time_outs)
{
    world_open(16, 0, 0);
    sim_time_outs = time_outs;
    count = ran = ended = met = inside = inside_max = refused = 0;
    leaves = true;
    submitters = 0;
    closes_early = false;
    struct job_pool_options options = {.workers = workers, .blocked_limit = limit, .no_spin = true};
    int err = job_pool_open(world_runtime(), &pool, &options);
    assert(err == 0);
    sim_label(&pool->places[0].state, sizeof(atomic_u32), "state");
    sim_label(&pool->park.idlers, sizeof pool->park.idlers, "idlers");
}

/* One worker, and two that wait for what a third does. */
static void one_place(void)
{
    opened(1, 2, 0);
    meeting = 3;
    submit(&tasks[0], blocks);
    submit(&tasks[1], blocks);
    submit(&tasks[2], computes);
    sim_spawn(closer, NULL);
}

static void again_and_again(void)
{
    opened(1, 2, 1);
    meeting = 2;
    submit(&tasks[0], blocks_twice);
    submit(&tasks[1], blocks_twice);
    submit(&tasks[2], computes);
    sim_spawn(closer, NULL);
}

static void two_places(void)
{
    opened(2, 3, 1);
    meeting = 4;
    leaves = false;
    for (unsigned i = 0; i < 3; i++)
        submit(&tasks[i], blocks);
    submit(&tasks[3], computes);
    sim_spawn(closer, NULL);
}

/* When those before have ended, and left threads behind that may be about to go. */
static void submits_later(void *arg)
{
    sim_wait_until(first_have_ended, arg);
    meeting = met + 2;
    submit(&tasks[2], blocks);
    submit(&tasks[3], computes);
    submitters--;
}

static void threads_go(void)
{
    opened(1, 2, 2);
    meeting = 2;
    submitters = 1;
    submit(&tasks[0], blocks);
    submit(&tasks[1], computes);
    sim_spawn(submits_later, NULL);
    sim_spawn(closer, NULL);
}

static void ends_meanwhile(void)
{
    opened(1, 1, 1);
    meeting = 2;
    closes_early = true;
    submit(&tasks[0], blocks);
    submit(&tasks[1], blocks);
    sim_spawn(closer, NULL);
}

static void check(void)
{
    assert(ended == count && (ran == count || closes_early));
    assert(refused == 0 || closes_early);
    world_close();
}

static const char *const takes[] = {"carrier_takes_place", NULL};
static const char *const goes[] = {"carrier_takes_place", "carrier_goes", NULL};
static const char *const all_marks[] = {
    "carrier_takes_place", "carrier_leaves_without_place", "carrier_called_for_nothing", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"one_worker_runs_what_those_who_block_wait_for", one_place, check, 300, 0, takes},
        {"places_that_are_lent_and_taken_back_are_not_lost", again_and_again, check, 400, 0, all_marks},
        {"two_places_and_three_who_never_leave", two_places, check, 400, 0, takes},
        {"a_thread_that_goes_leaves_no_place_behind", threads_go, check, 400, 0, goes},
        {"a_pool_that_closes_waits_for_those_inside", ends_meanwhile, check, 300, 0, takes},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
