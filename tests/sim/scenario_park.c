/* scenario_park.c — the real pool with fibers for threads: whoever sleeps is woken for work that another thread must do, and a pool that
 * stops lets all of its threads end and loses no task.
 *
 * Two tasks that wait for each other need two threads at once: a wake-up that is lost while one thread is busy shows as a deadlock, as
 * does one that is lost while all sleep.
 */
#include <errno.h>

#include "sched/pool.h"
#include "sim/world.h"

enum { TASKS_MAX = 4 };

static struct job_pool *pool, *pool_memory;   /* a lane keeps the memory of a closed pool */
static struct lane *lane;
static struct bell home;
static struct job_task tasks[TASKS_MAX];
static unsigned accepted, started, done, cancelled, submitters;
static unsigned meeting;   /* how many tasks wait for each other */

static bool all_met(void *arg)
{
    (void)arg;
    return started >= meeting;
}

static void run_and_meet(struct job_task *task)
{
    (void)task;
    started++;
    sim_wait_until(all_met, NULL);
}

static void run_and_fork(struct job_task *task)
{
    started++;
    accepted++;
    int err = job_submit(pool, task + 1, NULL);   /* into this thread's own deque */
    assert(err == 0);
    sim_wait_until(all_met, NULL);                /* another thread must steal it */
}

static void ended(struct job_task *task, int status)
{
    (void)task;
    assert(status == 0 || status == -ECANCELED);
    cancelled += status != 0;
    done++;
}

static void deliver(struct job_mail *mail)
{
    task_deliver(container_of(mail, struct job_task, job_mail));
}

/* As a loop does, with a hint at each submit and one sure wake-up when it is through; but the end is told on the pool thread. */
static void submit_by_lane(struct job_task *task)
{
    if (pool_is_stopping(pool) || !task_submit(task))
        return;
    task->job_home = NULL;
    task->job_mail.job_deliver = deliver;
    accepted++;
    int err = pool_submit(pool, lane, task);
    assert(err == 0);
    pool_hint(pool);
}

static void submit_by_inbox(struct job_task *task)
{
    int err = job_submit(pool, task, NULL);
    assert(err == 0 || err == -ECANCELED);
    accepted += err == 0;
}

static void lane_submitter(void *task)
{
    submit_by_lane(task);
    pool_wake(pool);
    submitters--;
}

static void inbox_submitter(void *task)
{
    submit_by_inbox(task);
    submitters--;
}

static void lane_submitter_of_two(void *arg)
{
    struct job_task *first = arg;
    submit_by_lane(&first[0]);
    submit_by_lane(&first[1]);
    pool_wake(pool);
    submitters--;
}

static bool all_done(void *arg)
{
    (void)arg;
    return submitters == 0 && done == accepted;
}

static bool all_submitted(void *arg)
{
    (void)arg;
    return submitters == 0;
}

static void close_pool(void)
{
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void close_when_done(void *arg)
{
    sim_wait_until(all_done, arg);
    close_pool();
}

static void stop_then_close(void *arg)
{
    job_pool_stop(pool);
    sim_wait_until(all_submitted, arg);
    close_pool();
}

static void close_at_once(void *arg)
{
    sim_wait_until(all_submitted, arg);
    close_pool();
}

static void set_up(unsigned workers, unsigned meet, job_task_run_fn *run)
{
    world_open(16, 0, 0);   /* an output for each pool thread fits */
    accepted = started = done = cancelled = 0;
    meeting = meet;
    bell_init(&home);
    int err = job_pool_open(world_runtime(), &pool, &(struct job_pool_options){.workers = workers, .no_spin = true});
    assert(err == 0);
    pool_memory = pool;
    lane = pool_lane_open(pool, &home.mailbox);
    assert(lane);
    for (unsigned i = 0; i < TASKS_MAX; i++) {
        err = job_task_init(&tasks[i], pool, run, ended);
        assert(err == 0);
    }
    sim_label(&pool->park.idlers, sizeof pool->park.idlers, "idlers");
    sim_label(&pool->park.tokens, sizeof pool->park.tokens, "tokens");
    sim_label(&pool->inbox, sizeof pool->inbox, "inbox");
    sim_label(&lane->deque, sizeof lane->deque, "lane");
    sim_label(&pool->is_ending, sizeof pool->is_ending, "is_ending");
}

static void spawn_submitters(void (*first)(void *), void (*second)(void *))
{
    submitters = second ? 2 : 1;
    sim_spawn(first, &tasks[0]);
    if (second)
        sim_spawn(second, &tasks[2]);
}

static void lane_and_inbox(void)
{
    set_up(2, 2, run_and_meet);
    spawn_submitters(lane_submitter, inbox_submitter);
    sim_spawn(close_when_done, NULL);
}

static void one_lane(void)
{
    set_up(2, 2, run_and_meet);
    spawn_submitters(lane_submitter_of_two, NULL);
    sim_spawn(close_when_done, NULL);
}

static void forking(void)
{
    set_up(2, 2, run_and_fork);
    tasks[1].job_run = run_and_meet;
    spawn_submitters(inbox_submitter, NULL);
    sim_spawn(close_when_done, NULL);
}

static void one_worker(void)
{
    set_up(1, 0, run_and_meet);
    spawn_submitters(lane_submitter_of_two, inbox_submitter);
    sim_spawn(close_when_done, NULL);
}

static void stopping(void)
{
    set_up(2, 0, run_and_meet);
    spawn_submitters(lane_submitter_of_two, inbox_submitter);
    sim_spawn(stop_then_close, NULL);
}

static void closing(void)
{
    set_up(2, 0, run_and_meet);
    spawn_submitters(lane_submitter, inbox_submitter);
    sim_spawn(close_at_once, NULL);
}

static void check(void)
{
    assert(done == accepted);
    assert(started + cancelled == accepted);
    assert(pool == NULL);
    pool_lane_close(pool_memory, lane);
    world_close();
}

static const char *const marks[] = {"park_last_look", "park_wakes_sleeper", "park_last_searcher_found", NULL};
static const char *const marks_two[] = {
    "park_last_look", "park_wakes_sleeper", "park_cancel_takes_token", "park_cancel_waits", NULL,
};
static const char *const marks_small[] = {"park_last_look", "park_wakes_sleeper", NULL};
static const char *const marks_end[] = {"park_last_look", "park_cancel_takes_token", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"two_tasks_that_wait_for_each_other_get_two_threads", lane_and_inbox, check, 150, 0, marks},
        {"two_tasks_of_one_lane_get_two_threads", one_lane, check, 150, 0, marks_two},
        {"a_forked_task_wakes_a_thief", forking, check, 150, 0, marks_small},
        {"one_thread_never_sleeps_beside_work", one_worker, check, 130, 0, marks_small},
        {"a_pool_that_stops_loses_no_task", stopping, check, 150, 0, marks_end},
        {"a_pool_that_closes_wakes_all_threads", closing, check, 150, 0, marks_end},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
