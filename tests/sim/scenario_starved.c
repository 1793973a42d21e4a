/* scenario_starved.c — the way back: slots that others free against loops that starve for them, and depots that several threads take
 * from at once. No loop sleeps beside spare memory; a waiter that went gets no mail; a slot has one owner.
 */
#include <string.h>

#include "base/bits.h"
#include "base/self.h"
#include "memory/cache.h"
#include "memory/starved.h"
#include "sim/world.h"

enum { LOOPS_MAX = 2, SLOTS_MAX = 6, GONE = 0x5a, TURNS_MAX = 12 };

struct loop {
    struct bell bell;
    struct starved waiter;
    struct slot *got;
    unsigned class;
    unsigned turns;      /* mails that it woke for */
    bool is_done;
};

static struct loop loops[LOOPS_MAX];
static unsigned loop_count, freer_count, slots_each;
static bool has_caches;
static struct slot *held[SLOTS_MAX];
static struct slot *kept;   /* until the end */

static void memory_arrived(struct job_mail *mail)
{
    container_of(mail, struct starved, mail)->is_registered = false;
}

static void deliver_all(struct job_mail *mail)
{
    while (mail) {
        struct job_mail *next = mail->job_next;
        mail->job_deliver(mail);
        mail = next;
    }
}

/* Needs its bytes to be spare, as if they were a class of its own. */
static struct slot *try_to_take(struct loop *loop, struct shortage *shortage)
{
    size_t bytes = loop->waiter.bytes;
    *shortage = (struct shortage){.frees = load_seq_cst(&world.arena->frees), .refused_bytes = bytes};
    if (bytes > slot_class_bytes(loop->class) && arena_spare(world.arena) < bytes)
        return NULL;
    struct slot *slot = slot_take_spare(world.arena, loop->class, true, shortage);
    shortage->refused_bytes = max_size(shortage->refused_bytes, bytes);
    return slot;
}

/* What a receive ring does: take, else register, look again, sleep. */
static struct slot *take_or_starve(struct loop *loop)
{
    for (;;) {
        struct shortage shortage;
        struct slot *slot = try_to_take(loop, &shortage);
        if (slot)
            return slot;
        if (!loop->waiter.is_registered) {
            arena_starve(world.arena, &loop->waiter, &shortage);
            slot = try_to_take(loop, &shortage);
            if (slot)
                return slot;
        }
        deliver_all(bell_receive(&loop->bell));
        loop->turns++;
        assert(loop->turns < TURNS_MAX);   /* two that get into each other's way may need some */
    }
}

static void starving_loop(void *arg)
{
    struct loop *loop = arg;
    loop->got = take_or_starve(loop);
    loop->is_done = true;
    arena_unstarve(world.arena, &loop->waiter);
    deliver_all(bell_take(&loop->bell));
    assert(!loop->waiter.is_registered);
    slot_put(loop->got);
    bell_leave(&loop->bell);
    memset(&loop->waiter, GONE, sizeof loop->waiter);
}

/* Registers, and goes without having got anything. */
static void loop_that_goes(void *arg)
{
    struct loop *loop = arg;
    struct shortage shortage = {.refused_bytes = loop->waiter.bytes};
    arena_starve(world.arena, &loop->waiter, &shortage);
    if (sim_random(2) && mailbox_sleep(&loop->bell.mailbox)) {
        loop->bell.false_alarms = 0;
        cpu_relax();
        mailbox_awake(&loop->bell.mailbox);
    }
    arena_unstarve(world.arena, &loop->waiter);
    deliver_all(bell_take(&loop->bell));
    assert(!loop->waiter.is_registered);
    loop->is_done = true;
    bell_leave(&loop->bell);
    memset(&loop->waiter, GONE, sizeof loop->waiter);
}

static bool loops_are_done(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < loop_count; i++) {
        if (!loops[i].is_done)
            return false;
    }
    return true;
}

static void freer(void *arg)
{
    struct slot **mine = arg;
    if (has_caches) {
        int err = cache_attach(world.arena);
        assert(err == 0);
    }
    for (unsigned i = 0; i < slots_each; i++)
        slot_put(mine[i]);
    if (!has_caches)
        return;
    sim_wait_until(loops_are_done, NULL);   /* what its cache keeps must not be what the loop needs */
    cache_detach(world.arena);
}

static void spawn_loops(void (*run)(void *), unsigned count, unsigned class)
{
    sim_label(&world.arena->depots[class], sizeof world.arena->depots[0], "depot");
    sim_label(&world.arena->out, sizeof world.arena->out, "out");
    sim_label(&world.arena->starved, sizeof world.arena->starved, "starved");
    loop_count = count;
    for (unsigned i = 0; i < count; i++) {
        loops[i] = (struct loop){.waiter.bytes = slot_class_bytes(class), .class = class};
        bell_init(&loops[i].bell);
        loops[i].waiter.mailbox = &loops[i].bell.mailbox;
        loops[i].waiter.mail.job_deliver = memory_arrived;
        sim_spawn(run, &loops[i]);
    }
}

static void set_up(unsigned slots, unsigned cache_slots, unsigned freers, void (*run)(void *), unsigned count)
{
    world_open(slots, 1, cache_slots);
    has_caches = cache_slots > 0;
    freer_count = freers;
    slots_each = slots / freers;
    for (unsigned i = 0; i < slots; i++) {
        held[i] = slot_take(world.arena, 0);
        assert(held[i]);
    }
    spawn_loops(run, count, 0);
    for (unsigned i = 0; i < freers; i++)
        sim_spawn(freer, &held[i * slots_each]);
}

static void one_loop(void)
{
    set_up(2, 0, 2, starving_loop, 1);
}

static void two_loops(void)
{
    set_up(4, 0, 2, starving_loop, 2);
}

static void one_needs_more(void)
{
    set_up(4, 0, 2, starving_loop, 2);
    loops[1].waiter.bytes = 2 * slot_class_bytes(0);
}

static void with_caches(void)
{
    set_up(6, 1, 2, starving_loop, 1);
}

static void going(void)
{
    set_up(4, 0, 2, loop_that_goes, 2);
}

static void small(void)
{
    set_up(2, 0, 1, starving_loop, 1);
    loops[0].bell.false_alarms = 0;
}

/* One slot of 4 KiB stays out of a chunk of six, so that 16 KiB are spare all the time, in slots that are too small. What is freed is that
 * slot, whose chunk can then be cut anew, or one of 16 KiB in another chunk. */
static void set_up_small_slots(bool has_large, unsigned count)
{
    struct slot *small[6];
    size_t large_bytes = has_large ? slot_class_bytes(1) : 0;
    world_open(ARRAY_COUNT(small) + (large_bytes >> SLOT_MIN_BITS), 1, 0);
    int err = arena_charge(world.arena, large_bytes);   /* so much is not carved */
    assert(err == 0);
    for (unsigned i = 0; i < ARRAY_COUNT(small); i++)
        small[i] = slot_take(world.arena, 0);
    arena_uncharge(world.arena, large_bytes);
    held[0] = has_large ? slot_take(world.arena, 1) : small[0];
    kept = has_large ? small[0] : NULL;
    for (unsigned i = 1; i < ARRAY_COUNT(small); i++)
        slot_put(small[i]);
    assert(arena_spare(world.arena) >= slot_class_bytes(1));
    has_caches = false;
    freer_count = slots_each = 1;
    spawn_loops(starving_loop, count, 1);
    sim_spawn(freer, &held[0]);
}

/* Asks for what cannot be had, and hides bytes from the others as long as it looks. */
static void hider(void *arg)
{
    unsigned class = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct slot *slot = slot_take(world.arena, class);
        assert(!slot);
    }
}

/* A slot is free and spare all the time. */
static void bytes_are_hidden(void)
{
    struct slot *slots[4];
    world_open(ARRAY_COUNT(slots), 1, 0);
    has_caches = false;
    for (unsigned i = 0; i < ARRAY_COUNT(slots); i++)
        slots[i] = slot_take(world.arena, 0);
    kept = slots[0];
    for (unsigned i = 1; i < ARRAY_COUNT(slots); i++)
        slot_put(slots[i]);
    spawn_loops(starving_loop, 1, 0);
    sim_spawn(hider, (void *)(uintptr_t)1);
}

static void one_lacks_a_slot(void)
{
    set_up_small_slots(false, 1);
}

static void two_lack_a_slot(void)
{
    set_up_small_slots(false, 2);
}

static void a_slot_comes(void)
{
    set_up_small_slots(true, 2);
}

static void a_slot_comes_and_bytes_are_hidden(void)
{
    set_up_small_slots(true, 1);
    sim_spawn(hider, (void *)(uintptr_t)2);
}

static void check(void)
{
    for (unsigned i = 0; i < loop_count; i++) {
        const unsigned char *bytes = (const unsigned char *)&loops[i].waiter;
        for (size_t j = 0; j < sizeof loops[i].waiter; j++)
            assert(bytes[j] == GONE);
    }
    if (kept)
        slot_put(kept);
    kept = NULL;
    assert(world.arena->starved == NULL);
    assert(world.arena->out == 0);
    world_close();
}

/* Two receive rings take all that is spare, while one computes with what is reserved. */
static struct slot *ring_slots[SLOTS_MAX];
static unsigned ring_count;

static void greedy_loop(void *arg)
{
    (void)arg;
    struct slot *slot;
    struct shortage ignored;
    while ((slot = slot_take_spare(world.arena, 0, true, &ignored))) {
        assert(ring_count < 2);
        ring_slots[ring_count++] = slot;
    }
}

static void computer(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        struct slot *slot = slot_take(world.arena, 0);
        assert(slot);
        slot_put(slot);
    }
}

static void reserve(void)
{
    world_open(4, 2, 0);
    ring_count = 0;
    sim_label(&world.arena->out, sizeof world.arena->out, "out");
    sim_spawn(greedy_loop, NULL);
    sim_spawn(greedy_loop, NULL);
    sim_spawn(computer, NULL);
}

static void check_reserve(void)
{
    while (ring_count > 0)
        slot_put(ring_slots[--ring_count]);
    assert(world.arena->out == 0);
    world_close();
}

enum { DEPOT_SLOTS = 3, ROUNDS = 3 };
static bool is_owned[SLOTS_MAX];

static void shuffler(void *arg)
{
    struct slot *mine[2] = {NULL, NULL};
    unsigned batch = 1 + (unsigned)(uintptr_t)arg % 2;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned count = depot_pop(world.arena, 0, mine, batch);
        for (unsigned j = 0; j < count; j++) {
            assert(!is_owned[mine[j]->index]);
            is_owned[mine[j]->index] = true;
        }
        if (sim_random(2))
            sim_system_call();
        for (unsigned j = count; j-- > 0;) {
            is_owned[mine[j]->index] = false;
            depot_push(world.arena, mine[j], mine[j]);
        }
    }
}

static void shuffle(void)
{
    world_open(DEPOT_SLOTS, 0, 0);
    for (unsigned i = 0; i < DEPOT_SLOTS; i++) {
        held[i] = slot_take(world.arena, 0);
        is_owned[i] = false;
    }
    for (unsigned i = DEPOT_SLOTS; i-- > 0;)
        slot_put(held[i]);
    world.arena->depots[0].head |= (uint64_t)UINT32_MAX << 32;   /* the tag wraps */
    sim_label(&world.arena->depots[0], sizeof world.arena->depots[0], "depot");
    for (uintptr_t i = 0; i < 3; i++)
        sim_spawn(shuffler, (void *)i);
}

static void check_depot(void)
{
    struct slot *all[DEPOT_SLOTS + 1];
    unsigned count = depot_pop(world.arena, 0, all, DEPOT_SLOTS + 1);
    assert(count == DEPOT_SLOTS);
    for (unsigned i = 0; i < count; i++) {
        assert(!is_owned[all[i]->index]);
        is_owned[all[i]->index] = true;
        depot_push(world.arena, all[i], all[i]);
    }
    world_close();
}

static const char *const marks[] = {"starve_looks_again", "starved_seen_by_free", NULL};
static const char *const going_marks[] = {"starved_seen_by_free", "unstarve_finds_it_taken", NULL};
static const char *const depot_marks[] = {"depot_pop_raced", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"a_starving_loop_is_woken_by_who_frees", one_loop, check, 60, 0, marks},
        {"two_starving_loops_are_both_served", two_loops, check, 100, 0, marks},
        {"a_loop_that_needs_more_is_woken_when_there_is_enough", one_needs_more, check, 100, 0, marks},
        {"frees_pass_the_caches_while_a_loop_starves", with_caches, check, 110, 0, marks},
        {"a_loop_sleeps_while_only_smaller_slots_are_free", one_lacks_a_slot, check, 100, 0, marks},
        {"two_loops_that_lack_a_slot_do_not_wake_each_other", two_lack_a_slot, check, 160, 0, marks},
        {"a_slot_that_comes_beside_spare_bytes_wakes_a_loop", a_slot_comes, check, 160, 0, marks},
        {"who_takes_back_what_hid_bytes_wakes_a_loop", bytes_are_hidden, check, 60, 0, marks},
        {"a_slot_that_comes_while_bytes_are_hidden_wakes_a_loop", a_slot_comes_and_bytes_are_hidden, check, 160, 0, marks},
        {"a_loop_that_goes_gets_no_mail", going, check, 90, 0, going_marks},
        {"receive_rings_leave_the_reserve", reserve, check_reserve, 80, 0, NULL},
        {"a_slot_from_a_depot_has_one_owner", shuffle, check_depot, 40, 0, depot_marks},
        {"a_starving_loop_is_woken_in_every_small_schedule", small, check, 0, 3, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
