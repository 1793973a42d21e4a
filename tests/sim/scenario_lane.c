/* scenario_lane.c — one producer, several consumers, a lane that is full most of the time: each item once, and for each request for room
 * exactly one answer.
 */
#include "queue/lane.h"
#include "sim/world.h"

enum { ITEMS_MAX = 12 };

static struct lane *lane;
static struct bell bell;
static char items[ITEMS_MAX];
static unsigned seen[ITEMS_MAX];
static unsigned item_count, pushed, popped, requests, mails;

static void room_arrived(struct job_mail *mail)
{
    assert(mail == &lane->room_mail);
    mails++;
}

/* Waits for the mail of a request, which must come, and no other with it. */
static void await_room(void)
{
    struct job_mail *mail = bell_receive(&bell);
    assert(mail->job_next == NULL);
    mail->job_deliver(mail);
    assert(mails == requests);
}

static void producer(void *arg)
{
    (void)arg;
    while (pushed < item_count) {
        if (lane_push(lane, &items[pushed])) {
            pushed++;
            continue;
        }
        if (lane_want_room(lane))
            continue;
        requests++;
        await_room();
    }
}

static bool is_work_or_end(void *arg)
{
    (void)arg;
    return popped < pushed || pushed == item_count;
}

static void consumer(void *arg)
{
    (void)arg;
    while (popped < item_count) {
        char *item = lane_pop(lane);
        if (item) {
            assert(item >= items && item < items + item_count);
            seen[item - items]++;
            assert(seen[item - items] == 1);
            popped++;
        } else {
            cpu_relax();
            sim_wait_until(is_work_or_end, NULL);
        }
    }
}

static void set_up(unsigned capacity, unsigned count, unsigned consumers)
{
    world_open(1, 0, 0);
    bell_init(&bell);
    item_count = count;
    pushed = popped = requests = mails = 0;
    for (unsigned i = 0; i < ITEMS_MAX; i++)
        seen[i] = 0;
    lane = lane_open(&world, capacity);
    assert(lane);
    lane->home = &bell.mailbox;
    lane->room_mail.job_deliver = room_arrived;
    deque_init(&lane->deque, lane->slots, capacity, UINT64_MAX - 2);   /* the indices wrap on the way */
    sim_label(&lane->deque.top, sizeof lane->deque.top, "top");
    sim_label(&lane->deque.bottom, sizeof lane->deque.bottom, "bottom");
    sim_label(&lane->is_room_wanted, sizeof lane->is_room_wanted, "is_room_wanted");
    sim_spawn(producer, NULL);
    for (unsigned i = 0; i < consumers; i++)
        sim_spawn(consumer, NULL);
}

static void one_consumer(void)
{
    set_up(2, 6, 1);
}

static void two_consumers(void)
{
    set_up(4, 8, 2);
}

static void small(void)
{
    set_up(2, 3, 1);
    bell.false_alarms = 0;
}

static void check(void)
{
    assert(pushed == item_count && popped == item_count);
    assert(mails == requests);
    assert(mailbox_is_empty(&bell.mailbox));
    assert(lane->is_room_wanted == 0);
    lane_free(&world, lane);
    world_close();
}

static const char *const marks[] = {"lane_looks_for_room", "lane_consumer_makes_room", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"a_full_lane_answers_each_request_once", one_consumer, check, 90, 0, marks},
        {"each_item_goes_to_one_of_two_consumers", two_consumers, check, 130, 0, marks},
        {"a_full_lane_answers_in_every_small_schedule", small, check, 0, 3, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
