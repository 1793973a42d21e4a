/* pool_thread.c — what a pool thread does between tasks: look, search, spin a little, sleep.
 *
 * queue/park.c argues why no work is left while all sleep; the order here is the one that it prescribes.
 */
#include <errno.h>
#include <time.h>

#include "base/bits.h"
#include "base/self.h"
#include "base/sys.h"
#include "base/thread.h"
#include "memory/arena.h"
#include "memory/cache.h"
#include "sched/pool.h"
#include "stats/line.h"

enum {
    SPIN_MIN_NS = 1000,
    SPIN_LOOKS = 4,     /* between two readings of the clock */
    TASKS_TOGETHER_MAX = 32,
    TASKS_SHORT_NS = 1000,
};

static uint64_t thread_cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

/* Between tasks: pays for what was used, and waits when the pool is in debt. The wait ends by time or by stop. */
static void keep_budget(struct carrier *carrier, uint64_t *cpu_ns)
{
    struct job_pool *pool = carrier->pool;
    uint64_t used = thread_cpu_ns();
    uint64_t wait = budget_charge(&pool->budget, used - *cpu_ns, pool->root->now_ns());
    *cpu_ns = used;
    if (wait == 0)
        return;
    line_wait(carrier->line, JOB_WAIT_CPU_BUDGET, pool->root->now_ns());
    (void)sys_futex_wait(&pool->is_stopping, 0, wait);   /* pairs with store_seq_cst in request_stop: not begun, or woken */
    line_wake(pool->root, carrier->line, pool->root->now_ns());
}

/* May this thread wait on a CPU for work? Not on one that a loop or another pool thread could use. */
static bool may_spin(struct job_pool *pool)
{
    unsigned awake = park_awake(&pool->park);
    unsigned loops = load_relaxed(&pool->lane_count);   /* a hint */
    return pool->may_spin && (awake <= 1 || awake + loops <= pool->cpus);
}

/* Each look takes the line from whoever is about to write it. */
static void spin_gap(const struct pool_place *place)
{
    for (unsigned i = 0; i < place->gap; i++)
        cpu_relax();
}

/* While the loops have more ends to deliver than they can, they lose nothing when we let them push for a while undisturbed. Without this
 * every second look into a drained lane found one or two tasks, and each took the line of `bottom` from the loop (docs/decisions/005). */
static void let_loops_push(struct pool_place *place)
{
    struct job_pool *pool = place->pool;
    if (place->gap == 1 || !may_spin(pool))
        return;
    unsigned count = load_acquire(&pool->lane_count);   /* pairs with store_release in add_lane */
    for (unsigned i = 0; i < count; i++) {
        if (!lane_looks_empty(pool->lanes[i]))
            return;
    }
    spin_gap(place);
}

static struct job_task *find_cheap(struct pool_place *place)
{
    struct job_task *task = NULL;
    if (++place->tick % FAIRNESS_TICK == 0)
        task = find_shared(place);
    if (!task)
        task = find_own(place);
    if (task)
        return task;
    let_loops_push(place);
    return find_shared(place);
}

/* A searcher looks everywhere, for as long as that has paid lately. */
static struct job_task *search(struct pool_place *place)
{
    struct job_pool *pool = place->pool;
    uint64_t begin = 0;
    for (;;) {
        struct job_task *task = find_shared(place);
        if (!task)
            task = find_stolen(place);
        if (task) {
            if (begin)
                place->spin_ns = min_size(max_size(place->spin_ns, SPIN_MIN_NS) * 2, PARK_SPIN_NS);
            return task;
        }
        uint64_t now = pool->root->now_ns();
        if (!begin)
            begin = now;
        if (!may_spin(pool) || now - begin >= place->spin_ns || load_relaxed(&pool->is_ending)) {   /* a hint */
            place->spin_ns = max_size(place->spin_ns / 2, SPIN_MIN_NS);
            return NULL;
        }
        for (unsigned i = 0; i < SPIN_LOOKS && !pool_has_work(pool); i++)
            spin_gap(place);
    }
}

/* What is counted from here on begins now. */
static void restart_clock(struct pool_place *place)
{
    place->now_ns = place->pool->root->now_ns();
    place->untimed = 0;
}

static struct job_task *look_a_last_time(struct pool_place *place)
{
    struct job_task *task = find_shared(place);
    return task ? task : find_stolen(place);
}

/* Sleeps unless there is work. Returns whether the thread is a searcher now. */
static bool sleep_or_find(struct pool_place *place, bool is_searcher, struct job_task **task)
{
    struct job_pool *pool = place->pool;
    park_prepare(&pool->park, is_searcher);
    *task = look_a_last_time(place);
    if (*task || load_acquire(&pool->is_ending)) {   /* pairs with store_seq_cst in pool_threads_join */
        is_searcher = park_cancel(&pool->park);
        if (*task && !is_searcher && pool_has_more(pool, place->mean_ns))
            park_notify(&pool->park);                /* as after park_found(): more than we take */
        return is_searcher;
    }
    counter_add(&place->parked, 1);
    line_count(place->line, COUNTER_PARKED, 1);
    line_wait(place->line, JOB_WAIT_NO_WORK, pool->root->now_ns());
    park_sleep(&pool->park);
    restart_clock(place);
    line_wake(pool->root, place->line, place->now_ns);
    line_count(place->line, COUNTER_WOKEN, 1);
    return true;
}

/* The next task; NULL: the pool ends and nothing is queued. */
static struct job_task *next_task(struct pool_place *place)
{
    struct job_pool *pool = place->pool;
    struct job_task *task = find_cheap(place);
    bool is_searcher = false;
    while (!task) {
        if (!is_searcher)
            is_searcher = park_search(&pool->park);
        if (is_searcher)
            task = search(place);
        if (!task)
            is_searcher = sleep_or_find(place, is_searcher, &task);
        if (!task && load_acquire(&pool->is_ending) && !pool_has_work(pool))   /* pairs with store_seq_cst in pool_threads_join */
            break;
    }
    if (is_searcher && park_found(&pool->park) && pool_has_more(pool, place->mean_ns)) {
        JOB_MARK(park_last_searcher_found);
        park_notify(&pool->park);
    }
    return task;
}

void pool_thread_set_up(struct job_pool *pool, const char *name)
{
    sys_thread_name(name);
    thread_add_nice(pool->root, "pool", pool->name, pool->nice);
    if (feature_is_on(&pool->root->features, FEATURE_SLICES))
        sys_set_slice(POOL_SLICE_NS);
    root_let_watchdog_ask(pool->root);
    root_runs(pool->root);
}

static void set_up(struct carrier *carrier)
{
    pool_thread_set_up(carrier->pool, carrier->line->name);
    self()->carrier = carrier;
    self()->pool_place = pool_outside(carrier->pool);
    self()->root = carrier->pool->root;
    self()->line = carrier->line;
    store_relaxed(&carrier->line->tid, (uint32_t)sys_gettid());   /* a figure for people */
}

/* Reads the clock for the tasks since the last reading, which costs as much as the shortest of them: as long as they are short, several
 * share one. */
static void time_tasks(struct pool_place *place)
{
    uint64_t began = place->now_ns;
    unsigned count = place->untimed;
    restart_clock(place);
    place->mean_ns = min_size((place->now_ns - began) / count, RUN_MEAN_MAX_NS);
    unsigned more = (unsigned)min_size(place->together * 2, TASKS_TOGETHER_MAX);
    place->together = place->mean_ns > TASKS_SHORT_NS ? 1 : more;
}

/* What runs, and since when: early by as many short tasks as share a reading. */
static void begin_task(struct pool_place *place, const struct job_task *task)
{
    bool is_watched = load_relaxed(&place->pool->root->watch) != WATCH_OFF;   /* a hint: then it shall be exact */
    if (place->untimed >= place->together || (is_watched && place->untimed > 0))
        time_tasks(place);
    bool is_now = place->untimed++ == 0;   /* the time when it began to wait stands in a line of the loop's: not of each short task */
    stats_part_begin(place->part, is_now ? task->job_queued_ns : 0, place->now_ns);
    line_run(place->line, (uint64_t)(uintptr_t)task->job_run, place->now_ns);
}

/* Tasks, until the pool ends (NULL), or the place is lent for good: then the next one. */
static struct pool_place *work(struct carrier *carrier, struct pool_place *place, uint64_t *cpu_ns)
{
    struct job_pool *pool = carrier->pool;
    struct job_task *task;
    restart_clock(place);
    while ((task = next_task(place))) {
        begin_task(place, task);
        pool_run_task(pool, place, task);
        store_relaxed(&carrier->line->running, 0);   /* a figure for people: no order */
        line_count(carrier->line, COUNTER_TASKS_RUN, 1);
        if (budget_is_kept(&pool->budget))
            keep_budget(carrier, cpu_ns);
        carrier_settle(carrier);
        if (carrier->place != place)
            return carrier_wait(carrier);
    }
    return NULL;
}

void *carrier_main(void *arg)
{
    struct carrier *carrier = arg;
    struct job_pool *pool = carrier->pool;
    struct job_arena *arena = pool->root->arena;
    set_up(carrier);
    bool has_cache = cache_attach(arena) == 0;   /* without one it works, more slowly */
    uint64_t cpu_ns = budget_is_kept(&pool->budget) ? thread_cpu_ns() : 0;
    struct pool_place *place = carrier_begin(carrier);
    while (place)
        place = work(carrier, place, &cpu_ns);
    if (has_cache)
        cache_detach(arena);
    stats_part_release(pool->root, pool->shown, carrier->part);
    line_release(pool->root, carrier->line);
    *self() = (struct self){0};
    thread_ends(pool->root);
    return NULL;
}

int pool_spawn(struct job_pool *pool, pthread_t *thread, void *(*function)(void *arg), void *arg)
{
    struct thread_options options = {.affinity = pool->affinity, .affinity_words = pool->affinity_words};
    return thread_start(pool->root, thread, &options, function, arg);
}

int pool_threads_start(struct job_pool *pool)
{
    unsigned count = pool->blocking ? 0 : pool->thread_count;   /* a blocking pool starts them when it is used */
    for (unsigned i = 0; i < count; i++) {
        pool->places[i].pool = pool;
        pool->places[i].index = i;
        pool->places[i].spin_ns = PARK_SPIN_NS;
        pool->places[i].gap = 1;
        pool->places[i].together = 1;
        pool->places[i].mean_ns = RUN_GUESS_NS;
        deque_init(&pool->places[i].deque, pool->places[i].deque_slots, DEQUE_LENGTH, 0);
    }
    unsigned started = 0;
    int err = 0;
    while (err == 0 && started < count) {
        err = carrier_start(pool, &pool->places[started]);
        started += err == 0;
    }
    if (err == 0)
        return 0;
    pool_threads_join(pool);
    return err == -EINVAL || err == -ENOMEM ? err : -EAGAIN;
}

void pool_threads_join(struct job_pool *pool)
{
    store_seq_cst(&pool->is_ending, 1);   /* pairs with load_acquire in next_task and sleep_or_find */
    pool->blocking ? blocking_wake_all(pool) : park_notify_all(&pool->park);
    const struct self *me = self_unless_forked();
    struct stats_line *line = me->line;
    if (line)
        line_wait(line, JOB_WAIT_THREAD_END, pool->root->now_ns());
    carriers_join(pool);
    if (pool->blocking)
        blocking_join(pool);
    if (line)
        line_wake(me->root, line, pool->root->now_ns());
}
