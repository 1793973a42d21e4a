/* park.c — sleepers, searchers, and tokens that turn the one into the other.
 *
 * States of a thread: busy; searching (looks into all queues, perhaps for a while); sleeping (from the moment it is counted as a
 * sleeper, though it looks at the queues once more before it really sleeps on the futex `tokens`).
 *   who brings work:   N1 make the work visible   N2 fence   N3 read idlers: a sleeper and no searcher?   N4 make one sleeper a searcher
 *                      (compare-and-swap on idlers)   N5 tokens + 1, wake one
 *   an idle thread:    K1 idlers: searcher → sleeper, in one read-modify-write   K2 look at every queue   K3 work: sleeper → busy
 *                      K4 none: take a token, waiting while there is none; it is a searcher now
 *                      (a loop wakes later, for all that it put into its lane: loop/submit.c; its last look leaves out "no searcher")
 * Why no work is left while all sleep: N1 N2 N3 and K1 K2 are the store-then-load pair, with a full fence between on both sides (N2; K1 is
 * a read-modify-write). So either N3 sees the sleeper, or K2 sees the work. If N3 sees a searcher it leaves the work to that one, which
 * finds it or goes through K1 later than N2, and its K2 sees the work; so the last searcher never goes to sleep beside work. The narrowest
 * moment is between K2 and K4: a token given there is not lost, it is found by K4.
 *   a searcher that found work:   F1 idlers: searcher → busy, in one read-modify-write   F2 the last one, while others sleep: look for
 *                      more   F3 more: as N2
 * Why one wake-up is enough: whoever brought work while there was a searcher has left it to that one. F1 and F2 are the same pair as K1
 * and K2: either N3 sees no searcher any more, or F2 sees the work.
 * K3 when N4 has already made all sleepers searchers: one of the tokens is this thread's; it takes it and goes on as a searcher. A thread
 * that came to K4 later may be faster and take that token; then it is counted as a sleeper that it is not, and this thread leaves by that
 * count instead. There is always one of the two, since threads between K1 and K4 are sleepers plus tokens; K3 only waits while another is
 * between N4 and N5.
 * Rejected: waking for every task (a system call each: the sleeper that was made a searcher at N4 keeps the next submits from it);
 * membarrier instead of N2 (cheaper for submitters, but it interrupts running threads, the loop first, a thousand times a second in a
 * service that idles in between); a time-out on the wait (heals a lost wake-up instead of showing it).
 * Accepted: a thread may be woken for work that another has just taken. K3 spins while the kernel has stopped a thread between N4 and N5:
 * sleeping on the futex there would need a wake-up for each count that comes back.
 */
#include "queue/park.h"

#include "base/sys.h"

enum { SLEEPER = 1 << 16, SEARCHER = 1, SEARCHERS = SLEEPER - 1 };

static unsigned sleepers(uint32_t idlers)
{
    return idlers / SLEEPER;
}

static unsigned searchers(uint32_t idlers)
{
    return idlers & SEARCHERS;
}

void park_init(struct park *park, unsigned threads)
{
    *park = (struct park){.threads = threads};
}

static void give_tokens(struct park *park, unsigned count)
{
    (void)fetch_add_seq_cst(&park->tokens, count);   /* N5; pairs with cas_seq_cst in try_token */
    (void)sys_futex_wake(&park->tokens, count);
    (void)fetch_add_relaxed(&park->woken, count);    /* a count: orders nothing */
}

static void wake_one(struct park *park, uint32_t idlers)
{
    while (sleepers(idlers) > 0 && searchers(idlers) == 0) {
        if (cas_seq_cst(&park->idlers, &idlers, idlers - SLEEPER + SEARCHER)) {   /* N4; pairs with fetch_add_seq_cst in park_prepare */
            JOB_MARK(park_wakes_sleeper);
            give_tokens(park, 1);
            return;
        }
    }
}

void park_notify(struct park *park)
{
    fence_seq_cst();   /* N2: between the work and the look; pairs with fetch_add_seq_cst in park_prepare */
    wake_one(park, load_relaxed(&park->idlers));   /* N3; fence: N2 */
}

void park_hint(struct park *park)
{
    uint32_t idlers = load_relaxed(&park->idlers);   /* a look that may come too early; another follows */
    if (sleepers(idlers) == park->threads)
        wake_one(park, idlers);
}

void park_wake(struct park *park)
{
    fence_seq_cst();   /* N2; pairs with fetch_add_seq_cst in park_prepare */
    uint32_t idlers = load_relaxed(&park->idlers);   /* N3; fence: N2 */
    while (sleepers(idlers) > 0) {
        if (cas_seq_cst(&park->idlers, &idlers, idlers - SLEEPER + SEARCHER)) {   /* N4; pairs with fetch_add_seq_cst in park_prepare */
            give_tokens(park, 1);
            return;
        }
    }
}

void park_notify_all(struct park *park)
{
    uint32_t idlers = load_relaxed(&park->idlers);   /* a guess; the exchange decides */
    /* Pairs with fetch_add_seq_cst in park_prepare. */
    while (!cas_seq_cst(&park->idlers, &idlers, sleepers(idlers) + searchers(idlers))) {
    }
    if (sleepers(idlers) > 0)
        give_tokens(park, sleepers(idlers));
}

unsigned park_awake(const struct park *park)
{
    return park->threads - sleepers(load_relaxed(&park->idlers));   /* a hint */
}

bool park_search(struct park *park)
{
    uint32_t idlers = load_relaxed(&park->idlers);   /* a hint: the bound may be passed by a thread or two */
    unsigned awake = park->threads - sleepers(idlers);
    if (2 * searchers(idlers) >= awake)
        return false;
    (void)fetch_add_seq_cst(&park->idlers, SEARCHER);   /* pairs with load_relaxed in park_notify */
    return true;
}

bool park_found(struct park *park)
{
    uint32_t before = fetch_sub_seq_cst(&park->idlers, SEARCHER);   /* F1; pairs with load_relaxed in park_notify */
    assert(searchers(before) > 0);
    return searchers(before) == 1 && sleepers(before) > 0;
}

void park_prepare(struct park *park, bool is_searcher)
{
    uint32_t change = (uint32_t)(SLEEPER - (is_searcher ? SEARCHER : 0));
    (void)fetch_add_seq_cst(&park->idlers, change);   /* K1; pairs with fence_seq_cst in park_notify */
    JOB_MARK(park_last_look);
}

static bool try_token(struct park *park)
{
    uint32_t tokens = load_relaxed(&park->tokens);   /* a guess; the exchange decides */
    while (tokens > 0) {
        if (cas_seq_cst(&park->tokens, &tokens, tokens - 1))   /* pairs with fetch_add_seq_cst in give_tokens */
            return true;
    }
    return false;
}

bool park_cancel(struct park *park)
{
    for (;;) {
        uint32_t idlers = load_relaxed(&park->idlers);   /* a guess; the exchange decides */
        while (sleepers(idlers) > 0) {
            if (cas_seq_cst(&park->idlers, &idlers, idlers - SLEEPER))   /* K3; pairs with cas_seq_cst in wake_one */
                return false;
        }
        if (try_token(park)) {
            JOB_MARK(park_cancel_takes_token);
            return true;
        }
        JOB_MARK(park_cancel_waits);
        cpu_relax();
    }
}

void park_sleep(struct park *park)
{
    while (!try_token(park))                                       /* K4 */
        (void)sys_futex_wait(&park->tokens, 0, TIME_NEVER);        /* spurious, interrupted: look again */
}
