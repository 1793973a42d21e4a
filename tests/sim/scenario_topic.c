/* scenario_topic.c — posters, subscribers that come and go, and the end of a topic: each subscriber hears what was posted while it
 * listened,
 * once, in one order for all, or it was counted as dropped; `closed` comes once. No time-out anywhere: a lost wake-up is a deadlock.
 */
#include <errno.h>
#include <string.h>

#include "loop/loop.h"
#include "message/topic.h"
#include "sim/world.h"

enum { LISTENERS = 2, POSTS = 3, SEEN_MAX = 8, GONE = 0x5a };

struct listener {
    struct job_loop *loop;
    struct job_subscriber subscriber;
    struct job_call call;
    enum job_topic_policy policy;
    unsigned seen[SEEN_MAX], received, closed;
    uint64_t dropped, refused;
    int status;
    bool is_open, closes_itself, stops_itself;
};

static struct listener listeners[LISTENERS];
static struct job_topic *topic;
static unsigned posted[2], reached, dropped_by_posts, refused_by_posts, posters_left;
static bool ends;

static void start_again(struct job_call *call)
{
    struct listener *listener = container_of(call, struct listener, call);
    int err = listener->closed == 0 ? job_subscriber_start(&listener->subscriber) : 0;
    assert(err == 0 || err == -ECANCELED);
}

/* Posters go on meanwhile; what waits for the start is the call, since one that is stopped does not keep its loop. */
static void stop_for_a_while(struct listener *listener)
{
    listener->stops_itself = false;
    listener->call = (struct job_call){.run = start_again};
    int err = job_subscriber_stop(&listener->subscriber);
    assert(err == 0);
    err = job_loop_call(listener->loop, &listener->call);
    assert(err == 0);
}

static void on_message(struct job_subscriber *subscriber, const struct job_news *news)
{
    struct listener *listener = container_of(subscriber, struct listener, subscriber);
    size_t len;
    assert(self()->loop == listener->loop && listener->closed == 0);
    memcpy(&listener->seen[listener->received++], job_news_bytes(news, &len), sizeof(unsigned));
    assert(len == sizeof(unsigned));
    if (listener->closes_itself)
        job_subscriber_close(subscriber);
    if (listener->stops_itself)
        stop_for_a_while(listener);
}

static void on_closed(struct job_subscriber *subscriber)
{
    struct listener *listener = container_of(subscriber, struct listener, subscriber);
    struct job_subscriber_stats stats;
    job_subscriber_stats(subscriber, &stats);
    assert(listener->closed == 0 && stats.waiting == 0);
    listener->closed++;
    listener->dropped = stats.dropped;
    listener->refused = stats.refused;
    listener->status = job_subscriber_status(subscriber);
    memset(subscriber, GONE, sizeof *subscriber);
}

static const struct job_subscriber_events events = {.message = on_message, .closed = on_closed};

static void poster(void *arg)
{
    unsigned index = *(const unsigned *)arg;
    for (unsigned i = 0; i < POSTS; i++) {
        unsigned number = index * 10 + i;
        struct job_topic_result result;
        int err = job_topic_post(topic, &(struct job_post){.bytes = &number, .len = sizeof number}, &result);
        assert(err == 0 || err == -EPIPE);
        if (err < 0)
            break;
        posted[index]++;
        reached += result.reached;
        dropped_by_posts += (unsigned)result.dropped;
        refused_by_posts += result.refused;
    }
    if (--posters_left == 0 || ends)
        job_topic_end(topic);
}

static void open_now(struct listener *listener)
{
    struct job_subscriber_options options = {.messages_max = 2, .policy = listener->policy};
    int err = job_subscriber_open(listener->loop, &listener->subscriber, topic, &options, &events);
    assert(err == 0 || err == -EPIPE);
    listener->is_open = err == 0;
}

static void open_late(struct job_call *call)
{
    open_now(container_of(call, struct listener, call));
}

static void close_now(struct job_call *call)
{
    struct listener *listener = container_of(call, struct listener, call);
    if (listener->closed == 0)
        job_subscriber_close(&listener->subscriber);
}

static void loop_thread(void *arg)
{
    struct listener *listener = arg;
    int err = job_loop_run(listener->loop);
    assert(err == 0);
    err = job_loop_close(&listener->loop, 0);
    assert(err == 0);
}

static void open_world(enum job_topic_policy policy)
{
    world_open(64, 0, 0);
    list_init(&world.topics);
    memset(listeners, 0, sizeof listeners);
    memset(posted, 0, sizeof posted);
    reached = dropped_by_posts = refused_by_posts = posters_left = 0;
    ends = false;
    int err = job_topic_open(world_runtime(), "topic", &topic);
    assert(err == 0);
    for (unsigned i = 0; i < LISTENERS; i++) {
        err = job_loop_open(world_runtime(), &listeners[i].loop, &(struct job_loop_options){.no_spin = true});
        assert(err == 0);
        listeners[i].policy = policy;
        sim_label(&listeners[i].loop->mailbox, sizeof listeners[i].loop->mailbox, "mailbox");
    }
}

static void start(unsigned posters)
{
    static const unsigned indices[] = {0, 1};
    for (unsigned i = 0; i < LISTENERS; i++)
        sim_spawn(loop_thread, &listeners[i]);
    posters_left = posters;
    for (unsigned i = 0; i < posters; i++)
        sim_spawn(poster, (void *)(uintptr_t)&indices[i]);
}

static void call_on(struct listener *listener, void (*run)(struct job_call *call))
{
    listener->call = (struct job_call){.run = run};
    int err = job_loop_call(listener->loop, &listener->call);
    assert(err == 0);
}

/* Two posters; the last one ends the topic. */
static void all_listen(void)
{
    open_world((enum job_topic_policy)sim_random(3));
    for (unsigned i = 0; i < LISTENERS; i++)
        open_now(&listeners[i]);
    start(2);
}

/* As before, but each stops itself at its first message. */
static void all_stop(void)
{
    open_world((enum job_topic_policy)sim_random(3));
    for (unsigned i = 0; i < LISTENERS; i++) {
        open_now(&listeners[i]);
        listeners[i].stops_itself = true;
    }
    start(2);
}

/* One comes late, the other leaves early, and one of the posters may end it all. */
static void come_and_go(void)
{
    open_world((enum job_topic_policy)sim_random(3));
    ends = sim_random(2);
    open_now(&listeners[0]);
    listeners[0].closes_itself = sim_random(2);
    call_on(&listeners[1], open_late);
    if (!listeners[0].closes_itself)
        call_on(&listeners[0], close_now);
    start(2);
}

/* Of each poster's numbers only ascending ones; with nothing dropped or refused, without a gap. */
static void check_order(const struct listener *listener)
{
    unsigned next[2] = {0, 10};
    for (unsigned i = 0; i < listener->received; i++) {
        unsigned from = listener->seen[i] / 10;
        assert(listener->seen[i] >= next[from]);
        next[from] = listener->seen[i] + 1;
    }
}

/* What both have heard, they have heard in one order. */
static void check_one_order(void)
{
    const struct listener *a = &listeners[0], *b = &listeners[1];
    unsigned at = 0;
    for (unsigned i = 0; i < a->received; i++) {
        for (unsigned j = 0; j < b->received; j++) {
            if (a->seen[i] != b->seen[j])
                continue;
            assert(j >= at);
            at = j + 1;
        }
    }
}

static void check(void)
{
    uint64_t received = 0, dropped = 0, refused = 0;
    for (unsigned i = 0; i < LISTENERS; i++) {
        assert(listeners[i].closed == listeners[i].is_open);
        check_order(&listeners[i]);
        received += listeners[i].received;
        dropped += listeners[i].dropped;
        refused += listeners[i].refused;
    }
    check_one_order();
    assert(received + dropped == reached);
    assert(dropped == dropped_by_posts + world.dropped && refused == refused_by_posts);
    job_topic_close(&topic);
    assert(world.ends == 0);
    world_close();
}

static void check_each(void)
{
    for (unsigned i = 0; i < LISTENERS; i++) {
        const struct listener *listener = &listeners[i];
        bool is_whole = listener->policy == JOB_TOPIC_DISCONNECT && listener->status == -ENOBUFS;
        assert(is_whole || listener->received + listener->dropped + listener->refused == posted[0] + posted[1]);
        assert(listener->status == -EPIPE || is_whole);
    }
    check();
}

static void check_all(void)
{
    assert(world.dropped == 0);   /* only who is stopped loses what waits */
    check_each();
}

static const char *const marks[] = {"subscriber_is_woken", "subscriber_drops_the_oldest", NULL};
static const char *const marks_stop[] = {"subscriber_is_woken", "subscriber_starts_with_news", NULL};
static const char *const marks_late[] = {"subscriber_is_woken", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"each_hears_each_post_once_and_in_one_order", all_listen, check_all, 250, 0, marks},
        {"who_stops_hears_the_rest_after_its_start", all_stop, check_each, 250, 0, marks_stop},
        {"subscribers_come_and_go_while_others_post", come_and_go, check, 250, 0, marks_late},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
