/* scenario_close.c — the real loop and the real pool: cancel of tasks, close of their handle, the end of the pool and the end of the loop,
 * all at once. Each task ends exactly once, `closed` comes exactly once and after the last end, and nothing is touched after it.
 */
#include <errno.h>
#include <string.h>

#include "loop/handle.h"
#include "loop/submit.h"
#include "sched/pool.h"
#include "sim/world.h"

enum { TASKS_MAX = 3, GONE = 0x5a };

struct thing {
    struct job_handle handle;
    struct job_task tasks[TASKS_MAX];
};

static struct thing thing;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_call begin_call, close_call, turn_call;
static unsigned task_count, submitted, started, done, cancelled, waiting, closed;
static const struct job_task *promised;   /* cancel said: will not run */
static bool is_begun, is_loop_gone, is_meeting;

static void run(struct job_task *task)
{
    started++;
    (void)job_task_is_cancelled(task);
}

static bool all_met(void *arg)
{
    (void)arg;
    return started >= task_count;
}

/* As many threads are needed at once as there are tasks. */
static void run_and_meet(struct job_task *task)
{
    (void)task;
    started++;
    sim_wait_until(all_met, NULL);
}

static void task_done(struct job_task *task, int status)
{
    assert(closed == 0);
    assert(self()->loop == loop);
    assert(status == 0 || status == -ECANCELED);
    if (task == promised)
        assert(status == -ECANCELED);
    cancelled += status != 0;
    done++;
    assert(done <= submitted);
    if (sim_random(4) == 0)
        assert(job_task_cancel(task) == -ENOENT);
}

static void thing_close(struct job_handle *handle)
{
    (void)handle;
}

static void thing_closed(struct job_handle *handle)
{
    assert(handle == &thing.handle);
    assert(done == submitted);
    closed++;
    memset(&thing, GONE, sizeof thing);   /* the user may free it here */
}

static const struct handle_kind thing_kind = {.name = "thing", .close = thing_close, .closed = thing_closed};

static void submit_again(struct job_task *task);

static void submit(struct job_task *task)
{
    int err = job_submit(pool, task, &thing.handle);
    assert(err == 0 || err == -EAGAIN || err == -ECANCELED);
    submitted += err == 0;
    if (err != -EAGAIN)
        return;
    waiting++;
    err = job_task_when_writable(task, submit_again);
    assert(err == 0);
}

static void submit_again(struct job_task *task)
{
    assert(closed == 0);
    waiting--;
    submit(task);
}

/* The first callback of the loop. */
static void begin(struct job_call *call)
{
    (void)call;
    int err = handle_open(loop, &thing.handle, sizeof thing.handle, &thing_kind);
    assert(err == 0);
    for (unsigned i = 0; i < task_count; i++) {
        err = job_task_init(&thing.tasks[i], pool, is_meeting ? run_and_meet : run, task_done);
        assert(err == 0);
        submit(&thing.tasks[i]);
    }
    sim_system_call();   /* whoever closes the pool knows by some means that this thread is through with it */
    is_begun = true;
    struct job_task *task = &thing.tasks[sim_random(task_count)];
    if (!is_meeting && sim_random(2) && job_task_cancel(task) == 0)
        promised = task;
}

static void close_handle(struct job_call *call)
{
    (void)call;
    assert(is_begun);
    bool is_first = handle_close(&thing.handle);
    assert(is_first);
    assert(closed == 0);
    assert(!handle_close(&thing.handle));
}

static void loop_thread(void *arg)
{
    (void)arg;
    int err = job_loop_run(loop);
    assert(err == 0);
    assert(closed == 1);
    err = job_loop_close(&loop, 0);
    assert(err == 0);
    is_loop_gone = true;
}

static bool has_begun(void *arg)
{
    (void)arg;
    return is_begun;
}

static bool loop_is_gone(void *arg)
{
    (void)arg;
    return is_loop_gone;
}

/* Another thread, which asks the loop to close the handle at any moment after it was opened. */
static void closer(void *arg)
{
    sim_wait_until(has_begun, arg);
    int err = job_loop_call(loop, &close_call);
    assert(err == 0);
}

static bool all_are_done(void *arg)
{
    (void)arg;
    return is_begun && done == task_count;
}

static void nothing(struct job_call *call)
{
    (void)call;
}

/* Another turn at any moment, and the end when all is done. */
static void patient_closer(void *arg)
{
    int err = job_loop_call(loop, &turn_call);
    assert(err == 0);
    sim_wait_until(all_are_done, arg);
    err = job_loop_call(loop, &close_call);
    assert(err == 0);
}

static void patient_pool_closer(void *arg)
{
    sim_wait_until(all_are_done, arg);
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void pool_closer(void *arg)
{
    sim_wait_until(has_begun, arg);
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void pool_stopper(void *arg)
{
    job_pool_stop(pool);
    sim_wait_until(loop_is_gone, arg);
    int err = job_pool_close(&pool);
    assert(err == 0);
}

static void open_all(unsigned workers, unsigned tasks, unsigned queue_limit)
{
    world_open(16, 0, 0);   /* an output for each pool thread fits */
    memset(&thing, 0, sizeof thing);
    task_count = tasks;
    submitted = started = done = cancelled = waiting = closed = 0;
    promised = NULL;
    is_begun = is_loop_gone = false;
    struct job_pool_options options = {.workers = workers, .queue_limit = queue_limit, .no_spin = true};
    int err = job_pool_open(world_runtime(), &pool, &options);
    assert(err == 0);
    err = job_loop_open(world_runtime(), &loop, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    begin_call = (struct job_call){.run = begin};
    close_call = (struct job_call){.run = close_handle};
    turn_call = (struct job_call){.run = nothing};
    err = job_loop_call(loop, &begin_call);
    assert(err == 0);
    sim_label(&loop->mailbox, sizeof loop->mailbox, "mailbox");
    for (unsigned i = 0; i < tasks; i++)
        sim_label(&thing.tasks[i].job_state, sizeof thing.tasks[i].job_state, "task.state");
    sim_spawn(loop_thread, NULL);
}

static void set_up(unsigned workers, unsigned tasks, unsigned queue_limit, void (*ending)(void *))
{
    is_meeting = false;
    open_all(workers, tasks, queue_limit);
    sim_spawn(closer, NULL);
    sim_spawn(ending, NULL);
}

static void meeting(void)
{
    is_meeting = true;
    open_all(3, 3, 4);
    sim_spawn(patient_closer, NULL);
    sim_spawn(patient_pool_closer, NULL);
}

static void pool_closes(void)
{
    set_up(1, 2, 4, pool_closer);
}

static void pool_stops(void)
{
    set_up(2, 2, 4, pool_stopper);
}

static void lane_is_full(void)
{
    set_up(1, 3, 1, pool_stopper);
}

static void check(void)
{
    assert(closed == 1 && done == submitted);
    assert(started + cancelled == submitted);
    const unsigned char *bytes = (const unsigned char *)&thing;
    for (size_t i = 0; i < sizeof thing; i++)
        assert(bytes[i] == GONE);
    world_close();
}

static const char *const marks[] = {"task_cancelled_in_queue", "handle_last_pending_ended", "mailbox_wake_owed", NULL};
static const char *const marks_two[] = {
    "task_cancelled_in_queue", "task_cancelled_while_running", "handle_last_pending_ended", "mailbox_wake_owed", NULL,
};
static const char *const marks_full[] = {
    "lane_looks_for_room", "lane_consumer_makes_room", "handle_last_pending_ended", NULL,
};

static const char *const marks_meeting[] = {"lane_left_to_its_loop", "lane_woken_by_its_loop", "park_wakes_sleeper", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"closed_comes_after_the_last_task_of_a_closing_pool", pool_closes, check, 200, 0, marks},
        {"closed_comes_after_the_last_task_of_a_stopping_pool", pool_stops, check, 250, 0, marks_two},
        {"closing_cancels_those_who_wait_for_room", lane_is_full, check, 250, 0, marks_full},
        {"three_tasks_of_a_loop_get_three_threads", meeting, check, 600, 0, marks_meeting},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
