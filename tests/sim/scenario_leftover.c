/* scenario_leftover.c — the real pool and an inbox that holds more than a deque: what a thread that took all of it cannot keep stays in
 * sight. Each task runs once; two that wait for each other get two threads, wherever in the inbox they stand.
 */
#include "sched/pool.h"
#include "sim/world.h"

enum { TASKS_MAX = 2 * (DEQUE_LENGTH + 3) };   /* twice more than a deque and the task that its owner keeps */

static struct job_pool *pool;
static struct job_task tasks[TASKS_MAX];
static unsigned task_count, submitted, done, met, meeting, submitters;
static bool has_run[TASKS_MAX];

static void run_once(struct job_task *task)
{
    assert(!has_run[task - tasks]);
    has_run[task - tasks] = true;
}

static bool all_met(void *arg)
{
    (void)arg;
    return met >= meeting;
}

static void run_and_meet(struct job_task *task)
{
    run_once(task);
    met++;
    sim_wait_until(all_met, NULL);
}

static void ended(struct job_task *task, int status)
{
    (void)task;
    assert(status == 0);
    done++;
}

static void submit(unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        int err = job_submit(pool, &tasks[i], NULL);
        assert(err == 0);
        submitted++;
    }
}

static void submitter_of_half(void *arg)
{
    submit((unsigned)(uintptr_t)arg, TASKS_MAX / 2);
    submitters--;
}

static bool all_done(void *arg)
{
    (void)arg;
    return submitters == 0 && done == submitted;
}

static void close_when_done(void *arg)
{
    sim_wait_until(all_done, arg);
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void opened(unsigned workers)
{
    world_open(16, 0, 0);
    submitted = done = met = submitters = 0;
    int err = job_pool_open(world_runtime(), &pool, &(struct job_pool_options){.workers = workers, .no_spin = true});
    assert(err == 0);
    for (unsigned i = 0; i < TASKS_MAX; i++) {
        has_run[i] = false;
        err = job_task_init(&tasks[i], pool, run_once, ended);
        assert(err == 0);
    }
    sim_label(&pool->park.idlers, sizeof pool->park.idlers, "idlers");
    sim_label(&pool->inbox, sizeof pool->inbox, "inbox");
    sim_label(&pool->leftover, sizeof pool->leftover, "leftover");
    sim_spawn(close_when_done, NULL);
}

/* The tasks `first` and `second` wait for each other. */
static void set_up(unsigned first, unsigned second)
{
    opened(2);
    meeting = 2;
    tasks[first].job_run = tasks[second].job_run = run_and_meet;
}

/* All is there when the threads begin, and the pair is what does not fit into the first one's deque. */
static void one_inbox(void)
{
    set_up(DEQUE_LENGTH + 1, DEQUE_LENGTH + 2);
    submit(0, TASKS_MAX / 2);
    task_count = TASKS_MAX / 2;
}

/* The other half comes while the first is being taken apart: two threads may put something back at once. */
static void two_inboxes(void)
{
    set_up(DEQUE_LENGTH + 2, TASKS_MAX - 1);
    submit(0, TASKS_MAX / 2);
    task_count = TASKS_MAX;
    submitters = 1;
    sim_spawn(submitter_of_half, (void *)(uintptr_t)(TASKS_MAX / 2));
}

static void two_submitters(void)
{
    set_up(TASKS_MAX / 2 - 1, TASKS_MAX - 1);
    task_count = TASKS_MAX;
    submitters = 2;
    sim_spawn(submitter_of_half, (void *)(uintptr_t)0);
    sim_spawn(submitter_of_half, (void *)(uintptr_t)(TASKS_MAX / 2));
}

/* Three of them, anywhere, need three threads. */
static void anywhere(void)
{
    opened(3);
    meeting = 3;
    for (unsigned left = 3; left > 0;) {
        struct job_task *task = &tasks[sim_random(TASKS_MAX)];
        left -= task->job_run == run_once;
        task->job_run = run_and_meet;
    }
    submit(0, TASKS_MAX / 2);
    task_count = TASKS_MAX;
    submitters = 1;
    sim_spawn(submitter_of_half, (void *)(uintptr_t)(TASKS_MAX / 2));
}

static void check(void)
{
    assert(submitted == task_count && done == task_count);
    for (unsigned i = 0; i < task_count; i++)
        assert(has_run[i]);
    world_close();
}

static const char *const marks[] = {"steal_leaves_over", NULL};
static const char *const marks_two[] = {"steal_leaves_over", "steal_two_leftovers", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"what_does_not_fit_into_a_deque_stays_in_sight", one_inbox, check, 250, 0, marks},
        {"two_threads_that_put_back_at_once_lose_nothing", two_inboxes, check, 450, 0, marks_two},
        {"three_tasks_anywhere_in_long_inboxes_get_three_threads", anywhere, check, 700, 0, marks},
        {"long_inboxes_of_two_submitters_are_run_to_the_end", two_submitters, check, 450, 0, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
