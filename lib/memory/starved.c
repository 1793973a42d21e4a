/* starved.c — a loop whose receive ring finds no spare slot registers and sleeps until somebody frees.
 *
 *   States of a waiter: not registered; registered (in arena->starved); taken (a thread that freed has it in its hands); mailed.
 *   the loop:        L1 push the waiter on arena->starved   L2 try again to take a slot   L3 if there is one, go on (the waiter stays
 *                    registered: a mail will come, once); else sleep
 *   whoever frees:   F1 push the slot on its depot, subtract it from `out`, count it in `frees`   F2 look at arena->starved; empty: done
 *                    F3 take all waiters in one exchange   F4 post the mail of each that has something to look for, push the others again
 *   Why no waiter sleeps beside free memory: L1 and F1 are sequentially consistent read-modify-writes, and L2 and F2 come after them.
 *   In their total order either F1 comes before L2 (the loop gets the slot) or L1 comes before F2 (the freeing
 *   thread sees the waiter). The narrowest moment: F2 has seen nothing, then L1, then L2: F1 was before, so L2 sees it.
 *   F4's second case: pushing a waiter again is an L1 of its own and is followed by a look as well.
 *   While somebody waits, frees go past the cache to the depot. A slot that went into a cache just before L1 stays there: bounded by
 *   cache_max, which is why a small arena has caches of zero slots.
 *
 * What a waiter has to look for. What leaves a depot is counted in `out` before, and what comes back after; a loop claims what is spare by
 * one exchange on `out`, so two loops that look at once do not both take the last spare slot, and then one of the reserve. So `out` is too
 * high for a moment, a claim may be refused for no other reason, and whoever takes back what he had counted too much does F2 as well. But
 * a look that fails takes back its own claim: were spare bytes the signal, a loop would wake itself, and two loops each other, for as
 * long as bytes are spare only in slots that are too small. So a waiter says what it lacks:
 *   bytes: a claim was refused. So many spare bytes wake it.
 *   a slot: no claim was refused, and under the arena's lock there was none. Only what is freed after its look began wakes it: `frees`.
 *   Why that is enough: what the claims of others hide is never a slot, only bytes. A slot that a waiter could take now, and could not at
 *   its look, has come back since; so `frees` is above the number that it read before that look, and whoever looks at it from then on, if
 *   only because he takes back a claim, sees that. This is also why L2 need not say anew what it lacks: it may be refused bytes that a
 *   claim hides, beside a slot that has just come; who takes back that claim finds `frees` changed.
 *   A waiter that says too much (bytes, when it is a slot) is woken once for nothing; then it says the other.
 *
 *   the loop goes:   U1 take all waiters, keep its own, push the others again   U2 its own was not there and is not mailed: another
 *                    thread has it in its hands and pushes or mails it; again   U3 mailed: wait until nobody posts any more
 * Rejected: a timer that looks again (heals a lost wake-up instead of showing it, and costs latency); a futex (a loop sleeps in the
 * kernel's ring, not on a word).
 * Accepted: a wake-up for nothing, when several loops starve and one takes what was freed, or when what was freed is too small.
 */
#include "memory/starved.h"

#include "base/bits.h"
#include "memory/arena.h"

static void push_waiters(struct job_arena *arena, struct starved *first, struct starved *last)
{
    struct starved *head = load_relaxed(&arena->starved);   /* a guess; the exchange decides */
    do {
        last->next = head;
    } while (!cas_seq_cst(&arena->starved, &head, first));   /* L1; pairs with load_seq_cst in arena_wake_starved */
}

/* How many bytes must be spare for a look to be worth it. */
static uint64_t worth_a_look(const struct starved *waiter, uint64_t frees)
{
    return waiter->shortage.frees == frees ? waiter->shortage.refused_bytes : waiter->bytes;
}

/* F3 and F4. Returns what must be spare for the least modest of the waiters that stay; UINT64_MAX: nobody stays, or not for bytes. */
static uint64_t post_to_waiters(struct job_arena *arena, size_t spare, uint64_t frees)
{
    uint64_t wanted = UINT64_MAX;
    (void)fetch_add_seq_cst(&arena->waking, 1);   /* pairs with load_seq_cst in arena_unstarve */
    struct starved *waiter = exchange_seq_cst(&arena->starved, NULL);   /* pairs with cas_seq_cst in push_waiters */
    while (waiter) {
        struct starved *next = waiter->next;
        uint64_t bytes = worth_a_look(waiter, frees);
        if (bytes <= spare) {
            store_release(&waiter->is_mailed, 1);   /* pairs with load_acquire in arena_unstarve */
            mailbox_post(waiter->mailbox, &waiter->mail);   /* from here on it may be gone */
        } else {
            wanted = bytes < wanted ? bytes : wanted;
            push_waiters(arena, waiter, waiter);
        }
        waiter = next;
    }
    (void)fetch_sub_seq_cst(&arena->waking, 1);   /* pairs with load_seq_cst in arena_unstarve: all mail is posted */
    return wanted;
}

void arena_wake_starved(struct job_arena *arena)
{
    while (load_seq_cst(&arena->starved)) {   /* F2; pairs with cas_seq_cst in push_waiters */
        uint64_t frees = load_seq_cst(&arena->frees);   /* pairs with fetch_add_seq_cst in arena_note_freed */
        size_t spare = arena_spare(arena);
        if (spare < slot_class_bytes(0))
            return;                           /* whoever frees more looks again */
        JOB_MARK(starved_seen_by_free);
        uint64_t wanted = post_to_waiters(arena, spare, frees);
        /* After they are pushed again, not before: who freed meanwhile has not seen them. */
        if (arena_spare(arena) < wanted && load_seq_cst(&arena->frees) == frees)   /* pairs with fetch_add_seq_cst in arena_note_freed */
            return;
    }
}

void arena_starve(struct job_arena *arena, struct starved *waiter, const struct shortage *shortage)
{
    assert(!waiter->is_registered);
    assert(shortage->refused_bytes >= waiter->bytes);
    waiter->is_registered = true;
    waiter->shortage = *shortage;
    store_relaxed(&waiter->is_mailed, 0);   /* published by push_waiters() */
    (void)fetch_add_relaxed(&arena->starved_count, 1);   /* a count: orders nothing */
    stats_arena_count_starved(arena->shown);
    push_waiters(arena, waiter, waiter);
    JOB_MARK(starve_looks_again);
}

/* U1: takes all waiters, keeps `waiter` if it is among them, pushes the others again. */
static void pull_out(struct job_arena *arena, struct starved *waiter)
{
    struct starved *all = exchange_seq_cst(&arena->starved, NULL);   /* pairs with cas_seq_cst in push_waiters */
    while (all) {
        struct starved *next = all->next;
        if (all == waiter)
            waiter->is_registered = false;
        else
            push_waiters(arena, all, all);
        all = next;
    }
}

void arena_unstarve(struct job_arena *arena, struct starved *waiter)
{
    if (!waiter->is_registered)
        return;
    pull_out(arena, waiter);
    while (waiter->is_registered && !load_acquire(&waiter->is_mailed)) {   /* U2; pairs with store_release in post_to_waiters */
        JOB_MARK(unstarve_finds_it_taken);
        cpu_relax();
        pull_out(arena, waiter);
    }
    arena_wake_starved(arena);   /* the others were out of sight for a moment */
    while (load_seq_cst(&arena->waking) > 0)   /* U3; pairs with fetch_sub_seq_cst in post_to_waiters */
        cpu_relax();
}
