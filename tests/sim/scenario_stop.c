/* scenario_stop.c — a loop that is asked to stop by others at any moment: whoever asks ends the run that goes on, or the next: none is
 * lost, and it may be closed as soon as its run has returned, though the one who asked is not yet through with it.
 */
#include <string.h>

#include "loop/handle.h"
#include "sim/world.h"

static struct job_loop *loop, *closing;
static struct job_handle thing;   /* keeps it running */
static unsigned returned, stopped;
static struct job_loop *gone;     /* its memory, kept to see whether anybody still posts there */

#define NOBODY ((struct ck_stack_entry *)(uintptr_t)0x5a5a5a5a)

void __real_alloc_free(struct root *root, void *memory);
void __wrap_alloc_free(struct root *root, void *memory);

void __wrap_alloc_free(struct root *root, void *memory)
{
    if (memory != closing) {
        __real_alloc_free(root, memory);
        return;
    }
    sim_system_call();
    gone = memory;
    gone->mailbox.stack.head = NOBODY;
}

static void thing_close(struct job_handle *handle)
{
    (void)handle;
}

static const struct handle_kind thing_kind = {.name = "thing", .close = thing_close, .closed = thing_close};

static void run_until_stopped(void)
{
    int err = job_loop_run(loop);
    assert(err == 1);
    returned++;
}

static void close_loop(void)
{
    closing = loop;
    int err = job_loop_close(&loop, 0);
    assert(err == 0);
}

static void stop(void)
{
    job_loop_stop(loop);
    stopped++;
}

static void stopper(void *arg)
{
    (void)arg;
    stop();
}

static bool has_returned(void *arg)
{
    (void)arg;
    return returned > 0;
}

static bool one_has_stopped(void *arg)
{
    (void)arg;
    return stopped > 0;
}

static bool both_have_stopped(void *arg)
{
    (void)arg;
    return stopped == 2;
}

static void second_stopper(void *arg)
{
    sim_wait_until(has_returned, arg);
    stop();
}

static void run_and_close(void *arg)
{
    (void)arg;
    run_until_stopped();
    close_loop();
}

static void run_twice_and_close(void *arg)
{
    (void)arg;
    run_until_stopped();
    run_until_stopped();
    close_loop();
}

static void run_and_stop_here(void *arg)
{
    run_until_stopped();
    sim_wait_until(both_have_stopped, arg);
    job_loop_stop(loop);
    run_until_stopped();
    close_loop();
}

/* Nothing keeps it running. The first of the two who stop may have said so and not yet posted its mail when the second is through. */
static void run_with_nothing_to_do(void *arg)
{
    sim_wait_until(one_has_stopped, arg);
    run_until_stopped();
    sim_wait_until(both_have_stopped, arg);
    close_loop();
}

static void open_all(void (*runner)(void *))
{
    world_open(256, 0, 0);
    returned = stopped = 0;
    closing = gone = NULL;
    memset(&thing, 0, sizeof thing);
    int err = job_loop_open(world_runtime(), &loop, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    err = handle_open(loop, &thing, sizeof thing, &thing_kind);
    assert(err == 0);
    sim_label(&loop->mailbox, sizeof loop->mailbox, "mailbox");
    sim_label(&loop->stop, sizeof loop->stop, "stop");
    sim_spawn(runner, NULL);
    sim_spawn(stopper, NULL);
}

static void once(void)
{
    open_all(run_and_close);
}

static void one_after_the_other(void)
{
    open_all(run_twice_and_close);
    sim_spawn(second_stopper, NULL);
}

static void at_once(void)
{
    open_all(run_and_stop_here);
    sim_spawn(stopper, NULL);
}

static void before_a_run(void)
{
    open_all(run_with_nothing_to_do);
    job_handle_unref(&thing);
    sim_spawn(stopper, NULL);
}

static void check(void)
{
    assert(loop == NULL && stopped >= 1);
    assert(gone->mailbox.stack.head == NOBODY);
    closing = NULL;
    __real_alloc_free(&world, gone);
    world_close();
}

static const char *const marks[] = {"mailbox_wake_owed", "loop_stops_before_its_mail", NULL};
static const char *const marks_none[] = {NULL};
static const char *const marks_two[] = {"loop_stops_before_its_mail", "loop_is_stopped_again", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"a_loop_that_was_stopped_may_be_closed_at_once", once, check, 80, 0, marks},
        {"a_stop_behind_a_stop_ends_the_next_run", one_after_the_other, check, 120, 0, marks_two},
        {"stops_of_three_threads_end_each_run", at_once, check, 110, 0, marks_two},
        {"a_stop_is_remembered_by_a_loop_with_nothing_to_do", before_a_run, check, 80, 0, marks_none},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
