/* test_locks.c — locks by name are not in the library: here they are made of calls, so that what the decisions say of that is true.
 *
 * Who has the lock is the keeper's; a client calls to have it, and the answer is the grant. A second call gives it back, or takes the first
 * one back while that waits. A client whose time-out has passed must do the same: its grant may be on the way. One that dies closes its
 * channel, and that gives back too.
 */
#include <stdatomic.h>

#include "support/fixture.h"

enum { CLIENTS = 5 };

enum wish { ALONE, SHARED, ALONE_OR_NOTHING, BACK };
enum seat_state { IDLE, WAITS, HOLDS };

/* A client as the keeper knows it. */
struct seat {
    struct job_rpc rpc;
    enum seat_state state;
    enum wish wish;
    struct job_message *call;
};

struct client {
    struct job_rpc rpc;
    struct job_rpc_call lock, back;
    unsigned granted, refused, order;   /* order: when it got the lock, from 1 */
    int status;
};

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct seat seats[CLIENTS];
static struct client clients[CLIENTS];
static struct seat *queue[CLIENTS];
static unsigned queued, holders, grants;
static bool is_shared;

static bool may_have(const struct seat *seat)
{
    return holders == 0 || (is_shared && seat->wish == SHARED);
}

/* In the order of the calls: who may not have it keeps all behind him waiting. */
static void grant(void)
{
    while (queued > 0 && may_have(queue[0])) {
        struct seat *seat = queue[0];
        memmove(queue, queue + 1, --queued * sizeof *queue);
        seat->state = HOLDS;
        holders++;
        is_shared = seat->wish == SHARED;
        ck_assert_ok(job_rpc_answer(&seat->rpc, &seat->call, 0, NULL));
    }
}

/* 0, or -EINVAL: it had nothing to give back. */
static int give_back(struct seat *seat, bool is_there)
{
    unsigned at = 0;
    if (seat->state == IDLE)
        return -EINVAL;
    holders -= seat->state == HOLDS;
    while (seat->state == WAITS && queue[at] != seat)
        at++;
    if (seat->state == WAITS)
        memmove(queue + at, queue + at + 1, (--queued - at) * sizeof *queue);
    if (seat->state == WAITS && is_there)
        ck_assert_ok(job_rpc_answer(&seat->rpc, &seat->call, -ECANCELED, NULL));
    seat->state = IDLE;
    grant();
    return 0;
}

static void keeper_hears(struct job_rpc *rpc, struct job_message *call)
{
    struct seat *seat = job_container_of(rpc, struct seat, rpc);
    enum wish wish;
    memcpy(&wish, job_message_bytes(call, NULL), sizeof wish);
    if (wish == BACK) {
        ck_assert_ok(job_rpc_answer(rpc, &call, give_back(seat, true), NULL));
        return;
    }
    seat->wish = wish;
    if (wish == ALONE_OR_NOTHING && (queued > 0 || !may_have(seat))) {
        ck_assert_ok(job_rpc_answer(rpc, &call, -EBUSY, NULL));
        return;
    }
    seat->state = WAITS;
    seat->call = call;
    queue[queued++] = seat;
    grant();
}

/* The client has died, or has gone. */
static void keeper_loses(struct job_rpc *rpc)
{
    (void)give_back(job_container_of(rpc, struct seat, rpc), false);
}

static void lock_answered(struct job_rpc_call *call, int status, struct job_message *answer)
{
    struct client *client = job_container_of(call, struct client, lock);
    (void)answer;
    client->status = status;
    client->granted += status == 0;
    client->refused += status != 0;
    client->order = status == 0 ? ++grants : 0;
}

static void back_answered(struct job_rpc_call *call, int status, struct job_message *answer)
{
    (void)answer;
    job_container_of(call, struct client, back)->status = status;
}

/* All that can happen has happened: the clients' calls, and the answers. */
static void settle(void)
{
    fixture_turns(loop, 20);
}

static void ask(unsigned i, enum wish wish, uint64_t timeout_ns)
{
    struct job_rpc_call *call = wish == BACK ? &clients[i].back : &clients[i].lock;
    struct job_post post = {.bytes = &wish, .len = sizeof wish};
    ck_assert_ok(job_rpc_call(&clients[i].rpc, call, &post, timeout_ns));
    settle();
}

static void setup(void)
{
    static const struct job_rpc_events of_keeper = {.call = keeper_hears, .closed = keeper_loses};
    static const struct job_rpc_events of_client = {.call = NULL};
    memset(seats, 0, sizeof seats);
    memset(clients, 0, sizeof clients);
    queued = holders = grants = 0;
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct job_end *ends[2] = {NULL, NULL};
        ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
        ck_assert_ok(job_rpc_open(loop, &seats[i].rpc, &ends[0], NULL, &of_keeper));
        ck_assert_ok(job_rpc_open(loop, &clients[i].rpc, &ends[1], NULL, &of_client));
        clients[i].lock.done = lock_answered;
        clients[i].back.done = back_answered;
    }
}

static void teardown(void)
{
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_uint_eq(holders, 0);
    fixture_close(runtime);
}

START_TEST(L01_who_asks_first_has_it_first)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        ask(i, ALONE, 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        ck_assert_uint_eq(grants, i + 1);
        ck_assert_uint_eq(clients[i].order, i + 1);
        ask(i, BACK, 0);
    }
    ck_assert_uint_eq(holders, 0);
}
END_TEST

START_TEST(L02_who_would_share_waits_behind_who_will_not)
{
    ask(0, SHARED, 0);
    ask(1, SHARED, 0);
    ask(2, ALONE, 0);
    ask(3, SHARED, 0);
    ask(4, SHARED, 0);
    ck_assert_uint_eq(grants, 2);
    ask(0, BACK, 0);
    ck_assert_uint_eq(grants, 2);
    ask(1, BACK, 0);
    ck_assert(grants == 3 && clients[2].order == 3);
    ask(2, BACK, 0);
    ck_assert(grants == 5 && holders == 2);   /* both at once */
}
END_TEST

START_TEST(L03_who_does_not_want_to_wait_is_told_at_once)
{
    ask(0, ALONE, 0);
    ask(1, ALONE_OR_NOTHING, 0);
    ck_assert_int_eq(clients[1].status, -EBUSY);
    ck_assert_uint_eq(queued, 0);
    ask(0, BACK, 0);
    ask(1, ALONE_OR_NOTHING, 0);
    ck_assert_uint_eq(clients[1].granted, 1);
}
END_TEST

START_TEST(L05_one_that_waits_no_more_is_passed_over_once)
{
    ask(0, ALONE, 0);
    ask(1, ALONE, 0);
    ask(2, ALONE, 1);
    ask(1, BACK, 0);
    ck_assert(clients[1].refused == 1 && queued == 1);
    while (clients[2].refused == 0)           /* 1 ns */
        settle();
    ck_assert_uint_eq(queued, 1);             /* the keeper was not told of the time-out: */
    ask(0, BACK, 0);
    ck_assert(holders == 1 && seats[2].state == HOLDS && clients[2].granted == 0);
    ask(2, BACK, 0);                          /* it has to give back what it will not hear of */
    ck_assert_int_eq(clients[2].status, 0);
    ck_assert_uint_eq(holders, 0);
}
END_TEST

START_TEST(L06_it_is_given_back_once_or_by_the_death_of_who_has_it)
{
    ask(0, ALONE, 0);
    ask(1, ALONE, 0);
    ask(2, ALONE, 0);
    job_rpc_close(&clients[1].rpc);           /* waits */
    job_rpc_close(&clients[0].rpc);           /* has it */
    settle();
    ck_assert(clients[2].granted == 1 && clients[1].granted == 0 && queued == 0);
    ask(2, BACK, 0);
    ck_assert_int_eq(clients[2].status, 0);
    ask(2, BACK, 0);
    ck_assert_int_eq(clients[2].status, -EINVAL);
}
END_TEST

/* The same keeper, and clients that are workers: each on a thread of its own. They take the lock, give up while it may be on its way, and
 * end without giving it back. */
enum { WORKERS = 3, RACES_DEFAULT = 300 };

struct guest {
    struct job_worker worker;
    struct job_rpc rpc;
    struct job_rpc_call lock, back;
    struct random random;
    unsigned races_left, granted, cancelled;
    bool is_over;
};

static struct guest guests[WORKERS];
static atomic_uint inside;      /* who believes to have it */
static atomic_uint granted_all, cancelled_all;

static void ask_again(struct guest *guest);

static void guest_gave_back(struct job_rpc_call *call, int status, struct job_message *answer)
{
    struct guest *guest = job_container_of(call, struct guest, back);
    (void)answer;
    ck_assert(status == 0 || status == -EINVAL);   /* -EINVAL: it was not in the queue any more, nor had it been granted */
    ask_again(guest);
}

static void guest_answered(struct job_rpc_call *call, int status, struct job_message *answer)
{
    struct guest *guest = job_container_of(call, struct guest, lock);
    const enum wish back = BACK;
    (void)answer;
    if (status == 0) {
        guest->granted++;
        ck_assert_uint_eq(atomic_fetch_add(&inside, 1), 0);
        for (uint64_t n = random_below(&guest->random, 50); n > 0; n--)
            job_cpu_relax();
        ck_assert_uint_eq(atomic_fetch_sub(&inside, 1), 1);
    } else {
        ck_assert_int_eq(status, -ECANCELED);
        guest->cancelled++;
    }
    if (guest->is_over)
        return;
    if (guest->races_left == 0 && status == 0) {   /* it dies with the lock */
        guest->is_over = true;
        job_inside_exit(job_inside_current(), 0);
        return;
    }
    /* Also after a cancel: the grant may have been on its way, and the keeper is not told of it. */
    ck_assert_ok(job_rpc_call(&guest->rpc, &guest->back, &(struct job_post){.bytes = &back, .len = sizeof back}, 0));
}

static void ask_again(struct guest *guest)
{
    const enum wish alone = ALONE;
    guest->races_left -= guest->races_left > 0;
    ck_assert_ok(job_rpc_call(&guest->rpc, &guest->lock, &(struct job_post){.bytes = &alone, .len = sizeof alone}, 0));
    if (guest->races_left > 0 && random_below(&guest->random, 2) == 0) {
        for (uint64_t n = random_below(&guest->random, 20000); n > 0; n--)   /* until then it may have been granted */
            job_cpu_relax();
        job_rpc_cancel(&guest->lock);
    }
}

static void guest_main(struct job_inside *job, struct job_message *start)
{
    static const struct job_rpc_events of_guest = {.call = NULL};
    struct guest *guest;
    memcpy(&guest, job_message_bytes(start, NULL), sizeof guest);
    struct job_end *end = job_message_take_end(start, 0);
    guest->lock.done = guest_answered;
    guest->back.done = guest_gave_back;
    ck_assert_ok(job_rpc_open(job_inside_loop(job), &guest->rpc, &end, NULL, &of_guest));
    ask_again(guest);
}

static void guest_exits(struct job_worker *worker, int code)
{
    struct guest *guest = job_container_of(worker, struct guest, worker);
    ck_assert_int_eq(code, 0);
    atomic_fetch_add(&granted_all, guest->granted);
    atomic_fetch_add(&cancelled_all, guest->cancelled);
}

START_TEST(L05_L06_among_threads_one_has_it_whoever_gives_up_and_the_dead_give_it_back)
{
    static const struct job_rpc_events of_keeper = {.call = keeper_hears, .closed = keeper_loses};
    static const struct job_worker_events of_workers = {.exit = guest_exits};
    struct random random = fixture_random("locks");
    unsigned races = fixture_rounds("RACES", RACES_DEFAULT);
    for (unsigned i = 0; i < CLIENTS; i++) {   /* the seats are for others */
        job_rpc_close(&seats[i].rpc);
        job_rpc_close(&clients[i].rpc);
    }
    ck_assert_int_eq(job_loop_run(loop), 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct job_end *ends[2] = {NULL, NULL};
        struct guest *guest = &guests[i];
        *guest = (struct guest){.random = {random_next(&random)}, .races_left = races};
        ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
        ck_assert_ok(job_rpc_open(loop, &seats[i].rpc, &ends[0], NULL, &of_keeper));
        struct job_item item = {.kind = JOB_ITEM_END, .end = &ends[1]};
        struct job_worker_options options = {.start = {&guest, sizeof guest, &item, 1}};
        ck_assert_ok(job_worker_open(loop, &guest->worker, guest_main, &options, &of_workers));
    }
    ck_assert_int_eq(job_loop_run(loop), 0);   /* until all have died: each can only do so with the lock */
    ck_assert_uint_eq(holders, 0);
    ck_assert_uint_eq(queued, 0);
    ck_assert_uint_ge(atomic_load(&granted_all), WORKERS);
    ck_assert_uint_gt(atomic_load(&cancelled_all), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows/locks");
    TCase *tcase = tcase_create("locks");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, L01_who_asks_first_has_it_first);
    tcase_add_test(tcase, L02_who_would_share_waits_behind_who_will_not);
    tcase_add_test(tcase, L03_who_does_not_want_to_wait_is_told_at_once);
    tcase_add_test(tcase, L05_one_that_waits_no_more_is_passed_over_once);
    tcase_add_test(tcase, L06_it_is_given_back_once_or_by_the_death_of_who_has_it);
    tcase_add_test(tcase, L05_L06_among_threads_one_has_it_whoever_gives_up_and_the_dead_give_it_back);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
