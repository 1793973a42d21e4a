/* scenario_blocking.c — a blocking pool whose threads come and go while others submit: every call runs, although nobody looks twice.
 *
 * A sleep that has a time-out ends by it at once or never, so that no time-out heals a lost wake-up.
 */
#include <errno.h>

#include "base/alloc.h"
#include "sched/pool.h"
#include "sim/world.h"

enum { SUBMITTERS = 2, CALLS_MAX = 2 };

static struct job_pool *pool;
static struct job_task tasks[SUBMITTERS][CALLS_MAX];
static unsigned calls, ran, ended, submitters_done, blocked;
static unsigned together;   /* calls that end only when so many run at a time */

static bool enough_block(void *arg)
{
    (void)arg;
    return blocked >= together;
}

static void run(struct job_task *task)
{
    (void)task;
    ran++;
    blocked++;
    sim_wait_until(enough_block, NULL);
}

static void done(struct job_task *task, int status)
{
    assert(status == 0);
    int err = job_task_fini(task);
    assert(err == 0);
    ended++;
}

static void submitter(void *arg)
{
    struct job_task *mine = arg;
    for (unsigned i = 0; i < calls; i++) {
        int err = job_task_init(&mine[i], pool, run, done);
        assert(err == 0);
        err = job_submit(pool, &mine[i], NULL);
        assert(err == 0);
    }
    submitters_done++;
}

/* Its end arrives by mail, as at a loop. */
static void deliver(struct job_mail *mail)
{
    struct job_task *task = container_of(mail, struct job_task, job_mail);
    assert(task_state(task) == TASK_ENDED);
    ended++;
}

/* Submits by a lane, as a loop does. */
static void lane_submitter(void *arg)
{
    struct job_task *mine = arg;
    struct bell bell;
    bell_init(&bell);
    struct lane *lane = pool_lane_open(pool, &bell.mailbox);
    assert(lane);
    for (unsigned i = 0; i < calls; i++) {
        int err = job_task_init(&mine[i], pool, run, NULL);
        assert(err == 0 && task_submit(&mine[i]));
        mine[i].job_home = &bell.mailbox;
        mine[i].job_pool = pool;
        mine[i].job_mail.job_deliver = deliver;
        err = pool_submit(pool, lane, &mine[i]);
        assert(err == 0);
        pool_wake(pool);
    }
    for (unsigned i = 0; i < calls;) {
        for (struct job_mail *mail = bell_receive(&bell), *next; mail; mail = next, i++) {
            next = mail->job_next;
            mail->job_deliver(mail);
        }
    }
    pool_lane_close(pool, lane);
    bell_leave(&bell);
    submitters_done++;
}

static bool all_have_ended(void *arg)
{
    (void)arg;
    return submitters_done == SUBMITTERS && ended == SUBMITTERS * calls;
}

/* Closing would wake everybody: only when all calls have ended by themselves. */
static void closer(void *arg)
{
    sim_wait_until(all_have_ended, arg);
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void set_up(unsigned limit, unsigned each, unsigned wanted_together, unsigned time_outs)
{
    world_open(16, 0, 0);
    sim_time_outs = time_outs;
    calls = each;
    together = wanted_together;
    ran = ended = submitters_done = blocked = 0;
    struct job_pool_options options = {.blocking = true, .workers = limit, .idle_timeout_ns = 1};
    int err = job_pool_open(world_runtime(), &pool, &options);
    assert(err == 0);
    sim_label(&pool->blocking->idle, sizeof(atomic_u32), "idle");
    sim_label(&pool->blocking->wakes, sizeof(atomic_u32), "wakes");
    sim_label(&pool->blocking->free, sizeof(atomic_u32), "free");
    sim_spawn(submitter, tasks[0]);
    sim_spawn(lane_submitter, tasks[1]);
    sim_spawn(closer, NULL);
}

static void one_thread(void)
{
    set_up(1, 2, 0, 1);
}

static void threads_leave(void)
{
    set_up(2, 2, 0, 2);
}

static void three_block_together(void)
{
    set_up(3, 2, 3, 1);
}

static void check(void)
{
    assert(ran == SUBMITTERS * calls && ended == ran);
    world_close();
}

static const char *const none[] = {NULL};
static const char *const marks[] = {"blocking_thread_goes", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"one_thread_runs_what_two_submit", one_thread, check, 150, 0, none},
        {"every_call_runs_while_threads_leave", threads_leave, check, 250, 0, marks},
        {"below_the_limit_a_call_does_not_wait_for_another_call", three_block_together, check, 300, 0, none},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
