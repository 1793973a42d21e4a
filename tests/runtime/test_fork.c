/* test_fork.c — a forked child closes what it has inherited, and its parent does not feel it: neither in the statistics segment, nor in the
 * descriptors that wake its loops, nor in a region that both share.
 */
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "message/topic.h"
#include "support/fixture.h"

static struct job_runtime *runtime;

static void setup(void)
{
    runtime = fixture_runtime();
}

static void teardown(void)
{
    fixture_close(runtime);
}

/* Runs `act` in a child, which an alarm ends if it waits for what is not there: only then, so it may be late. */
static void in_a_child(bool (*act)(void))
{
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(30);
        _exit(act() ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

static struct job_end *ends[2];
static struct job_sender *sender;
static struct job_topic *topic;

static bool close_both_ends(void)
{
    job_sender_close(&sender);
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    return !sender && !ends[0] && !ends[1];
}

START_TEST(a_channel_that_a_child_closes_keeps_its_count_of_what_waits)
{
    struct job_end *others[2];
    struct job_message *message = NULL;
    const struct job_post post = {.bytes = "x", .len = 1};
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_end_sender(ends[0], &sender));
    in_a_child(close_both_ends);

    ck_assert_ok(job_end_post(ends[0], &post));
    ck_assert_ok(job_channel_open(runtime, &others[0], &others[1], NULL));   /* would take the record of one that is free */
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    job_message_free(&message);
    ck_assert_ok(job_sender_post(sender, &post));
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    job_message_free(&message);

    job_sender_close(&sender);
    for (unsigned i = 0; i < 2; i++) {
        job_end_close(&ends[i]);
        job_end_close(&others[i]);
    }
}
END_TEST

static bool close_the_topic(void)
{
    job_topic_close(&topic);
    return !topic;
}

/* Its line in the segment would be free, and the next topic's. */
START_TEST(a_topic_that_a_child_closes_stays_open)
{
    struct job_topic *other = NULL;
    struct job_topic_result result;
    ck_assert_ok(job_topic_open(runtime, "one", &topic));
    in_a_child(close_the_topic);
    ck_assert_ok(job_topic_open(runtime, "other", &other));
    ck_assert_ptr_ne(other->shown, topic->shown);
    ck_assert_ok(job_topic_post(topic, &(struct job_post){.bytes = "x", .len = 1}, &result));
    job_topic_close(&other);
    job_topic_close(&topic);
}
END_TEST

static void stops_the_loop(struct job_port *port, struct job_message *message)
{
    (void)message;
    job_port_close(port);
}

static void *runs_and_closes(void *arg)
{
    static const struct job_port_events events = {.message = stops_the_loop};
    static struct job_port port;
    struct job_loop *loop = arg;
    ck_assert_ok(job_port_open(loop, &port, &ends[1], &events));
    ck_assert_int_eq(job_loop_run(loop), 0);
    return (void *)(intptr_t)job_loop_close(&loop, 0);
}

START_TEST(a_loop_that_sleeps_is_not_woken_by_what_a_child_closes)
{
    struct job_loop *loop = NULL;
    struct job_loop_stats stats = {0};
    pthread_t thread;
    void *result;
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_int_eq(pthread_create(&thread, NULL, runs_and_closes, loop), 0);
    while (stats.waits == 0) {   /* from here on it sleeps until somebody posts */
        sched_yield();
        job_loop_stats(loop, &stats);
    }
    in_a_child(close_both_ends);
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.bytes = "x", .len = 1}));
    pthread_join(thread, &result);
    ck_assert_int_eq((int)(intptr_t)result, 0);
    job_end_close(&ends[0]);
}
END_TEST

static struct job_arena *arena;

static bool close_the_arena(void)
{
    return job_arena_close(&arena) == -EPERM && arena;
}

/* The thread that commits its memory is the parent's, and cannot be waited for. */
START_TEST(an_arena_is_not_closed_by_a_child_which_does_not_wait_either)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_arena_open(runtime, &arena, &(struct job_arena_options){.limit_bytes = 64 << 20}));
    for (unsigned i = 0; i < 100; i++) {   /* until the thread has something in hand, or not: no child may wait for it */
        ck_assert_ok(job_buf_alloc(arena, 100000, NULL, &buf));
        job_buf_free(&buf);
    }
    in_a_child(close_the_arena);
    ck_assert_ok(job_arena_close(&arena));
}
END_TEST

static struct job_region *region;

static bool keep_and_release_the_region(void)
{
    (void)job_region_retain(region);
    struct job_region *same = region, *again = region;
    job_region_release(&same);
    job_region_release(&again);
    return !same && !again && job_region_store32(region, 0, 7) == 0;
}

START_TEST(a_shared_region_that_a_child_releases_stays_its_parents)
{
    uint32_t value = 0;
    ck_assert_ok(job_region_open_with(runtime, &(struct job_region_options){.size = 8, .is_shared = true}, &region));
    in_a_child(keep_and_release_the_region);
    ck_assert_ok(job_region_load32(region, 0, &value));
    ck_assert_uint_eq(value, 7);
    job_region_release(&region);
}
END_TEST

static bool keep_the_region(void)
{
    return job_region_retain(region) == region;
}

START_TEST(a_child_that_retains_a_shared_region_and_dies_holds_nothing)
{
    struct job_counts counts;
    ck_assert_ok(job_region_open_with(runtime, &(struct job_region_options){.size = 8, .is_shared = true}, &region));
    in_a_child(keep_the_region);
    job_region_release(&region);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.regions, 0);
}
END_TEST

static const struct job_news *news;

static void retain(struct job_subscriber *subscriber, const struct job_news *heard)
{
    news = job_news_retain(heard);
    job_subscriber_close(subscriber);
}

static bool release_the_news(void)
{
    job_news_release(&news);
    return !news;
}

/* Its bytes lie in a buf, which a child cannot touch. */
START_TEST(news_that_a_child_releases_are_only_forgotten)
{
    static const struct job_subscriber_events hears = {.message = retain};
    static char bytes[100000] = "heard";
    struct job_loop *loop = NULL;
    struct job_subscriber subscriber = {0};
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_topic_open(runtime, "long", &topic));
    ck_assert_ok(job_subscriber_open(loop, &subscriber, topic, NULL, &hears));
    ck_assert_ok(job_topic_post(topic, &(struct job_post){.bytes = bytes, .len = sizeof bytes}, NULL));
    ck_assert_int_eq(job_loop_run(loop), 0);
    in_a_child(release_the_news);
    ck_assert_str_eq(job_news_bytes(news, NULL), "heard");
    job_news_release(&news);
    job_topic_close(&topic);
    ck_assert_ok(job_loop_close(&loop, 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fork");
    TCase *tcase = tcase_create("fork");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_channel_that_a_child_closes_keeps_its_count_of_what_waits);
    tcase_add_test(tcase, a_topic_that_a_child_closes_stays_open);
    tcase_add_test(tcase, a_loop_that_sleeps_is_not_woken_by_what_a_child_closes);
    tcase_add_test(tcase, an_arena_is_not_closed_by_a_child_which_does_not_wait_either);
    tcase_add_test(tcase, a_shared_region_that_a_child_releases_stays_its_parents);
    tcase_add_test(tcase, a_child_that_retains_a_shared_region_and_dies_holds_nothing);
    tcase_add_test(tcase, news_that_a_child_releases_are_only_forgotten);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
