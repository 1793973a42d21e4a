/* test_end.c — ends without a loop, and senders: receiving by hand, room, who is told of it, and bad arguments. */
#include <job/watchdog.h>
#include <sched.h>
#include <sys/wait.h>

#include "base/limits.h"
#include "base/root.h"
#include "base/self.h"
#include "ports.h"
#include "stats/line.h"
#include "stats/stats.h"

START_TEST(try_receive_takes_in_order_and_says_when_there_is_nothing)
{
    struct job_message *message = NULL;
    open_channel(NULL);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(end_post_number(ends[0], i));
    for (unsigned i = 0; i < 3; i++) {
        unsigned number;
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        memcpy(&number, job_message_bytes(message, NULL), sizeof number);
        ck_assert_uint_eq(number, i);
        job_message_free(&message);
    }
    ck_assert_int_eq(job_end_receive(ends[1], &message, 1000000), -ETIMEDOUT);
    job_end_close(&ends[0]);
    ck_assert_int_eq(job_end_receive(ends[1], &message, -1), -EPIPE);
    ck_assert_int_eq(job_end_receive(ends[1], &message, -1), -EPIPE);
}
END_TEST

START_TEST(the_room_of_what_was_received_comes_back)
{
    struct job_message *message = NULL;
    open_channel(&(struct job_channel_options){.messages_max = 2});
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_ok(end_post_number(ends[0], i));
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        job_message_free(&message);
        ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    }
}
END_TEST

START_TEST(each_message_that_is_received_makes_room_at_once)
{
    struct job_message *message = NULL;
    open_channel(&(struct job_channel_options){.messages_max = 3});
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(end_post_number(ends[0], i));
    for (unsigned i = 3; i < 10; i++) {
        ck_assert_int_eq(end_post_number(ends[0], i), -EAGAIN);
        ck_assert_ok(job_end_receive(ends[1], &message, 0));   /* and does not come back for long */
        ck_assert_ok(end_post_number(ends[0], i));
        job_message_free(&message);
    }
}
END_TEST

static void wait_on_loop(struct job_call *call)
{
    struct job_message *message = NULL;
    (void)call;
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 1), -EDEADLK);
    ck_assert_int_eq(job_end_receive(ends[1], &message, -1), -EDEADLK);
}

START_TEST(a_loop_thread_may_not_wait_for_a_message)
{
    open_channel(NULL);
    struct job_call call = {.run = wait_on_loop};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
}
END_TEST

/* A task that waits for a message without an end, on a pool's thread. */
struct receiving {
    struct job_task task;
    struct job_timer timer;      /* its handle */
    int has_begun, may_wait;     /* atomic: set by the task; by who ends it */
    int result, again;
};

static struct receiving receiving;

static void receives(struct job_task *task)
{
    (void)task;
    struct job_message *message = NULL;
    __atomic_store_n(&receiving.has_begun, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&receiving.may_wait, __ATOMIC_ACQUIRE))
        sched_yield();
    receiving.result = job_end_receive(ends[1], &message, -1);
    receiving.again = job_end_receive(ends[1], &message, -1);
    job_message_free(&message);
}

static void nothing_fires(struct job_timer *timer)
{
    (void)timer;
}

static void await_a_waiting_thread(void)
{
    const struct stats *stats = ((struct root *)runtime)->stats;   /* its first member */
    for (unsigned i = 0;; i = (i + 1) % STATS_THREADS_MAX) {
        if (load_relaxed(&stats->lines[i].wait) == JOB_WAIT_MESSAGE)   /* the watchdog is check's time-out */
            return;
        sched_yield();
    }
}

START_TEST(a_task_that_waits_for_a_message_ends_when_its_handle_closes_and_the_message_stays)
{
    bool waits_first = _i == 0;
    struct job_pool *pool = NULL;
    struct job_message *message = NULL;
    receiving = (struct receiving){0};
    open_channel(NULL);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_timer_open(loop, &receiving.timer, nothing_fires));
    ck_assert_ok(job_task_init(&receiving.task, pool, receives, NULL));
    ck_assert_ok(job_submit(pool, &receiving.task, &receiving.timer.handle));
    if (waits_first) {
        __atomic_store_n(&receiving.may_wait, 1, __ATOMIC_RELEASE);
        await_a_waiting_thread();
    }
    while (!__atomic_load_n(&receiving.has_begun, __ATOMIC_ACQUIRE))
        sched_yield();

    job_timer_close(&receiving.timer, NULL);
    __atomic_store_n(&receiving.may_wait, 1, __ATOMIC_RELEASE);
    ck_assert_int_eq(job_loop_run(loop), 0);

    ck_assert_int_eq(receiving.result, -ECANCELED);
    ck_assert_int_eq(receiving.again, -ECANCELED);
    ck_assert_ok(end_post_number(ends[0], 7));
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    job_message_free(&message);
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

static void count_report(void *arg, const struct job_held *held)
{
    (void)held;
    __atomic_store_n((int *)arg, 1, __ATOMIC_RELEASE);
}

static int was_reported;

static void receives_and_computes(struct job_task *task)
{
    struct job_message *message = NULL;
    job_task_set_status(task, job_end_receive(ends[1], &message, -1));
    job_message_free(&message);
    while (!__atomic_load_n(&was_reported, __ATOMIC_ACQUIRE))
        sched_yield();   /* the watchdog of this test is check's time-out */
}

START_TEST(a_task_that_has_waited_for_a_message_and_goes_on_is_watched_again)
{
    struct job_pool *pool = NULL;
    struct job_watchdog *watchdog = NULL;
    open_channel(NULL);
    was_reported = 0;
    ck_assert_ok(job_watchdog_open(runtime, &watchdog, &(struct job_watchdog_options){
        .task_limit_ns = 20000000, .held = count_report, .arg = &was_reported, .signal = -1}));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = 1}));
    ck_assert_ok(job_task_init(&receiving.task, pool, receives_and_computes, NULL));
    ck_assert_ok(job_submit(pool, &receiving.task, NULL));
    await_a_waiting_thread();
    while (load_acquire(&((struct root *)runtime)->watch) != WATCH_ASLEEP)
        sched_yield();

    ck_assert_ok(end_post_number(ends[0], 7));

    ck_assert_ok(job_pool_close(&pool));
    ck_assert_int_eq(was_reported, 1);
    ck_assert_ok(job_watchdog_close(&watchdog));
}
END_TEST

/* 0, or the line that failed. */
static int wait_in_child(void)
{
    struct job_runtime *own;
    struct job_end *a_end, *b_end;
    struct job_message *message = NULL;
    if (job_runtime_open(&own, NULL) < 0 || job_channel_open(own, &a_end, &b_end, NULL) < 0)
        return __LINE__ % 256;
    if (job_end_receive(b_end, &message, 1000000) != -ETIMEDOUT)
        return __LINE__ % 256;
    if (end_post_number(a_end, 7) < 0 || job_end_receive(b_end, &message, -1) < 0)
        return __LINE__ % 256;
    job_message_free(&message);
    job_end_close(&a_end);
    job_end_close(&b_end);
    return job_runtime_close(&own) == 0 ? 0 : __LINE__ % 256;
}

static void forks(struct job_call *call)
{
    int *status = call->data;
    const struct stats_line before = *self()->line;
    pid_t child = fork();
    if (child == 0)
        _exit(wait_in_child());
    ck_assert_int_eq(waitpid(child, status, 0), child);
    ck_assert_mem_eq(self()->line, &before, sizeof before);   /* it has written nothing into what it shares with us */
}

START_TEST(a_child_that_a_callback_forks_may_wait_for_messages_of_its_own)
{
    int status = -1;
    struct job_call call = {.run = forks, .data = &status};
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%#x", (unsigned)status);
}
END_TEST

static unsigned told;

static void sender_told(struct job_sender *sender, void *data)
{
    (void)sender;
    ck_assert_ptr_eq(data, &told);
    told++;
}

START_TEST(a_sender_is_told_of_room_once_and_its_box_lives_until_the_last_sender)
{
    struct job_sender *one = NULL, *two = NULL;
    unsigned number = 1;
    struct job_post post = {.bytes = &number, .len = sizeof number};
    open_channel(&(struct job_channel_options){.messages_max = 2});
    ck_assert_ok(job_end_sender(ends[0], &one));
    ck_assert_ok(job_sender_clone(one, &two));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    job_end_close(&ends[0]);
    ck_assert_ok(job_sender_post(one, &post));
    ck_assert_ok(job_sender_post(two, &post));
    ck_assert_int_eq(job_sender_post(one, &post), -EAGAIN);
    ck_assert_ok(job_sender_when_writable(one, loop, sender_told, &told));
    ck_assert_int_eq(job_sender_when_writable(one, loop, sender_told, &told), -EALREADY);
    told = 0;

    turns(5);
    ck_assert_uint_eq(told, 1);
    ck_assert_uint_eq(b.received, 2);
    job_sender_close(&one);
    turns(2);
    ck_assert_uint_eq(b.closed, 0);
    ck_assert_ok(job_sender_post(two, &post));
    job_sender_close(&two);
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(b.received, 3);
    ck_assert_uint_eq(b.closed, 1);
}
END_TEST

START_TEST(a_sender_waits_for_room_for_what_was_refused_and_not_for_what_never_fits)
{
    static const char bytes[4000];
    struct job_sender *sender = NULL;
    struct job_post most = {.bytes = bytes, .len = 1200}, never = {.bytes = bytes, .len = sizeof bytes};
    open_channel(&(struct job_channel_options){.bytes_max = 2000});
    told = 0;
    ck_assert_ok(job_end_sender(ends[0], &sender));
    ck_assert_ok(job_port_open(loop, &b.port, &ends[1], &events));
    ck_assert_ok(job_sender_post(sender, &most));
    ck_assert_int_eq(job_sender_post(sender, &most), -EAGAIN);
    ck_assert_int_eq(job_sender_post(sender, &never), -EMSGSIZE);
    ck_assert_ok(job_sender_when_writable(sender, loop, sender_told, &told));

    turns(5);

    ck_assert_uint_eq(told, 1);
    job_sender_close(&sender);
}
END_TEST

START_TEST(a_loop_that_closes_ends_the_waits_of_senders)
{
    struct job_sender *sender = NULL;
    struct job_loop *own = NULL;
    struct job_post post = {.bytes = "x", .len = 1};
    open_channel(&(struct job_channel_options){.messages_max = 1});
    told = 0;
    ck_assert_ok(job_end_sender(ends[0], &sender));
    ck_assert_ok(job_sender_post(sender, &post));
    ck_assert_int_eq(job_sender_post(sender, &post), -EAGAIN);
    ck_assert_ok(job_loop_open(runtime, &own, NULL));
    ck_assert_ok(job_sender_when_writable(sender, own, sender_told, &told));
    ck_assert_ok(job_loop_close(&own, 0));
    ck_assert_uint_eq(told, 0);
    ck_assert_ok(job_sender_when_writable(sender, loop, sender_told, &told));   /* it may wait elsewhere */
    job_end_close(&ends[1]);
    turns(2);
    ck_assert_uint_eq(told, 1);
    job_sender_close(&sender);
}
END_TEST

START_TEST(a_sender_that_is_closed_while_its_answer_is_on_the_way_is_not_called)
{
    struct job_sender *sender = NULL;
    struct job_message *message = NULL;
    unsigned number = 1;
    struct job_post post = {.bytes = &number, .len = sizeof number};
    open_channel(&(struct job_channel_options){.messages_max = 1});
    ck_assert_ok(job_end_sender(ends[0], &sender));
    ck_assert_ok(job_sender_post(sender, &post));
    ck_assert_int_eq(job_sender_post(sender, &post), -EAGAIN);
    ck_assert_ok(job_sender_when_writable(sender, loop, sender_told, &told));
    told = 0;
    ck_assert_ok(job_end_receive(ends[1], &message, 0));   /* room: the mail is posted */
    job_message_free(&message);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EAGAIN);
    job_sender_close(&sender);
    turns(2);
    ck_assert_uint_eq(told, 0);
}
END_TEST

static uint64_t used_bytes(void)
{
    struct job_arena_stats stats;
    job_arena_stats(job_runtime_arena(runtime), &stats);
    return stats.used_bytes;
}

static unsigned receive_all(struct job_end *end)
{
    unsigned count = 0;
    for (struct job_message *message; job_end_receive(end, &message, 0) == 0; count++)
        job_message_free(&message);
    return count;
}

/* Of a short-lived sender, which posts one message and closes. */
static void post_by_another(struct job_end *end)
{
    struct job_sender *sender = NULL;
    ck_assert_ok(job_end_sender(end, &sender));
    ck_assert_ok(job_sender_post(sender, &(struct job_post){0}));
    job_sender_close(&sender);
}

START_TEST(a_sender_that_closes_leaves_the_places_of_messages_to_the_others)
{
    enum { MANY = 60 };
    uint64_t most = 0;
    open_channel(NULL);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < MANY; i++)
            ck_assert_ok(end_post_number(ends[0], i));
        ck_assert_uint_eq(receive_all(ends[1]), MANY);
        post_by_another(ends[0]);   /* takes the places of all of them */
        for (unsigned i = 1; i < MANY; i++)
            post_by_another(ends[0]);
        ck_assert_uint_eq(receive_all(ends[1]), MANY);
        if (round == 0)
            most = used_bytes();
        ck_assert_uint_le(used_bytes(), most);
    }
}
END_TEST

START_TEST(bad_options_and_arguments_are_refused)
{
    struct job_end *end = NULL, *other = NULL;
    struct job_message *message = NULL;
    struct job_port port = {0};
    ck_assert_int_eq(job_channel_open(NULL, &end, &other, NULL), -EINVAL);
    ck_assert_int_eq(job_channel_open(runtime, &end, &end, NULL), -EINVAL);
    const struct job_channel_options many = {.messages_max = 1 << 21}, large = {.bytes_max = (size_t)1 << 40};
    ck_assert_int_eq(job_channel_open(runtime, &end, &other, &many), -EINVAL);
    ck_assert_int_eq(job_channel_open(runtime, &end, &other, &large), -EINVAL);
    ck_assert_int_eq(job_port_open(loop, &port, &end, &events), -EINVAL);
    ck_assert_int_eq(job_end_post(NULL, &(struct job_post){0}), -EINVAL);
    ck_assert_int_eq(job_end_receive(NULL, &message, 0), -EINVAL);
    job_message_free(NULL);
    job_message_free(&message);
    job_end_close(NULL);
    job_sender_close(NULL);
    ck_assert_ptr_null(job_message_bytes(NULL, NULL));
    ck_assert_uint_eq(job_message_count(NULL), 0);
    open_channel(NULL);
    ck_assert_int_eq(job_end_post(ends[0], NULL), -EINVAL);
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.len = 1}), -EINVAL);
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.count = 1}), -EINVAL);
    struct job_item items[65] = {{0}};
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = items, .count = 1}), -EINVAL);
    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.items = items, .count = 65}), -EINVAL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("end");
    TCase *tcase = tcase_create("end");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, try_receive_takes_in_order_and_says_when_there_is_nothing);
    tcase_add_test(tcase, the_room_of_what_was_received_comes_back);
    tcase_add_test(tcase, a_loop_thread_may_not_wait_for_a_message);
    tcase_add_loop_test(tcase, a_task_that_waits_for_a_message_ends_when_its_handle_closes_and_the_message_stays, 0, 2);
    tcase_add_test(tcase, a_task_that_has_waited_for_a_message_and_goes_on_is_watched_again);
    tcase_add_test(tcase, a_child_that_a_callback_forks_may_wait_for_messages_of_its_own);
    tcase_add_test(tcase, a_sender_is_told_of_room_once_and_its_box_lives_until_the_last_sender);
    tcase_add_test(tcase, a_sender_waits_for_room_for_what_was_refused_and_not_for_what_never_fits);
    tcase_add_test(tcase, each_message_that_is_received_makes_room_at_once);
    tcase_add_test(tcase, a_loop_that_closes_ends_the_waits_of_senders);
    tcase_add_test(tcase, a_sender_that_is_closed_while_its_answer_is_on_the_way_is_not_called);
    tcase_add_test(tcase, a_sender_that_closes_leaves_the_places_of_messages_to_the_others);
    tcase_add_test(tcase, bad_options_and_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
