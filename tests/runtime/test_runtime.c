/* test_runtime.c — opening and closing a runtime, two side by side, after a fork, with something left, with bad input.
 */
#include <semaphore.h>
#include <sys/wait.h>

#include "base/container.h"
#include "support/fixture.h"

static char logged[4096];

static void remember(void *arg, enum job_log_level level, const char *text)
{
    (void)arg, (void)level;
    strncat(logged, text, sizeof logged - strlen(logged) - 2);
    strcat(logged, "\n");
}

START_TEST(defaults_open_and_close_and_leave_no_descriptor)
{
    int before = fixture_descriptors();
    struct job_runtime *runtime = NULL;
    struct job_counts counts;
    ck_assert_ok(job_runtime_open(&runtime, NULL));
    ck_assert_ptr_nonnull(job_runtime_arena(runtime));
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(
        counts.bufs + counts.regions + counts.tasks + counts.handles + counts.threads + counts.copied_bytes, 0);
    ck_assert_ok(job_runtime_close(&runtime));
    ck_assert_ptr_null(runtime);
    ck_assert_int_eq(fixture_descriptors(), before);
}
END_TEST

START_TEST(bad_input_is_an_errno_and_changes_nothing)
{
    struct job_runtime *none = NULL, *runtime = (struct job_runtime *)&none;
    ck_assert_int_eq(job_runtime_open(NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_runtime_open(&runtime, &(struct job_runtime_options){.memory_limit_bytes = 1}), -EINVAL);
    ck_assert_int_eq(job_runtime_open(&runtime, &(struct job_runtime_options){.memory_limit_bytes = SIZE_MAX}),
                     -EINVAL);
    ck_assert_ptr_eq(runtime, (struct job_runtime *)&none);
    ck_assert_int_eq(job_runtime_close(NULL), -EINVAL);
    runtime = NULL;
    ck_assert_int_eq(job_runtime_close(&runtime), 0);
    ck_assert_ptr_null(job_runtime_arena(NULL));
    struct job_counts counts = {.bufs = 1};
    job_runtime_counts(NULL, &counts);
    ck_assert_uint_eq(counts.bufs, 0);
    job_runtime_counts(NULL, NULL);
    ck_assert_ptr_nonnull(job_version());
}
END_TEST

START_TEST(a_runtime_with_something_alive_is_not_closed_and_says_what)
{
    struct job_runtime *runtime = NULL, *before;
    struct job_buf *buf = NULL;
    struct job_region *region = NULL;
    struct job_arena *arena = NULL;
    ck_assert_ok(
        job_runtime_open(&runtime, &(struct job_runtime_options){.log = remember, .memory_limit_bytes = 1 << 20}));
    before = runtime;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    ck_assert_ok(job_region_open(runtime, 8, &region));
    ck_assert_ok(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 1 << 20}));
    ck_assert_int_eq(job_runtime_close(&runtime), -EBUSY);
    ck_assert_ptr_eq(runtime, before);
    ck_assert_ptr_nonnull(strstr(logged, "1 bufs"));
    ck_assert_ptr_nonnull(strstr(logged, "1 regions"));
    ck_assert_ptr_nonnull(strstr(logged, "1 loops, pools or arenas"));
    ck_assert_ok(job_buf_write(buf, "alive", 5));
    job_buf_free(&buf);
    job_region_release(&region);
    ck_assert_ok(job_arena_close(&arena));
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

START_TEST(a_message_that_is_kept_is_named_and_nothing_is_freed_beneath_it)
{
    struct job_runtime *runtime = NULL;
    struct job_end *ends[2];
    struct job_message *message = NULL;
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = remember}));
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.bytes = "kept", .len = 5}));
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    ck_assert_int_eq(job_runtime_close(&runtime), -EBUSY);
    ck_assert_ptr_nonnull(strstr(logged, "1 queues of messages"));
    ck_assert_str_eq(job_message_bytes(message, NULL), "kept");
    struct job_loop *loop = NULL;   /* the runtime is whole */
    ck_assert_ptr_nonnull(job_runtime_calls(runtime));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_loop_close(&loop, 0));
    job_message_free(&message);
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

START_TEST(ends_senders_and_topics_are_told_apart_and_topics_by_their_names)
{
    struct job_runtime *runtime = NULL;
    struct job_end *ends[2];
    struct job_sender *sender = NULL;
    struct job_topic *topics[3];
    struct job_counts counts;
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = remember}));
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_end_sender(ends[0], &sender));
    for (int i = 0; i < 3; i++)
        ck_assert_ok(job_topic_open(runtime, (const char *[]){"prices", "prices", "ended"}[i], &topics[i]));
    job_topic_end(topics[2]);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 2 + 1 + 3);

    ck_assert_int_eq(job_runtime_close(&runtime), -EBUSY);

    ck_assert_ptr_nonnull(strstr(logged, "2 ends of channels live"));
    ck_assert_ptr_nonnull(strstr(logged, "1 senders live"));
    ck_assert_ptr_nonnull(strstr(logged, "3 topics live"));
    ck_assert_ptr_nonnull(strstr(logged, "topic \"prices\" is open 2 times"));
    ck_assert_ptr_null(strstr(logged, "ended"));   /* its name may be another's already */
    for (int i = 0; i < 3; i++)
        job_topic_close(&topics[i]);
    job_sender_close(&sender);
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

static const struct job_news *retained;

static void retain(struct job_subscriber *subscriber, const struct job_news *news)
{
    retained = job_news_retain(news);
    job_subscriber_close(subscriber);
}

START_TEST(news_that_are_retained_are_named_and_nothing_is_freed_beneath_them)
{
    static const struct job_subscriber_events hears = {.message = retain};
    struct job_runtime *runtime = NULL;
    struct job_loop *loop = NULL;
    struct job_topic *topic = NULL;
    struct job_subscriber subscriber = {0};
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = remember}));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_topic_open(runtime, "news", &topic));
    ck_assert_ok(job_subscriber_open(loop, &subscriber, topic, NULL, &hears));
    ck_assert_ok(job_topic_post(topic, &(struct job_post){.bytes = "kept", .len = 5}, NULL));
    ck_assert_int_eq(job_loop_run(loop), 0);
    job_topic_close(&topic);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_int_eq(job_runtime_close(&runtime), -EBUSY);
    ck_assert_ptr_nonnull(strstr(logged, "1 news"));
    ck_assert_str_eq(job_news_bytes(retained, NULL), "kept");
    job_news_release(&retained);
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

START_TEST(the_default_arena_is_not_the_callers_to_close)
{
    struct job_runtime *runtime = fixture_runtime();
    struct job_arena *arena = job_runtime_arena(runtime);
    ck_assert_int_eq(job_arena_close(&arena), -EINVAL);
    ck_assert_ptr_eq(arena, job_runtime_arena(runtime));
    fixture_close(runtime);
}
END_TEST

START_TEST(two_runtimes_live_side_by_side_and_share_nothing)
{
    struct job_runtime *a = fixture_runtime(), *b = fixture_runtime();
    struct job_buf *from_a = NULL, *from_b = NULL;
    struct job_counts counts;
    ck_assert_ptr_ne(job_runtime_arena(a), job_runtime_arena(b));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(a), 100, NULL, &from_a));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(b), 100, NULL, &from_b));
    job_runtime_counts(a, &counts);
    ck_assert_uint_eq(counts.bufs, 1);
    ck_assert_int_eq(job_buf_append(from_a, &from_b), -EINVAL);
    ck_assert_ptr_nonnull(from_b);
    job_buf_free(&from_a);
    fixture_close(a);
    ck_assert_ok(job_buf_write(from_b, "the other one lives", 19));
    job_buf_free(&from_b);
    fixture_close(b);
}
END_TEST

START_TEST(a_forked_child_may_not_close_it_but_open_its_own)
{
    struct job_runtime *runtime = fixture_runtime();
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct job_runtime *own = NULL;
        struct job_loop *loop = NULL;
        struct job_arena *arena = NULL;
        struct job_region *region = NULL;
        bool is_refused = job_runtime_close(&runtime) == -EPERM && job_loop_open(runtime, &loop, NULL) == -EPERM &&
                          job_arena_open(runtime, &arena, NULL) == -EPERM &&
                          job_region_open(runtime, 8, &region) == -EPERM;
        bool is_open = job_runtime_open(&own, NULL) == 0 && job_runtime_close(&own) == 0;
        _exit(is_refused && is_open ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fixture_close(runtime);
}
END_TEST

static void nothing(struct job_task *task)
{
    (void)task;
}

START_TEST(the_runtimes_own_pool_is_neither_stopped_nor_closed_by_others)
{
    struct job_runtime *runtime = fixture_runtime();
    struct job_pool *calls = job_runtime_calls(runtime);
    struct job_task task;

    job_pool_stop(calls);
    ck_assert_int_eq(job_pool_close(&calls), -EINVAL);

    ck_assert_ptr_eq(calls, job_runtime_calls(runtime));
    ck_assert_ok(job_task_init(&task, calls, nothing, NULL));
    ck_assert_ok(job_submit(calls, &task, NULL));
    struct job_counts counts = {.tasks = 1};
    while (counts.tasks > 0)   /* under the watchdog of the case */
        job_runtime_counts(runtime, &counts);
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

static struct job_runtime *closing;
static int close_said;
static sem_t has_tried;

static void try_to_close(struct job_task *task, int status)
{
    (void)task, (void)status;
    close_said = job_runtime_close(&closing);
    (void)sem_post(&has_tried);
}

static void found(struct job_resolve *resolve, int status, const struct job_address *addresses, size_t count)
{
    (void)addresses, (void)count;
    *(int *)resolve->data = status;
}

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("fired");
}

START_TEST(a_close_by_a_task_of_the_runtimes_own_pool_is_refused_and_the_runtime_is_whole)
{
    struct job_runtime *runtime = closing = fixture_runtime();
    struct job_loop *loop = NULL;
    struct job_timer timer = {0};
    struct job_task task;
    int status = 1;
    struct job_resolve resolve = {.data = &status};
    struct job_resolve_options host = {.host = "localhost", .service = "1"};
    ck_assert_int_eq(sem_init(&has_tried, 0, 0), 0);
    ck_assert_ok(job_task_init(&task, NULL, nothing, try_to_close));
    ck_assert_ok(job_submit(job_runtime_calls(runtime), &task, NULL));
    ck_assert_int_eq(sem_wait(&has_tried), 0);   /* under the watchdog of the case */

    ck_assert_int_eq(close_said, -EDEADLK);
    ck_assert_ptr_eq(closing, runtime);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &timer, never));
    ck_assert_ok(job_resolve_start(&timer.handle, &resolve, &host, found));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_int_le(status, 0);   /* whatever this machine knows */
    ck_assert_ok(job_loop_close(&loop, 0));
    fixture_close(runtime);
    ck_assert_int_eq(sem_destroy(&has_tried), 0);
}
END_TEST

START_TEST(an_unknown_name_in_JOB_DISABLE_is_logged_and_harmless)
{
    struct job_runtime *runtime = NULL;
    setenv("JOB_DISABLE", "spin,no_such_feature", 1);
    ck_assert_ok(job_runtime_open(&runtime, &(struct job_runtime_options){.log = remember}));
    unsetenv("JOB_DISABLE");
    ck_assert_ptr_nonnull(strstr(logged, "no_such_feature"));
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

START_TEST(a_long_name_is_cut_and_no_stats_means_no_descriptor)
{
    struct job_runtime *runtime = NULL;
    int before = fixture_descriptors();
    struct job_runtime_options options = {.name = "a name that is longer than thirty-one bytes", .no_stats = true};
    ck_assert_ok(job_runtime_open(&runtime, &options));
    ck_assert_int_eq(fixture_descriptors(), before);
    ck_assert_ok(job_runtime_close(&runtime));
    options.no_stats = false;
    ck_assert_ok(job_runtime_open(&runtime, &options));
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

struct container_quota __real_container_quota(void);
struct container_quota __wrap_container_quota(void);
static unsigned quota_reads;

struct container_quota __wrap_container_quota(void)
{
    quota_reads++;
    return __real_container_quota();
}

START_TEST(the_groups_quota_is_read_by_the_runtime_and_each_pool_and_by_no_loop) /* the runtime has pools of its own */
{
    struct job_loop *loops[3] = {NULL};
    struct job_pool *pool = NULL;
    quota_reads = 0;
    struct job_runtime *runtime = fixture_runtime();
    ck_assert_uint_eq(quota_reads, 1);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(job_loop_open(runtime, &loops[i], NULL));
    ck_assert_uint_eq(quota_reads, 1);
    ck_assert_ok(job_pool_open(runtime, &pool, NULL));
    ck_assert_uint_eq(quota_reads, 2);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_ok(job_loop_close(&loops[i], 0));
    ck_assert_ok(job_pool_close(&pool));
    fixture_close(runtime);
}
END_TEST

size_t __real_container_memory(void);
size_t __wrap_container_memory(void);
static size_t memory_of_machine;

size_t __wrap_container_memory(void)
{
    return memory_of_machine ? memory_of_machine : __real_container_memory();
}

START_TEST(on_a_machine_with_any_memory_the_default_limit_is_one_that_an_arena_can_have)
{
    size_t most = ((size_t)4 << 40) - ((size_t)4 << 20);
    struct job_runtime *runtime = NULL;
    struct job_arena_stats stats;
    struct job_runtime_options more = {.memory_limit_bytes = most + 1};
    ck_assert_int_eq(job_runtime_open(&runtime, &more), -EINVAL);
    memory_of_machine = (size_t)32 << 40;
    int err = job_runtime_open(&runtime, NULL);
    memory_of_machine = 0;
    if (err == -ENOMEM) {   /* a sanitizer, or a limit of this process */
        fprintf(stderr, "not tested: there is no room for so many addresses\n");
        return;
    }
    ck_assert_ok(err);
    job_arena_stats(job_runtime_arena(runtime), &stats);
    ck_assert_uint_eq(stats.limit_bytes, most);
    ck_assert_ok(job_runtime_close(&runtime));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("runtime");
    TCase *tcase = tcase_create("runtime");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, defaults_open_and_close_and_leave_no_descriptor);
    tcase_add_test(tcase, bad_input_is_an_errno_and_changes_nothing);
    tcase_add_test(tcase, a_runtime_with_something_alive_is_not_closed_and_says_what);
    tcase_add_test(tcase, a_message_that_is_kept_is_named_and_nothing_is_freed_beneath_it);
    tcase_add_test(tcase, ends_senders_and_topics_are_told_apart_and_topics_by_their_names);
    tcase_add_test(tcase, news_that_are_retained_are_named_and_nothing_is_freed_beneath_them);
    tcase_add_test(tcase, the_default_arena_is_not_the_callers_to_close);
    tcase_add_test(tcase, two_runtimes_live_side_by_side_and_share_nothing);
    tcase_add_test(tcase, a_forked_child_may_not_close_it_but_open_its_own);
    tcase_add_test(tcase, the_runtimes_own_pool_is_neither_stopped_nor_closed_by_others);
    tcase_add_test(tcase, a_close_by_a_task_of_the_runtimes_own_pool_is_refused_and_the_runtime_is_whole);
    tcase_add_test(tcase, an_unknown_name_in_JOB_DISABLE_is_logged_and_harmless);
    tcase_add_test(tcase, a_long_name_is_cut_and_no_stats_means_no_descriptor);
    tcase_add_test(tcase, the_groups_quota_is_read_by_the_runtime_and_each_pool_and_by_no_loop);
    tcase_add_test(tcase, on_a_machine_with_any_memory_the_default_limit_is_one_that_an_arena_can_have);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
