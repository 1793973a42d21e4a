/* main.c — runs every body: on fixed seeds without faults, and above the fake kernel on many seeds with faults.
 *
 * SEED= runs one seed, BODY= one body, ROUNDS= so many seeds; `--outcomes` prints what the fault-free runs saw.
 */
#include "base/features.h"
#include "conform/conform.h"

#include <signal.h>
#include <stdarg.h>

enum { OUTCOME_SEEDS = 6, RING_ROUNDS = 12, FAKE_ROUNDS = 2000, DESCRIPTORS_MAX = 256 };

static const struct body {
    const char *name;
    void (*run)(struct scenario *scenario);
} bodies[] = {
    {"echo", echo},
    {"echo_with_tasks", echo_with_tasks},
    {"echo_with_pauses", echo_with_pauses},
    {"echo_with_moves", echo_with_moves},
    {"cancel_races", cancel_races},
    {"half_close", half_close},
    {"peer_gone", peer_gone},
    {"close_in_each_state", close_in_each_state},
    {"tasks_end_before_closed", tasks_end_before_closed},
    {"accepting", accepting},
    {"closing_a_listener", closing_a_listener},
    {"out_of_descriptors", out_of_descriptors},
    {"starving", starving},
    {"timers", timers},
    {"signals", signals},
    {"many_small_ops", many_small_ops},
    {"files", files},
    {"flows", flows},
};

enum { BODIES = sizeof bodies / sizeof bodies[0] };

static bool prints_outcomes;

void tell(struct scenario *scenario, const char *format, ...)
{
    size_t len = strlen(scenario->outcome);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(scenario->outcome + len, OUTCOME_MAX - len, format, arguments);
    va_end(arguments);
}

static void pump(struct job_timer *timer)
{
    struct scenario *scenario = timer->handle.data;
    /* Else it hangs. In real time others may have had no CPU meanwhile: there check's time-out is the watchdog. */
    must(scenario, ++scenario->pumps < PUMPS_MAX || !WORLD_IS_FAKE);
    if (!scenario->act(scenario))
        return job_timer_close(timer, NULL);
    uint64_t pauses[] = {0, 0, 1000, 50000};
    must_ok(scenario, job_timer_start(timer, pauses[below(scenario, 4)]));
}

void run(struct scenario *scenario, void *state, bool (*act)(struct scenario *scenario))
{
    scenario->state = state;
    scenario->act = act;
    scenario->pump.handle.data = scenario;
    if (act) {
        must_ok(scenario, job_timer_open(scenario->loop, &scenario->pump, pump));
        must_ok(scenario, job_timer_start(&scenario->pump, 0));
    }
    int rc = job_loop_run(scenario->loop);
    must(scenario, rc == 0);
}

/* How many descriptors are open, by one system call. */
static int open_descriptors(void)
{
    struct pollfd all[DESCRIPTORS_MAX];
    int count = 0;
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        all[fd] = (struct pollfd){.fd = fd};
    ck_assert_int_ge(poll(all, DESCRIPTORS_MAX, 0), 0);
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++)
        count += (all[fd].revents & POLLNVAL) == 0;
    return count;
}

static void open_loop(struct scenario *scenario)
{
    struct job_loop_options options = {
        .entries = 4U << below(scenario, 4),
        .receive_slots = 4U << below(scenario, 3),
        .receive_slot_bytes = 4096,
        .no_spin = true,
    };
    must_ok(scenario, job_loop_open(scenario->runtime, &scenario->loop, &options));
}

static void check_ledger(struct scenario *scenario, int descriptors)
{
    struct job_loop_stats stats;
    job_loop_stats(scenario->loop, &stats);
    must(scenario, stats.handles == 0);
    must(scenario, stats.ops == 0);
    must_ok(scenario, job_loop_close(&scenario->loop, 0));
    struct job_counts counts;
    job_runtime_counts(scenario->runtime, &counts);
    must(scenario, counts.bufs == 0);
    must(scenario, counts.tasks == 0);
    must(scenario, counts.handles == 0);
    must(scenario, counts.fds == 0);
    must(scenario, open_descriptors() == descriptors);
}

static void run_scenario(const struct body *body, struct job_runtime *runtime, struct job_pool *pool, uint64_t seed,
                         bool is_faulty)
{
    struct scenario scenario = {
        .body = body->name, .seed = seed, .dice = {seed}, .runtime = runtime, .pool = pool, .is_faulty = is_faulty};
    (void)random_next(&scenario.dice);
    scenario.may_break = is_faulty && seed % 4 == 0;
#ifdef TEST_FAKE_KERNEL
    struct fake_options options = {.seed = seed};
    if (is_faulty)
        options.faults = fake_faults_draw(seed, scenario.may_break);
    world_begin(&options);
#endif
    int descriptors = open_descriptors();
    open_loop(&scenario);
    body->run(&scenario);
    check_ledger(&scenario, descriptors);
    if (prints_outcomes)
        printf("%s %llu:%s\n", body->name, (unsigned long long)seed, scenario.outcome);
}

static void run_body(const struct body *body, uint64_t seed, unsigned rounds, bool is_faulty)
{
    struct job_runtime *runtime = NULL;
    struct job_pool *pool = NULL;
    struct job_runtime_options options = {
        .name = "conform", .log = prints_outcomes ? NULL : fixture_log, .no_stats = WORLD_IS_FAKE,
        .memory_limit_bytes = 64U << 20};   /* the default is a part of all memory: ASan would shadow it for each body */
    struct job_pool_options pool_options = {.workers = WORLD_IS_FAKE ? JOB_POOL_INLINE : 2, .queue_limit = 4};
    ck_assert_ok(job_runtime_open(&runtime, &options));
#ifdef TEST_FAKE_KERNEL
    world_clock(runtime);
#endif
    ck_assert_ok(job_pool_open(runtime, &pool, &pool_options));
    struct root *root = (struct root *)runtime;   /* its first member */
    struct job_pool *calls = root->calls;
    root->calls = WORLD_IS_FAKE ? pool : calls;   /* inline: no other thread takes part */
    for (unsigned i = 0; i < rounds; i++)
        run_scenario(body, runtime, pool, seed + i, is_faulty);
    root->calls = calls;
    ck_assert_int_eq(job_pool_close(&pool), 0);
    fixture_close(runtime);
}

static unsigned rounds_wanted(unsigned otherwise)
{
    unsigned rounds = fixture_rounds("ROUNDS", getenv("SEED") ? 1 : otherwise);
    return getenv("SEED") ? rounds : rounds / BODIES + 1;
}

START_TEST(without_faults)
{
    struct random dice = fixture_random(bodies[_i].name);
    unsigned rounds = getenv("SEED") ? 1 : WORLD_IS_FAKE ? 40 : RING_ROUNDS;
    run_body(&bodies[_i], dice.state, rounds, false);
}
END_TEST

START_TEST(whatever_the_kernel_does)
{
    struct random dice = fixture_random(bodies[_i].name);
    run_body(&bodies[_i], dice.state, rounds_wanted(FAKE_ROUNDS), true);
}
END_TEST

#ifdef TEST_FAKE_KERNEL
/* A fault that never comes tests nothing: each kind, over all bodies. */
START_TEST(every_kind_of_fault_happens)
{
    static const char *const names[] = {"enters", "sleeps", "submitted", "completed", "shortened", "late", "reordered",
                                        "cancels", "cancels_lost", "failed", "transients", "starved", "ended",
                                        "unfilled", "uncapped", "partial", "interrupted", "refused", "overflowed",
                                        "stale"};
    enum { COUNTS = sizeof names / sizeof names[0] };
    _Static_assert(sizeof(struct fake_counts) == COUNTS * sizeof(uint64_t), "each has a name");
    uint64_t sums[COUNTS] = {0};
    for (unsigned i = 0; i < BODIES; i++) {
        for (uint64_t seed = 1; seed <= 24; seed++) {
            run_body(&bodies[i], seed, 1, true);
            struct fake_counts counts = fake_kernel_counts();
            const uint64_t *each = (const uint64_t *)&counts;
            for (int n = 0; n < COUNTS; n++)
                sums[n] += each[n];
        }
    }
    struct features features;
    features_init(&features);
    bool is_capped = feature_is_on(&features, FEATURE_RECEIVE_CAP);
    for (int n = 0; n < COUNTS; n++) {
        if (!is_capped && strcmp(names[n], "uncapped") == 0)
            continue;   /* no receive asks for a cap that could be ignored */
        ck_assert_msg(sums[n] >= 20, "%s: only %llu", names[n], (unsigned long long)sums[n]);
    }
}
END_TEST
#endif

START_TEST(outcomes)
{
    prints_outcomes = true;
    run_body(&bodies[_i], 1, OUTCOME_SEEDS, false);
    fflush(stdout);
}
END_TEST

static int run_tests(Suite *suite, enum print_output output)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, output);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const char *only = getenv("BODY");
    int first = 0, end = BODIES;
    const int numbers[] = {SIGUSR1, SIGUSR2};
    bool is_for_outcomes = argc > 1 && strcmp(argv[1], "--outcomes") == 0;
    if (job_signals_block(numbers, 2) < 0)
        return EXIT_FAILURE;
    for (int i = 0; only && i < (int)BODIES; i++) {
        if (strcmp(bodies[i].name, only) == 0)
            first = i, end = i + 1;
    }
    Suite *suite = suite_create("conform");
    TCase *tcase = tcase_create("conform");
    tcase_set_timeout(tcase, 300);
    if (is_for_outcomes)
        tcase_add_loop_test(tcase, outcomes, first, end);
    else
        tcase_add_loop_test(tcase, without_faults, first, end);
    if (WORLD_IS_FAKE && !is_for_outcomes)
        tcase_add_loop_test(tcase, whatever_the_kernel_does, first, end);
#ifdef TEST_FAKE_KERNEL
    if (!is_for_outcomes && !only)
        tcase_add_test(tcase, every_kind_of_fault_happens);
#endif
    suite_add_tcase(suite, tcase);
    return run_tests(suite, is_for_outcomes ? CK_SILENT : CK_ENV);
}
