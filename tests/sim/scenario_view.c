/* scenario_view.c — the count of pieces of a slot: views of one slot that are sliced, split, dropped and thawed on several threads at once.
 * The slot goes home once; nobody changes bytes that another may read; foreign memory is released once.
 */
#include <errno.h>
#include <job/view.h>
#include <string.h>

#include "memory/arena.h"
#include "memory/piece.h"
#include "sim/world.h"

enum { LEN = 8, THREADS_MAX = 3, STEPS = 3 };

static struct job_buf *given[THREADS_MAX];
static struct job_buf *shared;           /* a view that several threads slice and its owner frees when all have ended */
static unsigned readers;                 /* of the bytes, at this moment */
static unsigned thawed, released, busy;

/* Looks at the bytes of a view; no other thread may be changing them. */
static void read_view(const struct job_buf *view)
{
    const uint8_t *bytes = job_buf_data(view);
    size_t len = job_buf_segment_len(view);
    readers++;
    sim_system_call();
    assert(len == 0 || (bytes[0] == 'v' && bytes[len - 1] == 'v'));
    readers--;
}

/* The only owner: writes over the whole slot, and leaves it as it was. */
static void change(struct job_buf *buf)
{
    assert(readers == 0);
    uint8_t *bytes = job_buf_data(buf);
    size_t len = job_buf_segment_len(buf);
    memset(bytes, 'x', len);
    sim_system_call();
    assert(readers == 0);
    memset(bytes, 'v', len);
    thawed++;
}

static void try_to_change(struct job_buf *view)
{
    int err = job_buf_thaw(view);
    assert(err == 0 || err == -EBUSY || err == -EPERM);
    if (err < 0) {
        busy++;
        return;
    }
    JOB_MARK(view_thawed);
    change(view);
    err = job_buf_freeze(view);
    assert(err == 0);
}

static struct job_buf *slice(const struct job_buf *view, size_t offset, size_t len)
{
    struct job_buf *piece = NULL;
    int err = job_buf_slice(view, offset, len, &piece);
    assert(err == 0);
    return piece;
}

/* Slices its view, drops one of the two, and sees whether the rest may be changed. */
static void user(void *arg)
{
    struct job_buf *view = *(struct job_buf **)arg;
    for (unsigned i = 0; i < STEPS; i++) {
        struct job_buf *piece = slice(view, 1, job_buf_len(view) - 1);
        read_view(piece);
        if (sim_random(2))
            job_buf_replace(&view, &piece);   /* the one that it came from goes first */
        job_buf_free(&piece);
        try_to_change(view);
    }
    job_buf_free(&view);
}

static void give_to(unsigned threads, struct job_buf **view)
{
    sim_label(&(*view)->slot->pieces, sizeof(*view)->slot->pieces, "pieces");
    for (unsigned i = 1; i < threads; i++)
        given[i] = slice(*view, 0, LEN);
    given[0] = *view;
    for (unsigned i = 0; i < threads; i++)
        sim_spawn(user, &given[i]);
}

static struct job_buf *make_view(void)
{
    struct job_buf *view = NULL;
    world_open(2, 0, 0);
    readers = thawed = released = busy = 0;
    int err = job_buf_alloc(world.arena, LEN, NULL, &view);
    assert(err == 0);
    err = job_buf_write(view, "vvvvvvvv", LEN);
    assert(err == 0);
    err = job_buf_freeze(view);
    assert(err == 0);
    return view;
}

static void two_users(void)
{
    struct job_buf *view = make_view();
    give_to(2, &view);
}

static void three_users(void)
{
    struct job_buf *view = make_view();
    give_to(3, &view);
}

static void check(void)
{
    assert(world.arena->out == 0);
    world_close();
}

static void one_user(void *arg)
{
    struct job_buf *view = *(struct job_buf **)arg;
    read_view(view);
    try_to_change(view);
    job_buf_free(&view);
}

/* Small enough for all schedules: each reads, tries to thaw, drops. */
static void small(void)
{
    struct job_buf *view = make_view();
    given[0] = view;
    given[1] = slice(view, 0, LEN);
    sim_spawn(one_user, &given[0]);
    sim_spawn(one_user, &given[1]);
}

static void slicer(void *arg)
{
    unsigned *left = arg;
    struct job_buf *piece = slice(shared, 2, 4);
    read_view(piece);
    try_to_change(piece);   /* the shared one has a piece as well: refused */
    job_buf_free(&piece);
    sim_system_call();
    --*left;
}

static unsigned slicers;

static bool have_ended(void *arg)
{
    return *(unsigned *)arg == 0;
}

static void owner(void *arg)
{
    sim_wait_until(have_ended, arg);
    try_to_change(shared);
    assert(thawed == 1);
    job_buf_free(&shared);
}

/* Many slice from one view, which they do not own. */
static void from_one(void)
{
    shared = make_view();
    slicers = 2;
    sim_label(&shared->slot->pieces, sizeof shared->slot->pieces, "pieces");
    sim_spawn(slicer, &slicers);
    sim_spawn(slicer, &slicers);
    sim_spawn(owner, &slicers);
}

static uint8_t foreign[4096 * 4];

static void release(void *arg, void *memory, size_t len)
{
    (void)arg;
    assert(readers == 0);
    assert(memory == foreign && len == sizeof foreign);
    released++;
}

/* Two segments, which go in any order on any thread. */
static void wrapped(void)
{
    struct job_buf *view = NULL, *rest = NULL;
    world_open(2, 0, 0);
    readers = thawed = released = busy = 0;
    if (foreign[0] != 'v')
        memset(foreign, 'v', sizeof foreign);
    int err = job_buf_wrap(world.arena, foreign, sizeof foreign, release, NULL, &view);
    assert(err == 0 && job_buf_segments(view) == 2);
    given[2] = slice(view, sizeof foreign / 2 - 4, LEN);   /* of both */
    err = job_buf_split(&view, sizeof foreign / 2, &rest);
    assert(err == 0);
    given[0] = view;
    given[1] = rest;
    for (unsigned i = 0; i < 3; i++)
        sim_spawn(user, &given[i]);
}

static void check_wrapped(void)
{
    assert(released == 1 && thawed == 0);
    world_close();
}

static const char *const marks[] = {"view_thawed", NULL};

int main(int argc, char **argv)
{
    static const struct sim_scenario scenarios[] = {
        {"who_thaws_is_alone_and_the_slot_goes_home_once", two_users, check, 120, 0, marks},
        {"three_threads_slice_drop_and_thaw", three_users, check, 180, 0, marks},
        {"slices_of_a_view_that_another_owns", from_one, check, 90, 0, marks},
        {"foreign_memory_is_released_once_after_the_last_reader", wrapped, check_wrapped, 180, 0, NULL},
        {"two_owners_in_every_small_schedule", small, check, 0, 4, marks},
    };
    return sim_main(argc, argv, scenarios, ARRAY_COUNT(scenarios));
}
