/* test_watchdog.c — who holds a loop or a pool thread is named while it does, with its stack; who sleeps is left alone. */
#include <dirent.h>
#include <job/watchdog.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/root.h"
#include "support/fixture.h"

enum { LIMIT_NS = 20000000, SIGNAL = 40, WORKERS = 2, WINDOW_US = 300000 };

static struct job_runtime *runtime;
static struct job_watchdog *watchdog;
static struct job_loop *loop;
static struct job_pool *pool;
static struct job_timer timer;

/* What `held` was told last; counted last, so that who has seen the count sees the rest. */
static atomic_u32 reports, stacks;
static struct job_held last;
static char last_kind[32], last_thread[32], last_text[600];
static void *last_stack[64];

static unsigned reports_seen(void)
{
    return load_acquire(&reports);   /* pairs with store_release in held */
}

static void held(void *arg, const struct job_held *what)
{
    ck_assert_ptr_eq(arg, &last);
    if (what->depth == 0 && load_relaxed(&stacks) > 0) {   /* one with its stack is looked at */
        store_release(&reports, reports_seen() + 1);
        return;
    }
    last = *what;
    (void)snprintf(last_kind, sizeof last_kind, "%s", what->kind);
    (void)snprintf(last_thread, sizeof last_thread, "%s", what->thread);
    (void)snprintf(last_text, sizeof last_text, "%s", what->text);
    memcpy(last_stack, what->stack, what->depth * sizeof(void *));
    if (what->depth > 0)
        store_release(&stacks, load_relaxed(&stacks) + 1);   /* pairs with load_acquire in hold_until_stack; nobody else writes it */
    store_release(&reports, reports_seen() + 1);   /* pairs with load_acquire in reports_seen */
}

/* Nobody writes to `last` from here on. */
static void close_watchdog(void)
{
    ck_assert_int_eq(job_watchdog_close(&watchdog), 0);
}

static void open_watchdog(int signal)
{
    ck_assert_ok(job_watchdog_open(runtime, &watchdog, &(struct job_watchdog_options){
        .callback_limit_ns = LIMIT_NS, .task_limit_ns = LIMIT_NS, .held = held, .arg = &last, .signal = signal}));
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, &(struct job_loop_options){.name = "front"}));
    pool = NULL;
    watchdog = NULL;
    reports = stacks = 0;
    memset(&last, 0, sizeof last);
}

static void teardown(void)
{
    ck_assert_int_eq(job_pool_close(&pool), 0);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    close_watchdog();
    fixture_close(runtime);
}

/* Uses the CPU, and then a call where a sanitizer lets signals in: a short sleep, from which a signal wakes at once. A yield would put a
 * pool thread, whose time slice is long, behind all others of a busy machine. */
static void hold_a_little(void)
{
    for (unsigned i = 0; i < 10000; i++)
        cpu_relax();
    (void)usleep(1);
}

static void hold_until(unsigned count)
{
    while (reports_seen() < count)
        hold_a_little();
}

/* On a busy machine a thread may not come to answer in time, and be told of without a stack: once more then. */
static void hold_until_stack(void)
{
    while (load_acquire(&stacks) == 0)   /* pairs with store_release in held */
        hold_a_little();
}

__attribute__((noinline)) static void holds_for_a_stack(struct job_timer *t)
{
    hold_until_stack();
    job_timer_close(t, NULL);
}

__attribute__((noinline)) static void holds_the_loop(struct job_timer *t)
{
    hold_until(1);
    if (t)
        job_timer_close(t, NULL);
}

static bool is_in_stack(void (*function)(struct job_timer *))
{
    for (unsigned i = 0; i < last.depth; i++) {
        uintptr_t at = (uintptr_t)last_stack[i], begin = (uintptr_t)function;
        if (at >= begin && at < begin + 400)
            return true;
    }
    return false;
}

static void run_timer(void (*fired)(struct job_timer *))
{
    ck_assert_ok(job_timer_open(loop, &timer, fired));
    ck_assert_ok(job_timer_start(&timer, 0));
    ck_assert_int_eq(job_loop_run(loop), 0);
    close_watchdog();
}

START_TEST(a_callback_that_holds_its_loop_is_named_while_it_does_with_its_stack)
{
    open_watchdog(SIGNAL);

    run_timer(holds_for_a_stack);   /* ends only when it has been told of */

    ck_assert_str_eq(last_thread, "front");
    ck_assert_str_eq(last_kind, "timer");
    ck_assert_ptr_eq(last.object, &timer);
    ck_assert_uint_eq(last.function, (uintptr_t)holds_for_a_stack);
    ck_assert_uint_ge(last.held_ns, LIMIT_NS);
    ck_assert_uint_ge(last.reports, 1);
    ck_assert_uint_eq(last.tid, (unsigned)gettid());
    ck_assert_msg(is_in_stack(holds_for_a_stack), "%s", last_text);
    ck_assert_ptr_nonnull(strstr(last_text, "front"));
    ck_assert_ptr_nonnull(strstr(last_text, "timer"));
    ck_assert_ptr_nonnull(strstr(last_text, "watchdog+0x"));   /* this program, and where in it */
}
END_TEST

static void holds_for_three_reports(struct job_timer *t)
{
    hold_until(3);
    job_timer_close(t, NULL);
}

START_TEST(it_is_told_again_whenever_the_time_has_doubled)
{
    open_watchdog(-1);

    run_timer(holds_for_three_reports);

    ck_assert_uint_ge(last.reports, 3);
    ck_assert_uint_ge(last.held_ns, 4 * LIMIT_NS);
}
END_TEST

START_TEST(without_a_signal_it_is_told_without_a_stack)
{
    open_watchdog(-1);

    run_timer(holds_the_loop);

    ck_assert_uint_eq(last.depth, 0);
    ck_assert_uint_eq(last.function, (uintptr_t)holds_the_loop);
}
END_TEST

static void blocks_signals_and_holds(struct job_timer *t)
{
    sigset_t all;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    hold_until(3);
    job_timer_close(t, NULL);
}

START_TEST(a_thread_that_blocks_the_signal_is_told_without_a_stack_and_the_signal_forgotten_at_close)
{
    sigset_t none, all;
    open_watchdog(SIGNAL);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);      /* the run gives back the mask that it found: this one */

    run_timer(blocks_signals_and_holds);
    ck_assert_uint_eq(last.depth, 0);

    sigemptyset(&none);
    (void)pthread_sigmask(SIG_SETMASK, &none, NULL);   /* a signal that is still pending would end the process */
}
END_TEST

static sem_t ended;

__attribute__((noinline)) static void holds_the_pool(struct job_task *task)
{
    hold_until_stack();
    job_task_set_status(task, 7);
}

static void task_done(struct job_task *task, int status)
{
    ck_assert_int_eq(status, 7);
    ck_assert_ok(job_task_fini(task));
    sem_post(&ended);
}

START_TEST(a_task_that_exceeds_its_limit_is_named_too)
{
    static struct job_task task;
    sem_init(&ended, 0, 0);
    open_watchdog(SIGNAL);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1, .name = "heavy"}));
    ck_assert_ok(job_task_init(&task, pool, holds_the_pool, task_done));
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&ended);
    close_watchdog();

    ck_assert_str_eq(last_thread, "heavy/0");
    ck_assert_str_eq(last_kind, "task");
    ck_assert_uint_eq(last.function, (uintptr_t)holds_the_pool);
    ck_assert_uint_gt(last.depth, 0);   /* the pool was opened later, so it lets the signal through */
}
END_TEST

static void counts(struct job_timer *t)
{
    static unsigned fired;
    if (++fired == 300)
        job_timer_close(t, NULL);
}

START_TEST(limits_of_infinity_watch_nothing)
{
    ck_assert_ok(job_watchdog_open(runtime, &watchdog, &(struct job_watchdog_options){
        .callback_limit_ns = UINT64_MAX, .held = held, .arg = &last, .signal = SIGNAL}));
    ck_assert_ok(job_timer_open(loop, &timer, counts));
    ck_assert_ok(job_timer_start_repeating(&timer, 0, 100000));

    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_uint_eq(reports_seen(), 0);
}
END_TEST

/* A thread of this process by its name: how often it was switched away from, and whether it sleeps. */
struct activity {
    unsigned long long switches;
    bool is_asleep;
};

static struct activity activity_of(const char *name)
{
    struct activity activity = {0};
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    struct dirent *entry;
    while ((entry = readdir(tasks))) {
        char path[64], line[256];
        bool is_it = false;
        (void)snprintf(path, sizeof path, "/proc/self/task/%.16s/status", entry->d_name);
        FILE *file = fopen(path, "r");
        while (file && fgets(line, sizeof line, file)) {
            unsigned long long switches = 0;
            if (strncmp(line, "Name:\t", 6) == 0)
                is_it = strncmp(line + 6, name, strlen(name)) == 0;
            if (is_it && strncmp(line, "State:\tS", 8) == 0)
                activity.is_asleep = true;
            if (is_it && (sscanf(line, "voluntary_ctxt_switches: %llu", &switches) == 1 ||
                          sscanf(line, "nonvoluntary_ctxt_switches: %llu", &switches) == 1))
                activity.switches += switches;
        }
        if (file)
            (void)fclose(file);
    }
    (void)closedir(tasks);
    return activity;
}

static void *loop_main(void *arg)
{
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);   /* it is this thread's */
    return arg;
}

static void nothing(struct job_timer *t)
{
    (void)t;
}

static void wait_until_asleep(void)
{
    while (load_acquire(&((struct root *)runtime)->watch) != WATCH_ASLEEP)   /* the watchdog is check's time-out */
        (void)usleep(1000);
}

/* Nobody but those who have begun to wait for good, so nobody wakes the watchdog again. */
static void wait_until_others_are_idle(void)
{
    struct job_pool_stats of_pool = {0};
    struct job_loop_stats of_loop = {0};
    while (of_pool.parked < WORKERS || of_loop.waits == 0) {
        (void)usleep(1000);
        job_pool_stats(pool, &of_pool);
        job_loop_stats(loop, &of_loop);
    }
}

START_TEST(while_all_sleep_it_is_not_run_at_all_and_it_wakes_with_them)
{
    static struct job_task task;
    pthread_t thread;
    sem_init(&ended, 0, 0);
    open_watchdog(SIGNAL);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = WORKERS}));
    ck_assert_ok(job_timer_open(loop, &timer, nothing));
    ck_assert_ok(job_timer_start(&timer, UINT64_MAX));
    ck_assert_int_eq(pthread_create(&thread, NULL, loop_main, NULL), 0);

    wait_until_others_are_idle();
    struct activity before, after;
    do {
        wait_until_asleep();
        before = activity_of("job/watchdog");
    } while (!before.is_asleep);   /* behind the word there is only one sleep */
    (void)usleep(WINDOW_US);       /* what is looked at; nothing waits for it */
    after = activity_of("job/watchdog");
    /* Who is preempted on its way to sleep counts as asleep: then one or two more. */
    ck_assert_uint_le(after.switches, before.switches + 2);
    ck_assert_uint_gt(before.switches, 0);

    ck_assert_ok(job_task_init(&task, pool, holds_the_pool, task_done));
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&ended);
    job_loop_stop(loop);
    (void)pthread_join(thread, NULL);
}
END_TEST

static struct job_region *region;

__attribute__((noinline)) static void waits_and_holds_the_pool(struct job_task *task)
{
    int err = job_region_wait32(region, 0, 0, -1);
    hold_until(1);
    job_task_set_status(task, err == 0 ? 7 : err);
}

START_TEST(a_task_that_has_waited_in_the_library_and_goes_on_is_watched_again)
{
    static struct job_task task;
    sem_init(&ended, 0, 0);
    open_watchdog(-1);
    ck_assert_ok(job_region_open(runtime, 64, &region));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1, .name = "waits"}));
    ck_assert_ok(job_task_init(&task, pool, waits_and_holds_the_pool, task_done));
    ck_assert_ok(job_submit(pool, &task, NULL));
    do
        wait_until_asleep();
    while (job_region_notify(region, 0, 1) == 0);   /* it was before the task began */
    sem_wait(&ended);
    close_watchdog();

    ck_assert_str_eq(last_thread, "waits/0");
    ck_assert_uint_ge(last.held_ns, LIMIT_NS);
    job_region_release(&region);
}
END_TEST

static void closes_in_held(void *arg, const struct job_held *what)
{
    (void)what;
    ck_assert_int_eq(job_watchdog_close(arg), -EDEADLK);
    store_release(&reports, reports_seen() + 1);   /* pairs with load_acquire in reports_seen */
}

START_TEST(held_cannot_close_it)
{
    ck_assert_ok(job_watchdog_open(runtime, &watchdog, &(struct job_watchdog_options){
        .callback_limit_ns = LIMIT_NS, .held = closes_in_held, .arg = &watchdog}));
    run_timer(holds_the_loop);
}
END_TEST

static void other(int signal)
{
    (void)signal;
}

START_TEST(there_is_one_and_what_it_cannot_do_it_says)
{
    struct job_watchdog *second = NULL;
    struct job_runtime *unseen = NULL;
    const struct job_watchdog_options with = {.signal = SIGNAL}, bad = {.signal = SIGTERM};
    ck_assert_int_eq(job_watchdog_open(NULL, &watchdog, NULL), -EINVAL);
    ck_assert_int_eq(job_watchdog_open(runtime, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_watchdog_open(runtime, &watchdog, &bad), -EINVAL);
    (void)signal(SIGNAL, other);
    ck_assert_int_eq(job_watchdog_open(runtime, &watchdog, &with), -EBUSY);
    (void)signal(SIGNAL, SIG_DFL);
    ck_assert_ok(job_watchdog_open(runtime, &watchdog, &with));
    ck_assert_int_eq(job_watchdog_open(runtime, &second, &(struct job_watchdog_options){.signal = -1}), -EBUSY);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(job_runtime_close(&runtime), -EBUSY);

    ck_assert_ok(job_runtime_open(&unseen, &(struct job_runtime_options){.no_stats = true}));
    ck_assert_int_eq(job_watchdog_open(unseen, &second, NULL), -ENOTSUP);
    ck_assert_int_eq(job_runtime_close(&unseen), 0);

    ck_assert_int_eq(job_watchdog_close(NULL), -EINVAL);
    ck_assert_int_eq(job_watchdog_close(&second), 0);
    ck_assert_int_eq(job_watchdog_close(&watchdog), 0);
    ck_assert_ok(job_watchdog_open(runtime, &watchdog, &with));   /* the signal is free again */
}
END_TEST

START_TEST(the_same_signal_from_another_process_does_nothing)
{
    open_watchdog(SIGNAL);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(sigqueue(getppid(), SIGNAL, (union sigval){.sival_ptr = (void *)16}) == 0 ? 0 : 1);
    int status;
    while (waitpid(child, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    ck_assert_int_eq(status, 0);

    run_timer(holds_the_loop);

    ck_assert_uint_ge(last.reports, 1);   /* it lives, and tells as before */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("watchdog");
    TCase *tcase = tcase_create("watchdog");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 6);   /* two of them wait in vain beside one planted bug, which has a minute */
    tcase_add_test(tcase, a_callback_that_holds_its_loop_is_named_while_it_does_with_its_stack);
    tcase_add_test(tcase, it_is_told_again_whenever_the_time_has_doubled);
    tcase_add_test(tcase, without_a_signal_it_is_told_without_a_stack);
    tcase_add_test(tcase, a_thread_that_blocks_the_signal_is_told_without_a_stack_and_the_signal_forgotten_at_close);
    tcase_add_test(tcase, a_task_that_exceeds_its_limit_is_named_too);
    tcase_add_test(tcase, limits_of_infinity_watch_nothing);
    tcase_add_test(tcase, while_all_sleep_it_is_not_run_at_all_and_it_wakes_with_them);
    tcase_add_test(tcase, a_task_that_has_waited_in_the_library_and_goes_on_is_watched_again);
    tcase_add_test(tcase, held_cannot_close_it);
    tcase_add_test(tcase, there_is_one_and_what_it_cannot_do_it_says);
    tcase_add_test(tcase, the_same_signal_from_another_process_does_nothing);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
