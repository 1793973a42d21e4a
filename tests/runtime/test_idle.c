/* test_idle.c — who has nothing to do sleeps: no turn, no look, no switch of context, until somebody comes.
 *
 * CPU time is not asserted: what the threads have done is. A thread of which the kernel counts no switch from one look to the next was not
 * run at all; the looks are far apart (much longer than any spin), and being far apart is what they are for. Who was preempted on its way
 * to sleep counts as asleep, and is switched once more when a busy machine has a CPU for it: then there is one more window.
 */
#include <dirent.h>
#include <semaphore.h>

#include "support/fixture.h"

enum { WORKERS = 3, TASKS = 2000, WINDOW_NS = 300000000, LONG_WINDOW_NS = 2000000000, WINDOWS_MAX = 2 };

static struct job_loop *loop;
static struct job_pool *pool;

/* Of the threads whose names begin with "idle": how many sleep, and how often they were switched away from. */
struct activity {
    unsigned count, asleep;
    unsigned long long switches;
};

static void read_thread(const char *tid, struct activity *activity)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof path, "/proc/self/task/%.16s/status", tid);
    FILE *file = fopen(path, "r");
    if (!file)
        return;   /* it has ended */
    while (fgets(line, sizeof line, file)) {
        unsigned long long switches = 0;
        if (strncmp(line, "Name:", 5) == 0 && strncmp(line, "Name:\tidle", 10) != 0)
            break;   /* the caller, or a sanitizer's */
        activity->count += strncmp(line, "Name:", 5) == 0;
        activity->asleep += strncmp(line, "State:\tS", 8) == 0;
        if (sscanf(line, "voluntary_ctxt_switches: %llu", &switches) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %llu", &switches) == 1)
            activity->switches += switches;
    }
    (void)fclose(file);
}

static struct activity read_activity(void)
{
    struct activity activity = {0};
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    struct dirent *entry;
    while ((entry = readdir(tasks))) {
        if (entry->d_name[0] != '.')
            read_thread(entry->d_name, &activity);
    }
    (void)closedir(tasks);
    return activity;
}

static void wait_until_asleep(void)
{
    struct activity before = read_activity();
    for (unsigned quiet = 0; quiet < 20; (void)usleep(1000)) {   /* the watchdog is check's time-out */
        struct activity now = read_activity();
        quiet = now.asleep == now.count && now.switches == before.switches ? quiet + 1 : 0;
        before = now;
    }
}

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("a timer of an hour has fired");
}

static void empty(struct job_task *task)
{
    (void)task;
}

static struct job_timer timer;
static unsigned left;

static void again(struct job_task *task, int status)
{
    ck_assert_int_eq(status, 0);
    if (left-- > 0)
        ck_assert_ok(job_submit(pool, task, &timer.handle));
}

static void *loop_main(void *arg)
{
    (void)arg;
    (void)pthread_setname_np(pthread_self(), "idle-loop");
    ck_assert_ok(job_timer_open(loop, &timer, never));
    ck_assert_ok(job_timer_start(&timer, 3600 * UINT64_C(1000000000)));
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    return NULL;
}

/* Begins with work, so that it is idleness after whatever has learned to spin. */
static void start_work(struct job_call *call)
{
    static struct job_task task;
    (void)call;
    left = TASKS - 1;
    ck_assert_ok(job_task_init(&task, pool, empty, again));
    ck_assert_ok(job_submit(pool, &task, &timer.handle));
}

struct look {
    struct job_loop_stats loop;
    struct job_pool_stats pool;
    struct activity activity;
};

static struct look look(void)
{
    struct look look = {.activity = read_activity()};
    job_loop_stats(loop, &look.loop);
    job_pool_stats(pool, &look.pool);
    return look;
}

/* Behind all work. */
static struct look look_when_idle(void)
{
    struct look idle;
    do {
        wait_until_asleep();
        idle = look();
    } while (idle.pool.run < TASKS);
    return idle;
}

static void assert_nobody_runs(unsigned long window_ns)
{
    const struct timespec window = {(time_t)(window_ns / 1000000000), (long)(window_ns % 1000000000)};
    struct look before, after;
    unsigned windows = 0;
    do {
        before = look_when_idle();
        (void)nanosleep(&window, NULL);   /* what is looked at; nothing waits for it */
        after = look();
    } while (after.activity.switches != before.activity.switches && ++windows < WINDOWS_MAX);

    ck_assert_uint_eq(after.loop.turns, before.loop.turns);
    ck_assert_uint_eq(after.loop.waits, before.loop.waits);
    ck_assert_uint_eq(after.pool.parked, before.pool.parked);
    ck_assert_uint_eq(after.pool.woken, before.pool.woken);
    ck_assert_uint_eq(before.activity.count, WORKERS + 1);
    ck_assert_uint_eq(after.activity.count, before.activity.count);
    ck_assert_uint_eq(after.activity.asleep, after.activity.count);
    ck_assert_uint_eq(after.activity.switches, before.activity.switches);
}

START_TEST(after_work_an_idle_pool_and_an_idle_loop_are_not_run_at_all)
{
    pthread_t thread;
    struct job_call call = {.run = start_work};
    struct job_runtime *runtime = fixture_runtime();
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = WORKERS, .name = "idle"}));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(pthread_create(&thread, NULL, loop_main, NULL), 0);

    assert_nobody_runs(WINDOW_NS);

    job_loop_stop(loop);
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}
END_TEST

enum { CONNECTIONS = 100 };

static struct job_listener listener;
static struct job_stream streams[CONNECTIONS];
static unsigned opened, answered, half_closed;
static sem_t settled;

static void stream_data(struct job_stream *stream, struct job_buf **in)
{
    if (stream == &streams[0])
        job_stream_pause(stream);   /* what it gets from now on waits */
    ck_assert_ok(job_stream_send(stream, in));
}

static void stream_end(struct job_stream *stream, int status)
{
    (void)stream;
    ck_assert_int_eq(status, 0);
    half_closed++;
}

static void stream_sent(struct job_stream *stream, int status)
{
    (void)stream;
    ck_assert_int_eq(status, 0);
    answered++;
}

static void accepted(struct job_listener *l, struct job_incoming *incoming)
{
    static const struct job_stream_events events = {.data = stream_data, .end = stream_end, .sent = stream_sent};
    (void)l;
    ck_assert_ok(job_stream_accept(&streams[opened++], incoming, &events));
}

static void look_whether_settled(struct job_call *call)
{
    if (answered == CONNECTIONS && half_closed == 1)
        sem_post(&settled);
    else
        ck_assert_ok(job_loop_call(loop, call));
}

static void connect_all(int clients[CONNECTIONS])
{
    struct job_call call = {.run = look_whether_settled};
    char byte;
    for (unsigned i = 0; i < CONNECTIONS; i++) {
        clients[i] = fixture_connect(job_listener_port(&listener));
        fixture_write(clients[i], "x", 1);
        ck_assert_uint_eq(fixture_read(clients[i], &byte, 1), 1);
    }
    fixture_write(clients[0], "waits", 5);
    ck_assert_int_eq(send(clients[1], "!", 1, MSG_OOB), 1);   /* nobody reads that: it stays at the socket */
    ck_assert_int_eq(shutdown(clients[2], SHUT_WR), 0);
    ck_assert_ok(job_loop_call(loop, &call));
    sem_wait(&settled);
}

START_TEST(idle_connections_a_parked_pool_and_their_loop_are_not_run_at_all_for_two_seconds)
{
    pthread_t thread;
    int clients[CONNECTIONS];
    struct job_call call = {.run = start_work};
    struct job_loop_stats stats;
    struct job_runtime *runtime = fixture_runtime();
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = WORKERS, .name = "idle"}));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    sem_init(&settled, 0, 0);
    ck_assert_ok(job_listener_open(loop, &listener, NULL, accepted));
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(pthread_create(&thread, NULL, loop_main, NULL), 0);
    connect_all(clients);

    assert_nobody_runs(LONG_WINDOW_NS);
    job_loop_stats(loop, &stats);
    ck_assert_uint_ge(stats.handles, CONNECTIONS + 1);

    job_loop_stop(loop);
    (void)pthread_join(thread, NULL);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        close(clients[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idle");
    TCase *tcase = tcase_create("idle");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, after_work_an_idle_pool_and_an_idle_loop_are_not_run_at_all);
    tcase_add_test(tcase, idle_connections_a_parked_pool_and_their_loop_are_not_run_at_all_for_two_seconds);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
