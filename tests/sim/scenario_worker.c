/* scenario_worker.c — a worker and its parent on real loops: its start, its messages, its end by itself, a stop by its parent and one by
 * another thread, a look by a third, and the close of the parent's loop. Events come in order, exit and `closed` once; whatever the moment,
 * nobody touches what is gone, and the thread has ended.
 */
#include <errno.h>
#include <string.h>

#include "loop/loop.h"
#include "sim/world.h"
#include "worker/record.h"

enum { GONE = 0x5a };

static struct job_loop *parent;
static struct job_worker worker;
static struct job_call call;
static unsigned online, messages, exits, closed, posted, heard;
static uint64_t id;
static int exit_code;
static bool listens, fails, errors, closes_loop;

static void on_online(struct job_worker *w)
{
    assert(w == &worker && messages == 0 && exits == 0);
    online++;
}

static void on_message(struct job_worker *w, struct job_message *message)
{
    (void)w, (void)message;
    assert(online == 1 && exits == 0 && !errors);
    messages++;
}

static void on_error(struct job_worker *w, int err, const char *text)
{
    (void)w, (void)text;
    assert(err == -EDOM && exits == 0);
    errors = true;
}

static void on_exit_code(struct job_worker *w, int code)
{
    (void)w;
    assert(exits == 0 && closed == 0);
    exits++;
    exit_code = code;
}

static void on_closed(struct job_worker *w)
{
    assert(exits == 1 && closed == 0);
    closed++;
    memset(w, GONE, sizeof *w);
}

static const struct job_worker_events events = {
    .online = on_online, .message = on_message, .error = on_error, .exit = on_exit_code, .closed = on_closed};

static void hears(struct job_inside *inside, struct job_message *message)
{
    (void)message;
    heard++;
    posted += job_inside_post(inside, &(struct job_post){0}) == 0;
}

static const struct job_inside_events hearing = {.message = hears};

static void worker_main(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    assert(job_inside_current() == inside);
    posted += job_inside_post(inside, &(struct job_post){0}) == 0;
    if (listens && job_inside_listen(inside, &hearing) < 0)
        sim_fail("it is open");
    if (fails)
        job_inside_fail(inside, -EDOM, "planned");
}

static void parent_thread(void *arg)
{
    (void)arg;
    if (!closes_loop) {
        int err = job_loop_run(parent);
        assert(err == 0);
    }
    int err = job_loop_close(&parent, 0);
    assert(err == 0);
}

static void stop_here(struct job_call *now)
{
    (void)now;
    int err = closed ? -ESRCH : job_worker_stop(&worker);
    assert(err == 0 || err == -ESRCH);
}

static void stopper(void *arg)
{
    (void)arg;
    int err = job_worker_stop_by_id(world_runtime(), id);
    assert(err == 0 || err == -ESRCH);
    err = job_worker_post_to(world_runtime(), id, &(struct job_post){0});
    assert(err == 0 || err == -ESRCH);
}

static void poster(void *arg)
{
    (void)arg;
    int err = job_worker_post_to(world_runtime(), id, &(struct job_post){0});
    assert(err == 0 || err == -ESRCH);
}

static void open_all(bool is_listening)
{
    world_open(256, 0, 0);
    list_init(&world.workers);
    online = messages = exits = closed = posted = heard = 0;
    exit_code = -1;
    listens = is_listening;
    fails = errors = closes_loop = false;
    int err = job_loop_open(world_runtime(), &parent, &(struct job_loop_options){.no_spin = true});
    assert(err == 0);
    err = job_worker_open(parent, &worker, worker_main, NULL, &events);
    assert(err == 0);
    id = job_worker_id(&worker);
    sim_label(&parent->mailbox, sizeof parent->mailbox, "parent's mailbox");
    sim_spawn(parent_thread, NULL);
}

static void by_itself(void)
{
    open_all(false);
    sim_spawn(poster, NULL);
}

static void by_failure(void)
{
    open_all(true);
    fails = true;
    sim_spawn(poster, NULL);
}

static void by_stops(void)
{
    open_all(true);
    call = (struct job_call){.run = stop_here};
    int err = job_loop_call(parent, &call);
    assert(err == 0);
    sim_spawn(stopper, NULL);
}

static void by_loop(void)
{
    open_all(true);
    closes_loop = true;
    sim_spawn(poster, NULL);
}

static void check_all(void)
{
    assert(exits == 1 && closed == 1);
    assert(online <= 1 && messages <= posted);
    assert(messages + world.dropped >= posted);
    assert(world.ends == 0 && world.threads == 0);
    assert(list_is_empty(&world.workers));
    world_close();
}

static void check_by_itself(void)
{
    assert(online == 1 && messages == 1 && exit_code == 0 && !errors);
    check_all();
}

static void check_failure(void)
{
    assert(online == 1 && messages == posted && exit_code == 1 && errors);
    check_all();
}

static void check_stopped(void)
{
    assert(exit_code == 1 && messages == posted);
    check_all();
}

static const char *const marks[] = {"worker_is_stopped", "inbox_push_wakes", NULL};
static const char *const marks_end[] = {"inbox_push_wakes", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"a_worker_that_ends_by_itself_is_told_in_order", by_itself, check_by_itself, 400, 0, marks_end},
        {"a_worker_that_fails_is_told_in_order", by_failure, check_failure, 400, 0, marks_end},
        {"two_stops_at_any_moment_end_it_once", by_stops, check_stopped, 400, 0, marks},
        {"the_close_of_the_parents_loop_ends_it", by_loop, check_all, 400, 0, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
