/* world.c — opened by a scenario's setup for each schedule, closed by its check. */
#include "sim/world.h"

#include <string.h>
#include <unistd.h>

#include "base/sys.h"

struct root world;

struct job_runtime *world_runtime(void)
{
    return (struct job_runtime *)&world;   /* a runtime begins with its root */
}

void world_open(size_t slots, size_t reserve_slots, size_t cache_slots)
{
    static pid_t pid;
    if (pid == 0)
        pid = getpid();
    world = (struct root){.now_ns = sys_clock_monotonic_ns, .pid = pid, .quota_cpus = UINT32_MAX};
    struct job_arena_options options = {
        .limit_bytes = slots << SLOT_MIN_BITS,
        .reserve_bytes = reserve_slots << SLOT_MIN_BITS,
        .cache_slots_max = cache_slots ? cache_slots : JOB_ARENA_NO_CACHE,
    };
    int err = arena_open(&world, &world.arena, &options);
    assert(err == 0);
}

void world_close(void)
{
    int err = arena_close(&world.arena);
    assert(err == 0);
    assert(world.allocations == 0);
    assert(world.bufs == 0);
    assert(world.views == 0);
    assert(world.wraps == 0);
    assert(world.regions == 0);
    assert(world.tasks == 0);
    assert(world.handles == 0);
    assert(world.users == 0);
    assert(world.threads == 0);
}

static void ring(struct mailbox *mailbox)
{
    struct bell *bell = container_of(mailbox, struct bell, mailbox);
    sim_system_call();
    assert(!bell->is_gone);
    bell->signals++;
}

void bell_init(struct bell *bell)
{
    *bell = (struct bell){.false_alarms = 1};
    mailbox_init(&bell->mailbox, ring);
}

static bool has_signal(void *bell)
{
    return ((struct bell *)bell)->signals > 0;
}

static void hear(struct bell *bell)
{
    bell->woken += bell->signals;
    bell->signals = 0;
}

void bell_sleep(struct bell *bell)
{
    if (bell->false_alarms > 0 && sim_random(4) == 1)
        bell->false_alarms--;   /* woken by something else */
    else
        sim_wait_until(has_signal, bell);
    hear(bell);
    mailbox_awake(&bell->mailbox);
}

struct job_mail *bell_take(struct bell *bell)
{
    struct job_mail *last;
    return mailbox_take(&bell->mailbox, &last);
}

struct job_mail *bell_receive(struct bell *bell)
{
    struct job_mail *mail;
    while (!(mail = bell_take(bell))) {
        if (mailbox_sleep(&bell->mailbox))
            bell_sleep(bell);
    }
    return mail;
}

void bell_leave(struct bell *bell)
{
    while (bell->woken != bell->mailbox.wakes_owed) {
        sim_wait_until(has_signal, bell);
        hear(bell);
    }
    bell->is_gone = true;
}
