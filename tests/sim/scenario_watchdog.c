/* scenario_watchdog.c — the real watchdog over lines of threads that sleep and run: whoever runs too long while the watchdog goes to sleep,
 * or sleeps already, is reported, and a close wakes it wherever it sleeps.
 *
 * A runner does not go on before it has been reported: a wake-up that is lost shows as a deadlock.
 */
#include <errno.h>

#include "job/watchdog.h"
#include "sim/world.h"
#include "stats/line.h"
#include "stats/stats.h"

enum { RUNNERS_MAX = 2, TIMES = 2 };

static struct job_watchdog *watchdog;
static struct stats stats;
static struct stats_line lines[STATS_THREADS_MAX];
static unsigned running, reports[RUNNERS_MAX];

static void held(void *arg, const struct job_held *report)
{
    (void)arg;
    assert(report->function == 1 || report->function == 2);
    reports[report->function - 1]++;
}

static bool was_reported(void *count)
{
    return *(const unsigned *)count > 0;
}

/* As a loop that wakes, calls something that takes long, and sleeps again. */
static void runner(void *arg)
{
    unsigned number = (unsigned)((struct stats_line *)arg - lines);
    struct stats_line *line = arg;
    for (int i = 0; i < TIMES; i++) {
        line_wait(line, JOB_WAIT_NONE, 0);
        root_runs(&world);
        reports[number] = 0;
        line_run(line, number + 1, world.now_ns());
        sim_wait_until(was_reported, &reports[number]);
        line_run(line, 0, 0);
        line_wait(line, JOB_WAIT_MESSAGE, 0);
        sim_system_call();
    }
    running--;
}

static bool all_have_run(void *arg)
{
    (void)arg;
    return running == 0;
}

static void closer(void *arg)
{
    sim_wait_until(all_have_run, arg);
    int err = job_watchdog_close(&watchdog);
    assert(err == 0 && !watchdog);
}

static void open_for(unsigned count)
{
    world_open(16, 0, 0);
    sim_time_outs = SIM_ALL_TIME_OUTS;
    stats = (struct stats){.root = &world, .lines = lines};
    world.stats = &stats;
    running = count;
    for (unsigned i = 0; i < STATS_THREADS_MAX; i++) {
        lines[i] = (struct stats_line){.kind = i < count ? LINE_LOOP : LINE_FREE, .wait = JOB_WAIT_NOT_RUN};
        sim_label(&lines[i].wait, sizeof lines[i].wait, "wait");
    }
    sim_label(&world.watch, sizeof world.watch, "watch");
    static const struct job_watchdog_options options = {.callback_limit_ns = 1, .held = held, .signal = -1};
    int err = job_watchdog_open(world_runtime(), &watchdog, &options);
    assert(err == 0);
    for (unsigned i = 0; i < count; i++)
        sim_spawn(runner, &lines[i]);
    sim_spawn(closer, NULL);
}

static void nobody(void)
{
    open_for(0);
}

static void one_runner(void)
{
    open_for(1);
}

static void two_runners(void)
{
    open_for(2);
}

static void check(void)
{
    assert(world.watch == WATCH_OFF);
    world_close();
}

static const char *const marks[] = {"root_watchdog_is_woken", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"a_watchdog_is_closed_wherever_it_sleeps", nobody, check, 80, 0, marks},
        {"a_loop_that_begins_to_run_is_watched", one_runner, check, 250, 0, marks},
        {"two_that_begin_to_run_are_both_watched", two_runners, check, 350, 0, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
