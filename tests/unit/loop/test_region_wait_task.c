/* test_region_wait_task.c — tasks that wait for a cell: what ends their wait. */
#include "base/sys.h"
#include "unit/loop/region_waits.h"

/* A task that waits for a cell without an end, and who ends it. */
enum ender {
    BY_CANCEL, BY_HANDLE_CANCEL, BY_HANDLE_CLOSE, BY_POOL_STOP, BY_POOL_CLOSE, BY_LOOP_CLOSE, BEFORE_IT_WAITS, ENDERS
};

struct waiting_task {
    struct job_task task;
    struct job_timer timer;         /* its handle */
    struct job_region *region;
    bool is_wide;
    int tid, may_wait;              /* atomic: set by the task, and 0 when it has waited; by who ends it */
    int result, status;
    unsigned done;
};

static struct job_pool *pool;
static struct waiting_task asleep;

/* As on kernels that have no futex_waitv(2): for this thread and those that it starts, until the process of this test ends. */
static void refuse_waitv(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof *program, .filter = program};
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
    ck_assert_int_eq(syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0), -1);
    ck_assert_int_eq(errno, ENOSYS);
}

static void waits_without_end(struct job_task *task)
{
    struct waiting_task *mine = job_container_of(task, struct waiting_task, task);
    __atomic_store_n(&mine->tid, (int)gettid(), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&mine->may_wait, __ATOMIC_ACQUIRE))
        sched_yield();
    mine->result = mine->is_wide ? job_region_wait64(mine->region, CELL, 0, -1)
                                 : job_region_wait32(mine->region, CELL, 0, -1);
    bool may_be_cancelled = job_task_is_cancelled(task) || mine->result != -ECANCELED;
    __atomic_store_n(&mine->tid, 0, __ATOMIC_RELEASE);
    ck_assert(may_be_cancelled);
}

static void has_waited(struct job_task *task, int status)
{
    struct waiting_task *mine = job_container_of(task, struct waiting_task, task);
    mine->status = status;
    mine->done++;
}

static void nothing_fires(struct job_timer *timer)
{
    (void)timer;
}

static void start_task(struct waiting_task *mine, bool is_wide, bool is_shared)
{
    struct job_region_options options = {.size = 64, .is_shared = is_shared};
    *mine = (struct waiting_task){.is_wide = is_wide};
    ck_assert_ok(job_region_open_with(runtime, &options, &mine->region));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_timer_open(loop, &mine->timer, nothing_fires));
    ck_assert_ok(job_task_init(&mine->task, pool, waits_without_end, has_waited));
    ck_assert_ok(job_submit(pool, &mine->task, &mine->timer.handle));
}

static void end_task(struct waiting_task *mine, int how)
{
    switch (how) {
    case BEFORE_IT_WAITS:
    case BY_CANCEL: ck_assert_int_eq(job_task_cancel(&mine->task), -EALREADY); break;
    case BY_HANDLE_CANCEL: ck_assert_ok(job_handle_cancel(&mine->timer.handle)); break;
    case BY_HANDLE_CLOSE: job_timer_close(&mine->timer, NULL); break;
    case BY_POOL_STOP: job_pool_stop(pool); break;
    case BY_POOL_CLOSE: ck_assert_ok(job_pool_close(&pool)); break;
    default: ck_assert_ok(job_loop_close(&loop, 0)); break;
    }
}

static void run_until_done(struct waiting_task *mine)
{
    job_timer_close(&mine->timer, NULL);   /* more than once is harmless */
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(mine->done, 1);
}

static void ends_a_wait(int how, bool is_wide, bool is_shared)
{
    start_task(&asleep, is_wide, is_shared);
    if (how != BEFORE_IT_WAITS) {
        __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
        await_sleeping(&asleep.tid);
    } else {
        while (__atomic_load_n(&asleep.tid, __ATOMIC_ACQUIRE) == 0)
            sched_yield();
    }

    end_task(&asleep, how);
    __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
    while (loop && asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);   /* as long as the task is out */
    if (loop)
        run_until_done(&asleep);

    ck_assert_uint_eq(asleep.done, 1);
    ck_assert_int_eq(asleep.result, -ECANCELED);
    ck_assert_int_eq(asleep.status, 0);   /* the task says itself how it has ended */
    ck_assert_int_eq(job_region_notify(asleep.region, CELL, UINT_MAX), 0);   /* it is in no queue any more */
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}

START_TEST(S13_a_task_that_waits_ends_by_its_cancel_its_handle_its_pool_or_its_loop)
{
    ends_a_wait(_i, false, false);
}
END_TEST

START_TEST(S13_the_same_for_a_cell_of_64_bits_and_for_one_that_processes_share)
{
    ends_a_wait(BY_CANCEL, true, false);
    ends_a_wait(BY_POOL_STOP, false, true);
    ends_a_wait(BY_HANDLE_CLOSE, false, true);
    ends_a_wait(BEFORE_IT_WAITS, false, true);
}
END_TEST

START_TEST(S13_a_task_that_waits_ends_also_where_the_kernel_waits_for_one_word_only)
{
    refuse_waitv();
    ends_a_wait(BY_CANCEL, false, false);
    ends_a_wait(BY_POOL_STOP, false, true);
}
END_TEST

/* A task is no worse a waiter than a thread. */
START_TEST(a_task_that_waits_is_notified_and_counted)
{
    if (_i % 2 == 1)
        refuse_waitv();
    start_task(&asleep, false, _i >= 2);
    __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
    await_sleeping(&asleep.tid);

    int woken;
    while ((woken = job_region_notify(asleep.region, CELL, UINT_MAX)) == 0)
        sched_yield();   /* between two slices it is in no queue of the kernel's */
    while (asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);   /* as long as the task is out */
    run_until_done(&asleep);

    ck_assert_int_eq(woken, 1);
    ck_assert_int_eq(asleep.result, 0);
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

/* A cancel of its last run may come so late: it wakes by the address alone. */
START_TEST(a_wake_that_was_meant_for_an_earlier_run_ends_no_wait)
{
    start_task(&asleep, _i == 1, _i == 2);
    __atomic_store_n(&asleep.may_wait, 1, __ATOMIC_RELEASE);
    await_sleeping(&asleep.tid);

    for (unsigned strays = 0; strays < 100; strays++) {
        while (sys_futex_wake(&asleep.task.job_state, 1) == 0 && __atomic_load_n(&asleep.tid, __ATOMIC_ACQUIRE) != 0)
            sched_yield();   /* it is on its way back to sleep */
        ck_assert_int_ne(__atomic_load_n(&asleep.tid, __ATOMIC_ACQUIRE), 0);
    }
    while (job_region_notify(asleep.region, CELL, UINT_MAX) == 0)
        sched_yield();
    while (asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);   /* as long as the task is out */
    run_until_done(&asleep);

    ck_assert_int_eq(asleep.result, 0);
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

static void waits_a_moment(struct job_task *task)
{
    struct waiting_task *mine = job_container_of(task, struct waiting_task, task);
    mine->result = job_region_wait32(mine->region, CELL, 0, 60000000);   /* longer than a slice */
}

START_TEST(a_task_that_nobody_notifies_times_out)
{
    if (_i % 2 == 1)
        refuse_waitv();
    asleep = (struct waiting_task){0};
    uint64_t begin = now_ns();
    struct job_region_options options = {.size = 64, .is_shared = _i >= 2};
    ck_assert_ok(job_region_open_with(runtime, &options, &asleep.region));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_timer_open(loop, &asleep.timer, nothing_fires));
    ck_assert_ok(job_task_init(&asleep.task, pool, waits_a_moment, has_waited));
    ck_assert_ok(job_submit(pool, &asleep.task, &asleep.timer.handle));

    while (asleep.done == 0)
        ck_assert_int_ge(job_loop_run(loop), 0);
    run_until_done(&asleep);

    ck_assert_int_eq(asleep.result, -ETIMEDOUT);
    ck_assert_uint_ge(now_ns() - begin, 60000000);   /* never early */
    job_region_release(&asleep.region);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("region wait task");
    TCase *tcase = tcase_create("region wait");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, S13_a_task_that_waits_ends_by_its_cancel_its_handle_its_pool_or_its_loop, 0, ENDERS);
    tcase_add_test(tcase, S13_the_same_for_a_cell_of_64_bits_and_for_one_that_processes_share);
    tcase_add_test(tcase, S13_a_task_that_waits_ends_also_where_the_kernel_waits_for_one_word_only);
    tcase_add_loop_test(tcase, a_task_that_waits_is_notified_and_counted, 0, 4);
    tcase_add_loop_test(tcase, a_wake_that_was_meant_for_an_earlier_run_ends_no_wait, 0, 3);
    tcase_add_loop_test(tcase, a_task_that_nobody_notifies_times_out, 0, 4);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
