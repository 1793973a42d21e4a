/* scenario_helper.c — the helper's thread against those who post jobs and those who want them forgotten; and what it does with memory
 * against those who need it. No post is left without a run after it; a job that was forgotten is not touched; nobody is refused memory that
 * is in the helper's hands.
 */
#include <string.h>

#include "base/root.h"
#include "memory/arena.h"
#include "queue/helper.h"
#include "sim/world.h"

enum { POSTERS = 2, POSTS = 2, GONE = 0x5a };

static struct helper_job job;          /* of all posters */
static uint64_t posted, seen;          /* what a run of it must see at last */
static unsigned posters, runs;

static void run_job(struct helper_job *which)
{
    assert(which == &job);
    seen = posted;
    runs++;
    sim_system_call();
}

static void poster(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < POSTS; i++) {
        posted++;
        helper_post(world.helper, &job);
    }
    posters--;
}

static bool have_posted(void *arg)
{
    (void)arg;
    return posters == 0;
}

static void closer(void *arg)
{
    (void)arg;
    sim_wait_until(have_posted, NULL);
    helper_close(&world.helper);
}

static void forgetter(void *arg)
{
    (void)arg;
    sim_wait_until(have_posted, NULL);
    helper_forget(world.helper, &job);
    assert(seen == posted);
    memset(&job, GONE, sizeof job);
    helper_close(&world.helper);
}

static void open_helper(size_t slots)
{
    world_open(slots, 0, 0);
    int err = helper_open(&world, &world.helper);
    assert(err == 0);
    posted = seen = runs = 0;
}

static void set_up(unsigned count, void (*end)(void *))
{
    open_helper(1);
    helper_job_init(&job, world.helper, run_job);
    posters = count;
    sim_label(&job.is_posted, sizeof job.is_posted, "is_posted");
    for (unsigned i = 0; i < count; i++)
        sim_spawn(poster, NULL);
    sim_spawn(end, NULL);
}

static void closing(void)
{
    set_up(POSTERS, closer);
}

static void forgetting(void)
{
    set_up(POSTERS, forgetter);
}

static void small(void)
{
    set_up(1, closer);
}

static void check(void)
{
    assert(seen == posted);
    assert(runs >= 1 && runs <= posted);
    world_close();
}

/* Three chunks of two slots each: all of them may be taken, at any time. */
enum { LARGE = SLOT_CLASSES - 1, LARGE_COUNT = 6, TAKERS = 2, TAKEN_EACH = LARGE_COUNT / TAKERS };
static unsigned takers;
static struct slot *taken[TAKERS][TAKEN_EACH];

static void taker(void *arg)
{
    struct slot **mine = arg;
    for (unsigned i = 0; i < TAKEN_EACH; i++) {
        mine[i] = slot_take(world.arena, LARGE);
        assert(mine[i]);
    }
    for (unsigned i = 0; i < TAKEN_EACH; i++)
        slot_put(mine[i]);
    takers--;
}

static void spawn_takers(void)
{
    takers = TAKERS;
    for (unsigned i = 0; i < TAKERS; i++)
        sim_spawn(taker, taken[i]);
}

static void trimmer(void *arg)
{
    (void)arg;
    arena_trim(world.arena);
    arena_trim(world.arena);
}

static void fill_depot(void)
{
    struct slot *slots[LARGE_COUNT];
    for (unsigned i = 0; i < LARGE_COUNT; i++) {
        slots[i] = slot_take(world.arena, LARGE);
        assert(slots[i]);
    }
    for (unsigned i = 0; i < LARGE_COUNT; i++)
        slot_put(slots[i]);
}

static const size_t large_bytes = (size_t)LARGE_COUNT << (SLOT_MIN_BITS + 2 * LARGE);

/* All lies idle, and did so at the last look. */
static void trimming(void)
{
    world_open(large_bytes >> SLOT_MIN_BITS, 0, 0);
    fill_depot();
    world.arena->idle_before = large_bytes;
    sim_label(&world.arena->depots[LARGE], sizeof world.arena->depots[LARGE], "depot");
    spawn_takers();
    sim_spawn(trimmer, NULL);
}

static bool have_taken(void *arg)
{
    (void)arg;
    return takers == 0;
}

static void arena_closer(void *arg)
{
    (void)arg;
    sim_wait_until(have_taken, NULL);
    assert(world.arena->out == 0);
    int err = arena_close(&world.arena);
    assert(err == 0);
    helper_close(&world.helper);
}

/* Who carves asks for the next chunks; the arena goes while the helper may still be at it. */
static void committing(void)
{
    open_helper(large_bytes >> SLOT_MIN_BITS);
    helper_job_init(&world.arena->ahead, world.helper, world.arena->ahead.run);
    helper_job_init(&world.arena->trim, world.helper, world.arena->trim.run);
    spawn_takers();
    sim_spawn(arena_closer, NULL);
}

static void check_memory(void)
{
    if (world.arena)
        assert(world.arena->out == 0);
    world_close();
}

static const char *const trim_marks[] = {"arena_chunk_leaves", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"each_post_is_followed_by_a_run", closing, check, 120, 0, NULL},
        {"a_job_that_was_forgotten_has_run_and_is_not_touched", forgetting, check, 140, 0, NULL},
        {"nobody_is_refused_memory_that_a_trim_has_in_its_hands", trimming, check_memory, 300, 0, trim_marks},
        {"an_arena_goes_while_the_helper_commits_for_it", committing, check_memory, 350, 0, NULL},
        {"each_post_is_followed_by_a_run_in_every_small_schedule", small, check, 0, 3, NULL},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
