/* scenario_deque.c — the owner of a deque against thieves: each item exactly once, full and wrapped, the indices about to wrap. */
#include "queue/deque.h"
#include "sim/sim.h"

enum { ITEMS = 7 };   /* more than DEQUE_LENGTH in a JOB_SMALL build, so that it is full and wraps */

static struct deque deque;
static void *slots[DEQUE_LENGTH];
static unsigned seen[ITEMS];
static unsigned item_count;
static unsigned thief_tries;
static char items[ITEMS];

static void account(void *item)
{
    if (!item)
        return;
    size_t index = (size_t)((char *)item - items);
    assert(index < item_count);
    seen[index]++;
    assert(seen[index] == 1);
}

static void owner(void *arg)
{
    (void)arg;
    unsigned next = 0;
    while (next < item_count) {
        unsigned burst = 1 + sim_random(DEQUE_LENGTH);
        while (burst-- > 0 && next < item_count && deque_push(&deque, &items[next]))
            next++;
        unsigned takes = sim_random(3);
        while (takes-- > 0)
            account(deque_take(&deque));
    }
    void *item;
    while ((item = deque_take(&deque)))
        account(item);
}

static void thief(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < thief_tries; i++)
        account(deque_steal(&deque));
}

static void set_up(unsigned count, unsigned tries, void (*first)(void *), unsigned thieves)
{
    item_count = count;
    thief_tries = tries;
    for (unsigned i = 0; i < ITEMS; i++)
        seen[i] = 0;
    deque_init(&deque, slots, DEQUE_LENGTH, UINT64_MAX - 2);   /* the indices wrap on the way */
    sim_label(&deque.top, sizeof deque.top, "top");
    sim_label(&deque.bottom, sizeof deque.bottom, "bottom");
    sim_label(slots, sizeof slots, "slots");
    sim_spawn(first, NULL);
    for (unsigned i = 0; i < thieves; i++)
        sim_spawn(thief, NULL);
}

static void one_thief(void)
{
    set_up(ITEMS, 6, owner, 1);
}

static void two_thieves(void)
{
    set_up(ITEMS, 4, owner, 2);
}

static void check(void)
{
    assert(deque_count(&deque) == 0);
    for (unsigned i = 0; i < item_count; i++)
        assert(seen[i] == 1);
}

/* Small enough for every schedule: two items, two takes, a thief that tries twice. */
static void small_owner(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < item_count; i++) {
        bool is_pushed = deque_push(&deque, &items[i]);
        assert(is_pushed);
    }
    for (unsigned i = 0; i < item_count; i++)
        account(deque_take(&deque));
    account(deque_take(&deque));
}

static void small(void)
{
    set_up(2, 2, small_owner, 1);
}

static const char *const marks[] = {"deque_last_item", "deque_thief_has_read", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"each_item_once_against_one_thief", one_thief, check, 60, 0, marks},
        {"each_item_once_against_two_thieves", two_thieves, check, 70, 0, marks},
        {"each_item_once_in_every_small_schedule", small, check, 0, 3, marks},
    };
    return sim_main(argc, argv, scenarios, sizeof scenarios / sizeof scenarios[0]);
}
