/* test_loop.c — run, stop, calls from other threads, deferred calls, and the end of a loop. */
#include <sys/wait.h>

#include "base/limits.h"
#include "base/root.h"
#include "base/self.h"
#include "base/sys.h"
#include "loop/loop.h"
#include "stats/line.h"
#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}

static void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

struct counted {
    struct job_call call;
    unsigned runs;
    unsigned again;
    pthread_t thread;
};

static void count_run(struct job_call *call)
{
    struct counted *counted = job_container_of(call, struct counted, call);
    counted->runs++;
    counted->thread = pthread_self();
    ck_assert_ptr_eq(job_loop_current(), loop);
    if (counted->again > 0) {
        counted->again--;
        ck_assert_ok(job_loop_call(loop, call));
    }
}

static int fails(struct engine *engine, uint64_t deadline_ns, struct completion *completions, unsigned max)
{
    (void)engine, (void)deadline_ns, (void)completions, (void)max;
    return -EBADF;
}

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("fired");
}

/* In a child, since what is left is leaked: its runtime is its own. */
static int close_of_a_broken_loop(void)
{
    static struct job_timer timer;
    struct job_runtime *own = NULL;
    struct job_loop *broken = NULL;
    ck_assert_ok(job_runtime_open(&own, NULL));
    ck_assert_ok(job_loop_open(own, &broken, NULL));
    ck_assert_ok(job_timer_open(broken, &timer, never));
    struct engine_type type = *broken->engine->type;
    type.wait = fails;
    broken->engine->type = &type;
    int err = job_loop_close(&broken, 0);
    return broken ? 0 : err;
}

START_TEST(a_close_says_why_the_engine_has_failed)
{
    pid_t child = fork();
    if (child == 0)
        _exit(close_of_a_broken_loop() == -EBADF ? 0 : 1);
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_loop_knows_its_runtime_and_the_arena_that_it_receives_into)
{
    struct job_arena *arena = NULL;
    struct job_loop *other = NULL;
    ck_assert_ok(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 8U << 20}));
    struct job_loop_options options = {.arena = arena, .receive_slots = 4, .receive_slot_bytes = 4096};
    ck_assert_ok(job_loop_open(runtime, &other, &options));

    ck_assert_ptr_eq(job_loop_runtime(loop), runtime);
    ck_assert_ptr_eq(job_loop_runtime(other), runtime);
    ck_assert_ptr_null(job_loop_runtime(NULL));
    ck_assert_ptr_eq(job_loop_arena(loop), job_runtime_arena(runtime));
    ck_assert_ptr_eq(job_loop_arena(other), arena);
    ck_assert_ptr_null(job_loop_arena(NULL));

    ck_assert_ok(job_loop_close(&other, 0));
    ck_assert_ok(job_arena_close(&arena));
}
END_TEST

START_TEST(a_loop_with_nothing_to_do_returns_at_once)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ptr_null(job_loop_current());
}
END_TEST

START_TEST(a_call_runs_once_on_the_loop_thread_and_may_be_posted_again_from_itself)
{
    struct counted counted = {.call.run = count_run, .again = 3};

    ck_assert_ok(job_loop_call(loop, &counted.call));
    ck_assert_int_eq(job_loop_call(loop, &counted.call), -EALREADY);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(counted.runs, 4);
    ck_assert(pthread_equal(counted.thread, pthread_self()));
}
END_TEST

struct waited_for {
    struct job_timer handle;
    struct job_task task;
    bool is_done;
};

static void no_work(struct job_task *task)
{
    (void)task;
}

static void submit_now(struct job_timer *timer)
{
    struct waited_for *waited = job_container_of(timer, struct waited_for, handle);
    ck_assert_ok(job_submit(waited->task.pool, &waited->task, &timer->handle));
}

static void note_done(struct job_task *task, int status)
{
    ck_assert_int_eq(status, 0);
    job_container_of(task, struct waited_for, task)->is_done = true;
}

START_TEST(a_task_in_flight_keeps_the_loop_alive_also_when_its_handle_is_idle)
{
    struct job_pool *pool = NULL;
    struct waited_for waited = {0};
    ck_assert_ok(job_pool_open(runtime, &pool, NULL));
    ck_assert_ok(job_task_init(&waited.task, pool, no_work, note_done));
    ck_assert_ok(job_timer_open(loop, &waited.handle, submit_now));
    ck_assert_ok(job_timer_start(&waited.handle, 0));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert(waited.is_done);
    job_timer_close(&waited.handle, NULL);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

static void stops(struct job_call *call)
{
    (void)call;
    job_loop_stop(loop);
    job_loop_stop(loop);
}

START_TEST(stop_is_remembered_and_returns_one)
{
    struct counted counted = {.call.run = count_run};
    job_loop_stop(loop);
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_int_eq(job_loop_run(loop), 0);

    struct job_call call = {.run = stops};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_ok(job_loop_call(loop, &counted.call));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(counted.runs, 1);
}
END_TEST

static struct job_timer stopping, at_once;
static struct job_stream told_later;
static struct counted called_later;
static unsigned fired_later, read_later;
static int pair[2];

static void fires_later(struct job_timer *timer)
{
    (void)timer;
    fired_later++;
}

static void reads_later(struct job_stream *stream, struct job_buf **in)
{
    (void)in;
    read_later++;
    job_stream_close(stream);
}

static const struct job_stream_events reading = {.data = reads_later};

static void stops_and_goes_on(struct job_timer *timer)
{
    job_loop_stop(loop);
    ck_assert_ok(job_timer_start(&at_once, 0));
    ck_assert_ok(job_loop_call(loop, &called_later.call));
    fixture_write(pair[1], "x", 1);
    job_timer_close(timer, NULL);
}

START_TEST(nothing_is_called_behind_the_turn_in_which_a_callback_stops_the_loop)
{
    called_later = (struct counted){.call.run = count_run};
    fired_later = read_later = 0;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    ck_assert_ok(job_stream_adopt(loop, &told_later, pair[0], &reading));
    ck_assert_ok(job_timer_open(loop, &stopping, stops_and_goes_on));
    ck_assert_ok(job_timer_open(loop, &at_once, fires_later));
    ck_assert_ok(job_timer_start(&stopping, 1000000));

    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(fired_later + called_later.runs + read_later, 0);

    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(fired_later, 1);
    ck_assert_uint_eq(called_later.runs, 1);
    ck_assert_uint_eq(read_later, 1);
    close(pair[1]);
}
END_TEST

enum { BACKLOG = 3 * TURN_MAILS_MAX };

static void *stops_from_elsewhere(void *arg)
{
    (void)arg;
    job_loop_stop(loop);
    return NULL;
}

static void lets_another_stop(struct job_call *call)
{
    pthread_t thread;
    count_run(call);
    ck_assert_int_eq(pthread_create(&thread, NULL, stops_from_elsewhere, NULL), 0);
    pthread_join(thread, NULL);
}

/* The mail of the stop is out still when the run returns, and is nobody's stop when it comes. */
START_TEST(a_stop_by_another_thread_does_not_wait_for_the_mail_before_it)
{
    static struct counted backlog[BACKLOG];
    unsigned runs = 0;
    for (unsigned i = 0; i < BACKLOG; i++) {
        backlog[i] = (struct counted){.call.run = i == 0 ? lets_another_stop : count_run};
        ck_assert_ok(job_loop_call(loop, &backlog[i].call));
    }

    ck_assert_int_eq(job_loop_run(loop), 1);
    for (unsigned i = 0; i < BACKLOG; i++)
        runs += backlog[i].runs;
    ck_assert_uint_ge(runs, 1);
    ck_assert_uint_le(runs, TURN_MAILS_MAX);

    job_loop_stop(loop);   /* another one, though the first one's mail is out */
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(backlog[BACKLOG - 1].runs, 1);
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

static void runs_inside(struct job_call *call)
{
    (void)call;
    struct job_loop *inner = loop;
    ck_assert_int_eq(job_loop_run(loop), -EBUSY);
    ck_assert_int_eq(job_loop_close(&inner, 0), -EBUSY);
    ck_assert_ptr_eq(inner, loop);
}

START_TEST(running_or_closing_a_loop_in_its_own_callback_is_busy)
{
    struct job_call call = {.run = runs_inside};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

static int foreign_result[5];

static void nothing(struct job_timer *timer)
{
    (void)timer;
}

static void *foreign(void *arg)
{
    static struct job_timer timer;
    struct counted *counted = arg;
    struct job_loop *same = loop;
    foreign_result[0] = job_loop_run(loop);
    foreign_result[1] = job_timer_open(loop, &timer, nothing);
    foreign_result[2] = job_loop_defer(loop, &counted->call);
    foreign_result[3] = job_loop_close(&same, 0);
    foreign_result[4] = job_loop_call(loop, &counted->call);
    return NULL;
}

START_TEST(another_thread_may_call_and_stop_and_nothing_else)
{
    struct counted counted = {.call.run = count_run};
    pthread_t thread;
    ck_assert_int_eq(job_loop_run(loop), 0);   /* the loop belongs to this thread now */

    ck_assert_int_eq(pthread_create(&thread, NULL, foreign, &counted), 0);
    pthread_join(thread, NULL);

    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(foreign_result[i], -EPERM);
    ck_assert_int_eq(foreign_result[4], 0);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(counted.runs, 1);
}
END_TEST

enum { POSTERS = 3, POSTS = 20000 };

struct poster {
    struct counted calls[16];
    pthread_t thread;
    unsigned posted;
};

static struct job_timer keep;
static struct poster posters[POSTERS];
static unsigned posters_left;

static void poster_done(struct job_call *call)
{
    (void)call;
    if (--posters_left == 0)
        job_timer_close(&keep, NULL);
}

static void *poster_main(void *arg)
{
    struct poster *poster = arg;
    unsigned looks = 0;
    while (poster->posted < POSTS) {
        struct counted *counted = &poster->calls[poster->posted % 16];
        if (job_loop_call(loop, &counted->call) == 0)
            poster->posted++;
        else
            fixture_pause(&looks);
    }
    static struct job_call last[POSTERS];
    struct job_call *call = &last[poster - posters];
    call->run = poster_done;
    ck_assert_ok(job_loop_call(loop, call));
    return NULL;
}

static void count_only(struct job_call *call)
{
    job_container_of(call, struct counted, call)->runs++;
}

/* No timer is armed that could end the sleep: a lost wake-up hangs this test. */
START_TEST(no_call_of_many_threads_is_lost_and_a_sleeping_loop_is_woken)
{
    ck_assert_ok(job_timer_open(loop, &keep, nothing));
    ck_assert_ok(job_timer_start(&keep, 3600000000000ULL));
    posters_left = POSTERS;
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){0};
        for (int j = 0; j < 16; j++)
            posters[i].calls[j].call.run = count_only;
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]), 0);
    }

    ck_assert_int_eq(job_loop_run(loop), 0);

    unsigned runs = 0;
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        for (int j = 0; j < 16; j++)
            runs += posters[i].calls[j].runs;
    }
    ck_assert_uint_eq(runs, POSTERS * POSTS);
}
END_TEST

static unsigned order[4], order_count;

static void defers_next(struct job_call *call);

static struct job_call first_call = {.run = defers_next};
static struct job_call deferred_call = {.run = defers_next}, nested_call = {.run = defers_next};

static void defers_next(struct job_call *call)
{
    order[order_count++] = call == &first_call ? 1 : call == &deferred_call ? 2 : 3;
    if (call == &first_call)
        ck_assert_ok(job_loop_defer(loop, &deferred_call));
    if (call == &deferred_call)
        ck_assert_ok(job_loop_defer(loop, &nested_call));
}

START_TEST(a_deferred_call_runs_at_the_end_of_the_turn_and_one_deferred_there_in_the_next)
{
    struct job_loop_stats before, after;
    order_count = 0;
    job_loop_stats(loop, &before);
    ck_assert_ok(job_loop_call(loop, &first_call));

    ck_assert_int_eq(job_loop_run(loop), 0);

    job_loop_stats(loop, &after);
    ck_assert_uint_eq(order_count, 3);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_eq(order[i], i + 1);
    ck_assert_uint_eq(after.turns - before.turns, 2);
}
END_TEST

START_TEST(close_closes_what_is_open_and_runs_calls_that_wait)
{
    static struct job_timer timer;
    struct job_loop *other = NULL;
    struct counted counted = {.call.run = count_only};
    ck_assert_ok(job_loop_open(runtime, &other, &(struct job_loop_options){.name = "other", .entries = 8}));
    ck_assert_ok(job_timer_open(other, &timer, nothing));
    ck_assert_ok(job_timer_start(&timer, 3600000000000ULL));
    ck_assert_ok(job_loop_call(other, &counted.call));

    ck_assert_int_eq(job_loop_close(&other, 0), 0);

    ck_assert_ptr_null(other);
    ck_assert_uint_eq(counted.runs, 1);
    ck_assert_int_eq(job_loop_close(&other, 0), 0);
}
END_TEST

/* As one whose thread had no CPU until the deadline. */
START_TEST(a_close_whose_time_is_up_still_does_what_needs_no_waiting)
{
    static struct job_timer timer;
    struct job_loop *other = NULL;
    struct counted counted = {.call.run = count_only};
    ck_assert_ok(job_loop_open(runtime, &other, NULL));
    ck_assert_ok(job_timer_open(other, &timer, nothing));
    ck_assert_ok(job_timer_start(&timer, 3600000000000ULL));
    ck_assert_ok(job_loop_call(other, &counted.call));

    ck_assert_int_eq(job_loop_close(&other, 1), 0);

    ck_assert_uint_eq(counted.runs, 1);
}
END_TEST

static uint64_t slice_inside;

static void note_slice(struct job_call *call)
{
    (void)call;
    slice_inside = sys_slice();
}

START_TEST(a_running_loop_has_a_short_time_slice_and_gives_back_what_was)
{
    struct job_call call = {.run = note_slice};
    uint64_t before = sys_slice();

    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(sys_slice(), before);
    if (feature_is_on(&((struct root *)runtime)->features, FEATURE_SLICES))   /* the root is its first member */
        ck_assert_uint_eq(slice_inside, LOOP_SLICE_NS);
    else
        ck_assert_uint_eq(slice_inside, before);
}
END_TEST

START_TEST(bad_options_are_refused)
{
    struct job_loop *other = NULL;
    const struct job_loop_options bad[] = {
        {.entries = 3},          {.entries = 8192},           {.receive_slots = 5},
        {.receive_slots = 1u << 20}, {.receive_slot_bytes = 100}, {.receive_slot_bytes = 8192},
        {.receive_slot_bytes = 1u << 22},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_int_eq(job_loop_open(runtime, &other, &bad[i]), -EINVAL);
        ck_assert_ptr_null(other);
    }
    ck_assert_int_eq(job_loop_open(NULL, &other, NULL), -EINVAL);
    ck_assert_int_eq(job_loop_open(runtime, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_loop_run(NULL), -EINVAL);
    ck_assert_int_eq(job_loop_close(NULL, 0), -EINVAL);
    ck_assert_int_eq(job_loop_call(loop, NULL), -EINVAL);
    ck_assert_int_eq(job_loop_call(NULL, &first_call), -EINVAL);
    ck_assert_int_eq(job_loop_call(loop, &(struct job_call){0}), -EINVAL);
}
END_TEST

START_TEST(two_hundred_loops_leave_no_descriptor_and_no_memory)
{
    int before = fixture_descriptors();
    struct job_counts counts_before, counts_after;
    job_runtime_counts(runtime, &counts_before);
    for (int i = 0; i < 200; i++) {
        struct job_loop *other = NULL;
        struct counted counted = {.call.run = count_only};
        ck_assert_ok(job_loop_open(runtime, &other, &(struct job_loop_options){.entries = 8, .receive_slots = 4}));
        ck_assert_ok(job_loop_call(other, &counted.call));
        ck_assert_int_eq(job_loop_run(other), 0);
        ck_assert_int_eq(job_loop_close(&other, 0), 0);
    }
    job_runtime_counts(runtime, &counts_after);
    ck_assert_int_eq(fixture_descriptors(), before);
    ck_assert_uint_eq(counts_after.fds, counts_before.fds);
    ck_assert_uint_eq(counts_after.allocations, counts_before.allocations);
}
END_TEST

static unsigned ran_in_child;

static void runs_in_child(struct job_call *call)
{
    (void)call;
    ran_in_child++;
}

/* 0, or the line that failed. */
static int be_a_service_of_ones_own(void)
{
    struct job_runtime *own;
    struct job_loop *own_loop;
    struct job_pool *pool;
    struct job_region *region;
    struct job_call call = {.run = runs_in_child};
    if (job_runtime_open(&own, NULL) < 0 || job_loop_open(own, &own_loop, NULL) < 0 ||
        job_pool_open(own, &pool, NULL) < 0)
        return __LINE__ % 256;
    if (job_loop_call(own_loop, &call) < 0 || job_loop_run(own_loop) != 0 || ran_in_child != 1)
        return __LINE__ % 256;
    if (job_region_open(own, 64, &region) < 0 || job_region_wait32(region, 0, 0, 1000000) != -ETIMEDOUT)
        return __LINE__ % 256;
    job_region_release(&region);
    if (job_pool_close(&pool) < 0 || job_loop_close(&own_loop, 0) < 0 || job_runtime_close(&own) < 0)
        return __LINE__ % 256;
    return 0;
}

static void forks(struct job_call *call)
{
    int *status = call->data;
    const struct stats_line before = *self()->line;
    pid_t child = fork();
    if (child == 0)
        _exit(be_a_service_of_ones_own());
    ck_assert_int_eq(waitpid(child, status, 0), child);
    ck_assert_mem_eq(self()->line, &before, sizeof before);   /* it has written nothing into what it shares with us */
}

START_TEST(a_child_that_a_callback_forks_runs_a_loop_of_its_own)
{
    int status = -1;
    struct job_call call = {.run = forks, .data = &status};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop");
    TCase *tcase = tcase_create("loop");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_close_says_why_the_engine_has_failed);
    tcase_add_test(tcase, a_loop_knows_its_runtime_and_the_arena_that_it_receives_into);
    tcase_add_test(tcase, a_loop_with_nothing_to_do_returns_at_once);
    tcase_add_test(tcase, a_call_runs_once_on_the_loop_thread_and_may_be_posted_again_from_itself);
    tcase_add_test(tcase, a_task_in_flight_keeps_the_loop_alive_also_when_its_handle_is_idle);
    tcase_add_test(tcase, stop_is_remembered_and_returns_one);
    tcase_add_test(tcase, nothing_is_called_behind_the_turn_in_which_a_callback_stops_the_loop);
    tcase_add_test(tcase, a_stop_by_another_thread_does_not_wait_for_the_mail_before_it);
    tcase_add_test(tcase, running_or_closing_a_loop_in_its_own_callback_is_busy);
    tcase_add_test(tcase, another_thread_may_call_and_stop_and_nothing_else);
    tcase_add_test(tcase, no_call_of_many_threads_is_lost_and_a_sleeping_loop_is_woken);
    tcase_add_test(tcase, a_deferred_call_runs_at_the_end_of_the_turn_and_one_deferred_there_in_the_next);
    tcase_add_test(tcase, close_closes_what_is_open_and_runs_calls_that_wait);
    tcase_add_test(tcase, a_close_whose_time_is_up_still_does_what_needs_no_waiting);
    tcase_add_test(tcase, a_running_loop_has_a_short_time_slice_and_gives_back_what_was);
    tcase_add_test(tcase, a_child_that_a_callback_forks_runs_a_loop_of_its_own);
    tcase_add_test(tcase, bad_options_are_refused);
    tcase_add_test(tcase, two_hundred_loops_leave_no_descriptor_and_no_memory);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
