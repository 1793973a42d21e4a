/* test_topic.c — topics among real threads with a ledger: posters, loops whose subscribers come and go, an end. Each subscriber hears each
 * poster in order, without a gap that is not counted; every view comes back.
 */
#include <sched.h>
#include <stdatomic.h>

#include "support/fixture.h"

enum { POSTERS = 3, LOOPS = 3, EACH = 4 };

struct note {
    uint32_t poster, number;
};

struct listener {
    struct job_subscriber subscriber;
    struct loop_side *side;
    uint32_t next[POSTERS];
    bool has_heard[POSTERS], is_open;
    uint64_t received, gaps;
    const struct job_news *kept;
};

/* Of a listener that was stopped. */
struct restart {
    struct job_call call;
    struct listener *listener;
    bool waits;
};

/* A thread with a loop and some subscribers. */
struct loop_side {
    pthread_t thread;
    struct job_loop *loop;
    struct job_topic *topic;
    struct random random;
    struct listener listeners[EACH];
    struct restart restarts[EACH];
    uint64_t received, dropped, refused, closes, disconnects;
    bool is_over;
};

struct poster {
    pthread_t thread;
    struct random random;
    uint32_t index;
    uint64_t reached, dropped, refused, disconnected;
};

static struct job_runtime *runtime;
static unsigned each;
static atomic_uint posters_left;

static void start_again(struct job_call *call)
{
    struct restart *restart = job_container_of(call, struct restart, call);
    int err = restart->listener->is_open ? job_subscriber_start(&restart->listener->subscriber) : 0;
    ck_assert(err == 0 || err == -ECANCELED);
    restart->waits = false;
}

/* For a turn or so; posters go on meanwhile. */
static void stop_for_a_while(struct listener *listener)
{
    struct restart *restart = &listener->side->restarts[listener - listener->side->listeners];
    ck_assert_ok(job_subscriber_stop(&listener->subscriber));
    if (!restart->waits) {
        restart->call.run = start_again;
        restart->listener = listener;
        restart->waits = true;
        ck_assert_ok(job_loop_call(listener->side->loop, &restart->call));
    }
}

static void on_message(struct job_subscriber *subscriber, const struct job_news *news)
{
    struct listener *listener = job_container_of(subscriber, struct listener, subscriber);
    const struct note *note = job_news_bytes(news, NULL);
    const struct job_buf *view = job_news_view(news, 0);
    uint32_t number, *next = &listener->next[note->poster];
    ck_assert(!listener->has_heard[note->poster] || note->number >= *next);
    listener->gaps += listener->has_heard[note->poster] ? note->number - *next : 0;
    listener->has_heard[note->poster] = true;
    *next = note->number + 1;
    listener->received++;
    if (view) {
        struct job_buf *slice = NULL;
        ck_assert_ok(job_buf_slice(view, 0, sizeof number, &slice));
        ck_assert_ok(job_buf_read(slice, 0, &number, sizeof number));
        ck_assert_uint_eq(number, note->number);
        job_buf_free(&slice);
    }
    if (random_below(&listener->side->random, 64) == 0) {
        job_news_release(&listener->kept);
        listener->kept = job_news_retain(news);
    }
    if (random_below(&listener->side->random, 100) == 0)
        stop_for_a_while(listener);
    if (random_below(&listener->side->random, 3000) == 0)
        job_subscriber_close(subscriber);
}

static void open_listener(struct listener *listener);

static void on_closed(struct job_subscriber *subscriber)
{
    struct listener *listener = job_container_of(subscriber, struct listener, subscriber);
    struct loop_side *side = listener->side;
    struct job_subscriber_stats stats;
    job_subscriber_stats(subscriber, &stats);
    int status = job_subscriber_status(subscriber);
    ck_assert(status == 0 || status == -EPIPE || status == -ENOBUFS);
    ck_assert_uint_eq(stats.received, listener->received);
    ck_assert_uint_eq(stats.waiting, 0);
    ck_assert_uint_le(listener->gaps, stats.dropped + stats.refused);
    job_news_release(&listener->kept);
    side->received += stats.received;
    side->dropped += stats.dropped;
    side->refused += stats.refused;
    side->disconnects += status == -ENOBUFS;
    side->closes++;
    listener->is_open = false;
    if (status == -EPIPE)
        side->is_over = true;
    else
        open_listener(listener);
}

static const struct job_subscriber_events events = {.message = on_message, .closed = on_closed};

static void open_listener(struct listener *listener)
{
    struct loop_side *side = listener->side;
    struct job_subscriber_options options = {.messages_max = (unsigned)(1 + random_below(&side->random, 200)),
                                             .policy = (enum job_topic_policy)random_below(&side->random, 3)};
    *listener = (struct listener){.side = side};
    int err = job_subscriber_open(side->loop, &listener->subscriber, side->topic, &options, &events);
    ck_assert(err == 0 || err == -EPIPE);
    listener->is_open = err == 0;
}

static void *run_loop(void *arg)
{
    struct loop_side *side = arg;
    ck_assert_ok(job_loop_open(runtime, &side->loop, NULL));
    ck_assert_ok(job_topic_open(runtime, "stress", &side->topic));
    for (unsigned i = 0; i < EACH; i++) {
        side->listeners[i].side = side;
        open_listener(&side->listeners[i]);
    }
    ck_assert_int_eq(job_loop_run(side->loop), 0);   /* until the topic has ended */
    ck_assert_ok(job_loop_close(&side->loop, 0));
    job_topic_close(&side->topic);
    return NULL;
}

static void *run_poster(void *arg)
{
    struct poster *poster = arg;
    struct job_topic *topic = NULL;
    ck_assert_ok(job_topic_open(runtime, "stress", &topic));
    for (uint32_t i = 0; i < each; i++) {
        struct note note = {poster->index, i};
        struct job_buf *view = NULL;
        struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &view};
        bool has_view = random_below(&poster->random, 8) == 0;
        struct job_topic_result result;
        if (has_view) {
            ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &view));
            ck_assert_ok(job_buf_write(view, &note.number, sizeof note.number));
            ck_assert_ok(job_buf_freeze(view));
        }
        ck_assert_ok(job_topic_post(topic, &(struct job_post){&note, sizeof note, &item, has_view}, &result));
        ck_assert_ptr_null(view);
        poster->reached += result.reached;
        poster->dropped += result.dropped;
        poster->refused += result.refused;
        poster->disconnected += result.disconnected;
        if (random_below(&poster->random, 16) == 0)
            sched_yield();
    }
    if (atomic_fetch_sub(&posters_left, 1) == 1)
        job_topic_end(topic);
    job_topic_close(&topic);
    return NULL;
}

START_TEST(each_subscriber_hears_each_poster_in_order_and_what_it_misses_is_counted)
{
    struct random random = fixture_random("topic");
    unsigned rounds = fixture_rounds("TOPIC_ROUNDS", 8);
    uint64_t all = 0, missed = 0, closes = 0, disconnects = 0;
    each = fixture_rounds("TOPIC_EACH", 2000);
    for (unsigned round = 0; round < rounds; round++) {
        static struct loop_side sides[LOOPS];
        static struct poster posters[POSTERS];
        struct job_topic *topic = NULL;
        struct job_counts before, after;
        uint64_t reached = 0, dropped = 0, received = 0;
        job_runtime_counts(runtime, &before);
        ck_assert_ok(job_topic_open(runtime, "stress", &topic));   /* one topic from the first to the last of this round */
        memset(sides, 0, sizeof sides);
        memset(posters, 0, sizeof posters);
        posters_left = POSTERS;
        for (unsigned i = 0; i < LOOPS; i++) {
            sides[i].random.state = random_next(&random);
            ck_assert_int_eq(pthread_create(&sides[i].thread, NULL, run_loop, &sides[i]), 0);
        }
        for (unsigned i = 0; i < POSTERS; i++) {
            posters[i].index = i;
            posters[i].random.state = random_next(&random);
            ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, run_poster, &posters[i]), 0);
        }
        for (unsigned i = 0; i < POSTERS; i++) {
            ck_assert_int_eq(pthread_join(posters[i].thread, NULL), 0);
            reached += posters[i].reached;
            disconnects += posters[i].disconnected;
        }
        for (unsigned i = 0; i < LOOPS; i++) {
            ck_assert_int_eq(pthread_join(sides[i].thread, NULL), 0);
            received += sides[i].received;
            dropped += sides[i].dropped;
            disconnects -= sides[i].disconnects;
            closes += sides[i].closes;
        }
        job_topic_close(&topic);
        ck_assert_uint_eq(received + dropped, reached);   /* nothing is lost without a count */
        ck_assert_uint_eq(disconnects, 0);                /* each was told */
        job_runtime_counts(runtime, &after);
        ck_assert_uint_eq(after.bufs, 0);
        ck_assert_uint_eq(after.allocations, before.allocations);
        all += received;
        missed += dropped;
    }
    fprintf(stderr, "received %llu, dropped %llu, closes %llu\n", (unsigned long long)all, (unsigned long long)missed,
            (unsigned long long)closes);
    ck_assert_uint_gt(all, 0);
}
END_TEST

static void setup(void)
{
    runtime = fixture_runtime();
    struct job_buf *first = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &first));   /* the helper runs from here on */
    job_buf_free(&first);
}

static void teardown(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

int main(void)
{
    Suite *suite = suite_create("topic");
    TCase *tcase = tcase_create("topic");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_subscriber_hears_each_poster_in_order_and_what_it_misses_is_counted);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
