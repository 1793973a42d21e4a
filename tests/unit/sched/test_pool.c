/* test_pool.c — a pool's life: options, start, stop, close, from where they may be called, and what its counters say. */
#include <dirent.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "base/root.h"
#include "base/sys.h"
#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_pool *pool;
static sem_t begun, gate, ended;
static int statuses[16];
static unsigned status_count;   /* of one worker: in order */

static void setup(void)
{
    runtime = fixture_runtime();
    pool = NULL;
    status_count = 0;
    sem_init(&begun, 0, 0);
    sem_init(&gate, 0, 0);
    sem_init(&ended, 0, 0);
}

static void teardown(void)
{
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static void nothing(struct job_task *task)
{
    (void)task;
}

static void blocks(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    sem_wait(&gate);
}

static void tells(struct job_task *task, int status)
{
    if (status_count < 16)
        statuses[status_count++] = status;
    ck_assert_ok(job_task_fini(task));   /* the waiter's stack may be gone from here on */
    sem_post(&ended);
}

START_TEST(a_limit_that_cannot_hold_an_output_for_each_worker_is_refused)
{
    struct job_runtime *tight = NULL;
    struct job_pool *other = NULL;
    ck_assert_ok(job_runtime_open(&tight, &(struct job_runtime_options){.memory_limit_bytes = 256 << 10}));

    ck_assert_int_eq(job_pool_open(tight, &other, &(struct job_pool_options){.workers = 15}), -EINVAL);
    ck_assert_ptr_null(other);
    for (int i = 0; i < 3; i++) {   /* 14 x 16 KiB and an eighth for caches */
        ck_assert_ok(job_pool_open(tight, &other, &(struct job_pool_options){.workers = 14}));
        ck_assert_int_eq(job_pool_open(tight, &pool, &(struct job_pool_options){.workers = 1}), -EINVAL);
        ck_assert_ok(job_pool_close(&other));
    }
    fixture_close(tight);
}
END_TEST

START_TEST(bad_options_open_nothing)
{
    const uint64_t none[2] = {0, 0}, above[17] = {[16] = 1};
    const struct job_pool_options bad[] = {
        {.workers = 1025},        {.workers = 2, .queue_limit = (1u << 24) + 1},
        {.nice = 20},             {.nice = -21},
        {.affinity = none},       {.affinity_words = 1},
        {.affinity = none, .affinity_words = 2},
        {.workers = 2, .affinity = above, .affinity_words = 17},
    };
    struct job_counts before, after;
    job_runtime_counts(runtime, &before);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(job_pool_open(runtime, &pool, &bad[i]) == -EINVAL, "option set %zu", i);
        ck_assert_ptr_null(pool);
    }
    ck_assert_int_eq(job_pool_open(NULL, &pool, NULL), -EINVAL);
    ck_assert_int_eq(job_pool_open(runtime, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_pool_close(NULL), -EINVAL);
    job_pool_stop(NULL);
    ck_assert_uint_eq(job_pool_workers(NULL), 0);
    job_pool_stats(NULL, NULL);

    job_runtime_counts(runtime, &after);
    ck_assert_uint_eq(after.allocations, before.allocations);
    ck_assert_uint_eq(after.threads, before.threads);
}
END_TEST

START_TEST(the_default_is_a_worker_a_cpu_that_this_process_may_use)
{
    cpu_set_t set;
    ck_assert_int_eq(sched_getaffinity(0, sizeof set, &set), 0);
    ck_assert_ok(job_pool_open(runtime, &pool, NULL));
    ck_assert_uint_ge(job_pool_workers(pool), 1);
    ck_assert_uint_le(job_pool_workers(pool), (unsigned)CPU_COUNT(&set));
}
END_TEST

static int cpu_of_task;
static cpu_set_t set_of_task;
static char name_of_task[16];
static int nice_of_task;
static sigset_t signals_of_task;
static uint64_t slice_of_task;

static void looks_around(struct job_task *task)
{
    (void)task;
    cpu_of_task = sched_getcpu();
    sched_getaffinity(0, sizeof set_of_task, &set_of_task);
    pthread_getname_np(pthread_self(), name_of_task, sizeof name_of_task);
    nice_of_task = getpriority(PRIO_PROCESS, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &signals_of_task);
    slice_of_task = sys_slice();
}

static void run_with(job_task_run_fn *run, void *data)
{
    struct job_task task;
    ck_assert_ok(job_task_init(&task, pool, run, tells));
    task.data = data;
    ck_assert_ok(job_submit(pool, &task, NULL));
    sem_wait(&ended);
}

static void run_one(job_task_run_fn *run)
{
    run_with(run, NULL);
}

START_TEST(threads_have_the_affinity_the_name_and_the_nice_that_were_asked_for_and_no_signals)
{
    cpu_set_t own;
    ck_assert_int_eq(sched_getaffinity(0, sizeof own, &own), 0);
    size_t last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &own))
        last--;
    uint64_t words[CPU_SETSIZE / 64] = {0};
    words[last / 64] = (uint64_t)1 << (last % 64);
    struct job_pool_options options = {
        .nice = 3, .name = "a_name_of_many_bytes", .affinity = words, .affinity_words = last / 64 + 1};
    ck_assert_ok(job_pool_open(runtime, &pool, &options));
    ck_assert_uint_eq(job_pool_workers(pool), 1);   /* by default no more than it has CPUs */

    run_one(looks_around);

    ck_assert_int_eq(CPU_COUNT(&set_of_task), 1);
    ck_assert_int_eq(cpu_of_task, (int)last);
    ck_assert_str_eq(name_of_task, "a_name_of/0");
    ck_assert_int_eq(nice_of_task, getpriority(PRIO_PROCESS, 0) + 3);
    ck_assert_int_eq(sigismember(&signals_of_task, SIGTERM), 1);
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    ck_assert_int_eq(sigismember(&mine, SIGTERM), 0);   /* the opener's mask is as before */
}
END_TEST

/* A task that yields, or a lock of somebody's that does, waits until all others of a busy machine have had as much. */
START_TEST(a_pool_thread_has_a_slice_of_a_few_milliseconds)
{
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));

    run_one(looks_around);

    bool is_ours = feature_is_on(&((struct root *)runtime)->features, FEATURE_SLICES);   /* the root is its first member */
    ck_assert_uint_eq(slice_of_task, is_ours ? POOL_SLICE_NS : sys_slice());
    ck_assert_uint_le(POOL_SLICE_NS, 5000000);
}
END_TEST

static sigjmp_buf behind_the_fault;
static sig_atomic_t signal_of_fault;
static void *no_access;

static void jumps_out(int number)
{
    signal_of_fault = number;
    siglongjmp(behind_the_fault, 1);
}

static void faults(struct job_task *task)
{
    (void)task;
    if (sigsetjmp(behind_the_fault, 1) == 0)
        *(volatile char *)no_access = 1;
}

static void raises(struct job_task *task)
{
    if (sigsetjmp(behind_the_fault, 1) == 0)
        raise(*(int *)task->data);
}

START_TEST(a_fault_of_a_task_comes_to_the_programs_own_handler)
{
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    static const unsigned count = sizeof numbers / sizeof numbers[0];
    struct sigaction action = {.sa_handler = jumps_out}, before[6];
    for (unsigned i = 0; i < count; i++)
        sigaction(numbers[i], &action, &before[i]);
    no_access = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(no_access, MAP_FAILED);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));

    for (unsigned i = 0; i < count; i++) {
        int number = numbers[i];
        signal_of_fault = 0;
        run_with(raises, &number);
        ck_assert_int_eq(signal_of_fault, number);
    }
    signal_of_fault = 0;
    run_one(faults);
    ck_assert_int_eq(signal_of_fault, SIGSEGV);

    for (unsigned i = 0; i < count; i++)
        sigaction(numbers[i], &before[i], NULL);
    munmap(no_access, 1);
}
END_TEST

START_TEST(stop_cancels_what_is_queued_and_lets_run_what_runs)
{
    struct job_task running, queued[10];
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_init(&running, pool, blocks, tells));
    ck_assert_ok(job_submit(pool, &running, NULL));
    sem_wait(&begun);
    for (int i = 0; i < 10; i++) {
        ck_assert_ok(job_task_init(&queued[i], pool, nothing, tells));
        ck_assert_ok(job_submit(pool, &queued[i], NULL));
    }

    job_pool_stop(pool);
    job_pool_stop(pool);
    struct job_task late;
    struct job_buf *buf = NULL;
    ck_assert_ok(job_task_init(&late, pool, nothing, NULL));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    ck_assert_ok(job_task_give(&late, &buf));
    ck_assert_int_eq(job_submit(pool, &late, NULL), -ECANCELED);
    ck_assert_ptr_nonnull(late.buf);
    ck_assert_int_eq(job_task_fini(&late), 0);

    sem_post(&gate);
    for (int i = 0; i < 11; i++)
        sem_wait(&ended);
    ck_assert_int_eq(statuses[0], 0);
    for (int i = 1; i < 11; i++)
        ck_assert_int_eq(statuses[i], -ECANCELED);
    struct job_pool_stats stats;
    job_pool_stats(pool, &stats);
    ck_assert_uint_eq(stats.submitted, 11);
    ck_assert_uint_eq(stats.run, 1);
    ck_assert_uint_eq(stats.cancelled, 10);
}
END_TEST

static bool saw_cancel;

static void waits_for_cancel(struct job_task *task)
{
    sem_post(&begun);
    while (!job_task_is_cancelled(task))
        sched_yield();
    saw_cancel = true;
}

START_TEST(a_running_task_sees_the_stop_of_the_pool_that_runs_it_and_of_no_other)
{
    struct job_pool *other = NULL;
    struct job_task task;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_pool_open(runtime, &other, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_init(&task, NULL, waits_for_cancel, tells));   /* task->pool says nothing */
    saw_cancel = false;
    ck_assert_ok(job_submit(other, &task, NULL));
    sem_wait(&begun);

    job_pool_stop(pool);
    ck_assert(!job_task_is_cancelled(&task));
    job_pool_stop(other);
    sem_wait(&ended);

    ck_assert(saw_cancel);
    ck_assert_int_eq(job_pool_close(&other), 0);
}
END_TEST

static int close_result;

static void closes_own_pool(struct job_task *task)
{
    struct job_pool *same = task->pool;
    close_result = job_pool_close(&same);
    if (same != task->pool)
        close_result = 1;
}

static void closes_own_pool_in_done(struct job_task *task, int status)
{
    closes_own_pool(task);
    tells(task, status);
}

START_TEST(a_pool_is_not_closed_by_its_own_task_or_done)
{
    const unsigned workers[] = {1, JOB_POOL_INLINE};
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = workers[i]}));
        close_result = 0;
        run_one(closes_own_pool);
        ck_assert_int_eq(close_result, -EDEADLK);

        struct job_task task;
        close_result = 0;
        ck_assert_ok(job_task_init(&task, pool, nothing, closes_own_pool_in_done));
        ck_assert_ok(job_submit(pool, &task, NULL));
        sem_wait(&ended);
        ck_assert_int_eq(close_result, -EDEADLK);
        ck_assert_int_eq(job_pool_close(&pool), 0);
    }
}
END_TEST

static unsigned inline_runs, inline_depth, inline_depth_max;

static void counts_depth(struct job_task *task)
{
    (void)task;
    inline_runs++;
    inline_depth++;
    if (inline_depth > inline_depth_max)
        inline_depth_max = inline_depth;
}

static void again_until_a_million(struct job_task *task, int status)
{
    if (status != 0 || (inline_runs < 1000000 && job_submit(task->pool, task, NULL) != 0))
        ck_abort_msg("run %u: status %d, or refused", inline_runs, status);
    inline_depth--;
}

START_TEST(an_inline_task_that_submits_itself_again_a_million_times_uses_no_stack)
{
    struct job_task task;
    inline_runs = inline_depth = inline_depth_max = 0;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_uint_eq(job_pool_workers(pool), 0);
    ck_assert_ok(job_task_init(&task, pool, counts_depth, again_until_a_million));

    ck_assert_ok(job_submit(pool, &task, NULL));

    ck_assert_uint_eq(inline_runs, 1000000);
    ck_assert_uint_eq(inline_depth_max, 1);
    struct job_pool_stats stats;
    job_pool_stats(pool, &stats);
    ck_assert_uint_eq(stats.submitted, 1000000);
    ck_assert_uint_eq(stats.run, 1000000);
}
END_TEST

static struct job_task follow_up;
static bool outer_has_ended;

static void follows(struct job_task *task)
{
    (void)task;
    ck_assert(outer_has_ended);
}

static void submits_follow_up(struct job_task *task)
{
    ck_assert_ok(job_task_init(&follow_up, task->pool, follows, tells));
    ck_assert_ok(job_submit(task->pool, &follow_up, NULL));
    ck_assert_int_eq(job_submit(task->pool, &follow_up, NULL), -EBUSY);
    outer_has_ended = true;
}

START_TEST(an_inline_task_runs_what_it_submits_after_itself)
{
    outer_has_ended = false;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    run_one(submits_follow_up);
    sem_wait(&ended);
}
END_TEST

static struct job_pool *elsewhere;

static void runs_until_its_pool_stops(struct job_task *task)
{
    sem_post(&begun);
    while (!job_task_is_cancelled(task) && sem_trywait(&gate) != 0)
        sched_yield();
}

static void *submits_elsewhere(void *arg)
{
    ck_assert_ok(job_submit(elsewhere, arg, NULL));
    return NULL;
}

static void closes_elsewhere(struct job_task *task)
{
    (void)task;
    sem_wait(&begun);
    close_result = job_pool_close(&elsewhere);
    sem_post(&gate);
}

START_TEST(an_inline_task_may_close_another_inline_pool_that_works_on_another_thread)
{
    struct job_task task;
    pthread_t thread;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_pool_open(runtime, &elsewhere, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_task_init(&task, elsewhere, runs_until_its_pool_stops, tells));
    ck_assert_int_eq(pthread_create(&thread, NULL, submits_elsewhere, &task), 0);

    run_one(closes_elsewhere);

    pthread_join(thread, NULL);
    ck_assert_int_eq(close_result, 0);
    ck_assert_ptr_null(elsewhere);
}
END_TEST

static void submits_and_closes_elsewhere(struct job_task *task)
{
    (void)task;
    ck_assert_ok(job_submit(elsewhere, &follow_up, NULL));
    close_result = job_pool_close(&elsewhere);
}

START_TEST(an_inline_pool_whose_task_waits_behind_the_caller_is_not_closed)
{
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_pool_open(runtime, &elsewhere, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_task_init(&follow_up, elsewhere, nothing, tells));

    run_one(submits_and_closes_elsewhere);

    sem_wait(&ended);
    ck_assert_int_eq(close_result, -EDEADLK);
    ck_assert_int_eq(job_pool_close(&elsewhere), 0);
}
END_TEST

START_TEST(a_stopped_inline_pool_refuses)
{
    struct job_task task;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = JOB_POOL_INLINE}));
    ck_assert_ok(job_task_init(&task, pool, nothing, tells));
    job_pool_stop(pool);
    ck_assert_int_eq(job_submit(pool, &task, NULL), -ECANCELED);
}
END_TEST

START_TEST(every_call_with_a_pool_is_refused_in_a_forked_child)
{
    struct job_task task;
    struct job_pool *other = NULL;
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_init(&task, pool, nothing, tells));
    pid_t child = fork();
    if (child == 0) {
        struct job_pool *same = pool;
        job_pool_stop(pool);
        bool is_right = job_submit(pool, &task, NULL) == -EPERM && job_pool_close(&same) == -EPERM && same == pool &&
                        job_pool_open(runtime, &other, NULL) == -EPERM && !other && job_pool_workers(pool) == 1;
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    run_one(nothing);   /* the parent's works as before */
}
END_TEST

static void only_posts(struct job_task *task, int status)
{
    ck_assert(status == 0 || status == -ECANCELED);
    ck_assert_ok(job_task_fini(task));
    sem_post(&ended);
}

static int thread_count(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

enum { EARLY = 3000, LATE = 2000 };

static struct numbered {
    struct job_task task;
    unsigned number;
    unsigned ran_as;
} numbered[EARLY + LATE];
static unsigned run_count;

static void runs_numbered(struct job_task *task)
{
    struct numbered *one = job_container_of(task, struct numbered, task);
    one->ran_as = run_count++;   /* one worker */
}

static void submit_numbered(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        numbered[i].number = i;
        ck_assert_ok(job_task_init(&numbered[i].task, pool, runs_numbered, tells));
        ck_assert_ok(job_submit(pool, &numbered[i].task, NULL));
    }
}

/* The first of many tasks of the inbox: more come while the rest of them is left over. */
static void submits_the_late(struct job_task *task)
{
    (void)task;
    sem_post(&begun);
    sem_wait(&gate);
}

START_TEST(later_tasks_do_not_overtake_what_is_left_of_a_full_inbox)
{
    struct job_task blocker = {0}, second = {0};
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    run_count = 0;
    ck_assert_ok(job_task_init(&blocker, pool, blocks, tells));
    ck_assert_ok(job_task_init(&second, pool, submits_the_late, tells));
    ck_assert_ok(job_submit(pool, &blocker, NULL));
    sem_wait(&begun);
    ck_assert_ok(job_submit(pool, &second, NULL));
    submit_numbered(0, EARLY);

    sem_post(&gate);
    sem_wait(&begun);   /* `second` was the oldest of the inbox; the rest is in the deque and left over */
    submit_numbered(EARLY, EARLY + LATE);
    sem_post(&gate);
    for (unsigned i = 0; i < EARLY + LATE + 2; i++)
        sem_wait(&ended);

    ck_assert_uint_eq(run_count, EARLY + LATE);
    for (unsigned i = 0; i < EARLY; i++)
        ck_assert_msg(numbered[i].ran_as < EARLY + 512, "task %u ran as number %u", i, numbered[i].ran_as);
}
END_TEST

static void open_and_close_a_pool(unsigned i)
{
    struct job_task tasks[4];
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1 + i % 2, .no_spin = i % 2}));
    for (int j = 0; j < 4; j++) {
        ck_assert_ok(job_task_init(&tasks[j], pool, nothing, only_posts));
        ck_assert_ok(job_submit(pool, &tasks[j], NULL));
    }
    if (i % 4 == 0)
        job_pool_stop(pool);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    for (int j = 0; j < 4; j++)
        ck_assert_int_eq(sem_trywait(&ended), 0);   /* each has had its end before close returned */
}

START_TEST(a_thousand_pools_leave_no_thread_and_no_memory)
{
    struct job_counts before, after;
    unsigned pools = fixture_rounds("POOLS", 1000);
    open_and_close_a_pool(0);   /* a sanitizer starts a thread of its own with the first of ours */
    int threads = thread_count();
    job_runtime_counts(runtime, &before);
    for (unsigned i = 0; i < pools; i++)
        open_and_close_a_pool(i);
    job_runtime_counts(runtime, &after);
    while (thread_count() > threads)   /* the kernel ends a join a moment before the thread leaves the list */
        sched_yield();
    ck_assert_uint_eq(after.threads, before.threads);
    ck_assert_uint_eq(after.allocations, before.allocations);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *tcase = tcase_create("pool");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_limit_that_cannot_hold_an_output_for_each_worker_is_refused);
    tcase_add_test(tcase, bad_options_open_nothing);
    tcase_add_test(tcase, the_default_is_a_worker_a_cpu_that_this_process_may_use);
    tcase_add_test(tcase, threads_have_the_affinity_the_name_and_the_nice_that_were_asked_for_and_no_signals);
    tcase_add_test(tcase, a_pool_thread_has_a_slice_of_a_few_milliseconds);
    tcase_add_test(tcase, a_fault_of_a_task_comes_to_the_programs_own_handler);
    tcase_add_test(tcase, stop_cancels_what_is_queued_and_lets_run_what_runs);
    tcase_add_test(tcase, a_running_task_sees_the_stop_of_the_pool_that_runs_it_and_of_no_other);
    tcase_add_test(tcase, a_pool_is_not_closed_by_its_own_task_or_done);
    tcase_add_test(tcase, an_inline_task_that_submits_itself_again_a_million_times_uses_no_stack);
    tcase_add_test(tcase, an_inline_task_runs_what_it_submits_after_itself);
    tcase_add_test(tcase, an_inline_task_may_close_another_inline_pool_that_works_on_another_thread);
    tcase_add_test(tcase, an_inline_pool_whose_task_waits_behind_the_caller_is_not_closed);
    tcase_add_test(tcase, a_stopped_inline_pool_refuses);
    tcase_add_test(tcase, every_call_with_a_pool_is_refused_in_a_forked_child);
    tcase_add_test(tcase, later_tasks_do_not_overtake_what_is_left_of_a_full_inbox);
    tcase_add_test(tcase, a_thousand_pools_leave_no_thread_and_no_memory);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
