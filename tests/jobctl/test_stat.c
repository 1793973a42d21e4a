/* test_stat.c — the real jobctl on real processes: what stat and ps say of loops, tasks, pools and arenas in each of their states. */
#include "live.h"

#include <signal.h>
#include <sys/wait.h>

static void ps_until(const char *filter)
{
    do
        ck_assert_int_eq(run("%s ps --json", JOBCTL), 0);
    while (!holds(filter));
}

#define THREADS ".runtimes[0].threads[] | select(.kind == "

/* "Ready" is said by a callback: it is over, and the pool's two threads have come to rest. */
static void until_idle(void)
{
    stat_until("[" THREADS "\"loop\") | .wait] == [\"kernel\"] and "
               "[" THREADS "\"pool\") | .wait] == [\"no work\", \"no work\"]");
}

START_TEST(an_idle_loop_waits_for_its_kernel_and_pool_threads_for_work)
{
    start("idle", NULL);

    stat_until("[" THREADS "\"loop\") | .doing == \"waits\" and .wait == \"kernel\" and .name == \"main\" and .for_s >= 0 "
               "and .function == null and .kernel.state == \"sleeping\" and .counters.waits >= 1] == [true] and "
               "[" THREADS "\"pool\") | .wait == \"no work\" and .counters.parked >= 1] == [true, true]");
    ck_assert(holds("[" THREADS "\"pool\") | .name] | sort == [\"work/0\", \"work/1\"]"));
    ck_assert(holds(".problems == [] and .stopped == false and .runtimes[0].name == \"service\""));
    ck_assert(holds(".runtimes[0].uptime_s > 0 and .runtimes[0].uptime_s < 1000"));
}
END_TEST

START_TEST(the_text_says_the_same)
{
    start("idle", NULL);
    until_idle();

    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.pid), 0);

    ck_assert(says("out", "waits: kernel"));
    ck_assert(says("out", "waits: no work"));
    ck_assert(says("out", "work/1"));
    ck_assert(says("out", "64 MiB"));
    ck_assert(says("out", "features on"));
}
END_TEST

START_TEST(arenas_say_what_they_hold)
{
    start("idle", NULL);

    stat_until(".runtimes[0].arenas | length == 1 and .[0].name == \"default\" and .[0].limit_bytes == 67108864 and "
               ".[0].held_bytes >= 4 * 16384 and .[0].used_bytes >= .[0].held_bytes and "
               ".[0].committed_bytes >= .[0].used_bytes and .[0].failed == 0");
}
END_TEST

#define ARENA(name) ".runtimes[0] as $runtime | .now_ns as $now | $runtime.arenas[] | select(.name == \"" name "\") | "

START_TEST(an_arena_says_when_it_was_opened_and_what_it_has_refused)
{
    start("narrow", NULL);

    stat_until(ARENA("narrow") ".failed == 2");
    ck_assert(holds(ARENA("narrow") ".limit_bytes == 1048576 and .starved == 0 and .held_bytes == 0"));
    ck_assert(holds(ARENA("narrow") ".used_bytes >= 1000 and .used_bytes < 16384 and .committed_bytes >= 16384"));
    ck_assert(holds(ARENA("narrow") ".opened_ns > $runtime.opened_ns and .opened_ns < $now"));
    ck_assert(holds(ARENA("default") ".held_bytes > 0 and .failed == 0"));
}
END_TEST

START_TEST(features_that_were_turned_off_are_told)
{
    setenv("JOB_DISABLE", "spin,copybreak", 1);
    start("idle", NULL);

    stat_until("[.runtimes[0].features[] | select(.disabled) | .name] | sort == [\"copybreak\", \"spin\"]");
    ck_assert(holds("[.runtimes[0].features[] | select(.on) | .name] | index(\"spin\") == null"));
    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "turned off            spin, copybreak"));
}
END_TEST

/* The limit at which a blocked loop is a problem is 0.1 s, of a task 1 s: the filter waits for it. */
START_TEST(a_loop_whose_callback_never_returns_is_named_with_its_function)
{
    start("loop-spins", NULL);

    stat_until("(.problems | length == 1) and .problems[0].kind == \"loop_blocked\" and .problems[0].tid == .pid and "
               "(.problems[0].text | contains(\"spin_for_ever\") and contains(\"uses the CPU\"))");
    ck_assert(holds("[" THREADS "\"loop\") | .doing == \"runs\" and .function.name == \"spin_for_ever\" and .function.offset == 0 "
                    "and (.function.module | startswith(\"jobctl_service\")) and .for_s >= 0.1 and "
                    ".kernel.state == \"running\"] == [true]"));
    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "! loop main ("));
    ck_assert(says("out", "runs spin_for_ever() in jobctl_service"));
}
END_TEST

START_TEST(a_loop_that_waits_for_a_mutex_for_ever_is_named_with_its_function)
{
    start("loop-locks", NULL);

    stat_until("(.problems | length == 1) and .problems[0].kind == \"loop_blocked\" and "
               "(.problems[0].text | contains(\"lock_for_ever\") and contains(\"sleeping in the kernel\"))");
    ck_assert(holds("[" THREADS "\"loop\") | .doing == \"runs\" and .kernel.state == \"sleeping\"] == [true]"));
}
END_TEST

START_TEST(a_long_task_is_named_and_its_loop_is_not_blamed)
{
    start("task", NULL);

    stat_until("[.problems[] | .kind] == [\"task_long\"] and [" THREADS "\"loop\") | .wait] == [\"kernel\"]");
    ck_assert(holds("[" THREADS "\"pool\") | select(.doing == \"runs\") | .function.name] == [\"task_for_ever\"]"));
    ck_assert(holds("[" THREADS "\"loop\") | .counters.submitted - .counters.tasks_done] == [1]"));
}
END_TEST

START_TEST(tasks_that_wait_for_a_thread_are_counted)
{
    start("tasks", NULL);

    stat_until(".runtimes[0].tasks == {\"in_flight\": 7, \"running\": 2, \"refused\": 0}");
    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "7 in flight, 2 running, 0 refused"));
}
END_TEST

#define POOL(name) ".runtimes[0].pools[] | select(.name == \"" name "\") | "

START_TEST(each_pool_says_what_waits_for_it)
{
    start("pools", NULL);

    stat_until("[" POOL("work") ".running, .waiting, .submitted, .begun, .threads, .queue_limit, .refused] == [2, 5, 7, 2, 2, 8, 0]");
    stat_until("[" POOL("full") ".running == 1 and .begun == 1 and .waiting == .submitted - 1 and .submitted >= 6 and .refused == 1 "
               "and .queue_limit == 4 and .workers == 1 and .shed_target_ns == null] == [true]");
    stat_until("[" POOL("late") ".running, .waiting, .begun, .submitted, .shed_target_ns] == [1, 0, 4, 4, 1000000]");
    stat_until("[" POOL("single") ".running == 1 and .begun == 2 and .waited_s >= 0.02] == [true]");
    ck_assert(holds("[" POOL("full") ".loops[] | .name, .submitted >= 4, .refused] == [\"main\", true, 1]"));
    ck_assert(holds("[" POOL("work") "has(\"begun_rate\")] == [false]"));
    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.told), 0);
    ck_assert(says("out", "LAST HAD WAITED"));
}
END_TEST

START_TEST(a_pool_in_which_tasks_wait_and_none_begins_is_a_problem)
{
    start("pools", NULL);
    stat_until("[" POOL("work") ".running, .begun] == [2, 2] and [" POOL("full") ".running, .begun] == [1, 1] and "
               "[" POOL("late") ".running, .begun] == [1, 4] and [" POOL("single") ".running, .begun] == [1, 2]");

    ck_assert_int_eq(run("%s stat %d --json --interval 0.05", JOBCTL, (int)service.told), 0);

    ck_assert(holds("[.problems[] | select(.kind == \"pool_stands\") | .text | .[:9]] == [\"pool work\", \"pool full\"]"));
    ck_assert(holds("[" POOL("full") ".begun_rate, .wait_s] == [0, null]"));
    ck_assert(holds("[" POOL("late") ".begun_rate, .wait_s] == [0, 0]"));
    ck_assert_int_eq(run("%s stat %d --interval 0.05", JOBCTL, (int)service.told), 0);
    ck_assert(says("out", "stands"));
    ck_assert(says("out", "tasks wait, and none has begun for"));
}
END_TEST

START_TEST(a_done_callback_is_shown_as_the_users_function)
{
    start("done", NULL);

    stat_until("[" THREADS "\"loop\") | .function.name] == [\"done_for_ever\"]");
}
END_TEST

START_TEST(a_done_callback_on_a_pool_thread_is_shown_too)
{
    start("done-alone", NULL);

    stat_until("[" THREADS "\"pool\") | select(.function) | .function.name] == [\"done_for_ever\"]");
}
END_TEST

START_TEST(a_loop_that_closes_a_pool_waits_for_its_threads)
{
    start("close-pool", NULL);

    stat_until("[" THREADS "\"loop\") | .wait == \"thread end\" and .function.name == \"close_pool\"] == [true]");
    stat_until("[.problems[] | select(.kind == \"loop_blocked\") | .text | contains(\"thread end\")] == [true]");
}
END_TEST

START_TEST(a_loop_that_cannot_be_closed_waits_for_what_is_in_flight)
{
    start("drain", NULL);

    stat_until("[" THREADS "\"loop\") | .doing == \"waits\" and .wait == \"drain\" and .for_s >= 0] == [true]");
}
END_TEST

START_TEST(a_stopped_process_is_read_as_any_other)
{
    start("idle", NULL);
    until_idle();   /* a callback that it is stopped in would have been running for long */
    ck_assert_int_eq(kill(service.pid, SIGSTOP), 0);
    ck_assert_int_eq(waitpid(service.pid, NULL, WUNTRACED), service.pid);

    ck_assert_int_eq(run("%s stat %d --json", JOBCTL, (int)service.pid), 0);

    ck_assert(holds(".stopped and .state == \"stopped\" and [.problems[].kind] == [\"stopped\"]"));
    ck_assert(holds("[.runtimes[0].threads[] | .kernel.state == \"stopped\"] | length >= 3 and all"));
}
END_TEST

START_TEST(rates_are_of_the_interval)
{
    start("idle", NULL);
    until_idle();

    ck_assert_int_eq(run("%s stat %d --json --interval 0.05", JOBCTL, (int)service.pid), 0);
    ck_assert(holds(".interval_s >= 0.05 and ([.runtimes[0].threads[] | .rates.turns >= 0] | length >= 3 and all)"));
    ck_assert_int_eq(run("%s stat %d -i 0.05", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "/s"));
}
END_TEST

START_TEST(two_runtimes_of_one_process_are_both_shown)
{
    start("two", NULL);

    stat_until("([.runtimes[].name] | sort == [\"first\", \"second\"]) and "
               "([.runtimes[].threads[] | select(.kind == \"pool\")] | length == 2)");
    ck_assert(holds("[.runtimes[] | select(.name == \"second\") | .threads[].name] == [\"aside\"]"));
    ck_assert(holds("[.runtimes[] | .arenas[0].limit_bytes] | sort == [33554432, 67108864]"));
    ck_assert_int_eq(run("%s ps --json", JOBCTL), 0);
    char filter[200];
    snprintf(filter, sizeof filter, "[.processes[] | select(.pid == %d) | [.name, .loops, .workers]] | sort == "
             "[[\"first\", 1, 2], [\"second\", 1, 0]]", (int)service.pid);
    ck_assert(holds(filter));
}
END_TEST

START_TEST(ps_has_a_line_for_each_process)
{
    char filter[400];
    start("idle", NULL);

    snprintf(filter, sizeof filter,
             "[.processes[] | select(.pid == %d) | .name == \"service\" and .state == \"sleeping\" and .threads >= 4 and "
             ".loops == 1 and .workers == 2 and .memory_limit_bytes == 67108864 and .uptime_s > 0] == [true]",
             (int)service.pid);
    ps_until(filter);
    ck_assert_int_eq(run("%s ps", JOBCTL), 0);
    snprintf(filter, sizeof filter, "%d  service", (int)service.pid);
    ck_assert(says("out", filter));
}
END_TEST

int main(void)
{
    TCase *tcase = live_tcase("stat");
    tcase_add_test(tcase, an_idle_loop_waits_for_its_kernel_and_pool_threads_for_work);
    tcase_add_test(tcase, the_text_says_the_same);
    tcase_add_test(tcase, arenas_say_what_they_hold);
    tcase_add_test(tcase, an_arena_says_when_it_was_opened_and_what_it_has_refused);
    tcase_add_test(tcase, features_that_were_turned_off_are_told);
    tcase_add_test(tcase, a_loop_whose_callback_never_returns_is_named_with_its_function);
    tcase_add_test(tcase, a_loop_that_waits_for_a_mutex_for_ever_is_named_with_its_function);
    tcase_add_test(tcase, a_long_task_is_named_and_its_loop_is_not_blamed);
    tcase_add_test(tcase, tasks_that_wait_for_a_thread_are_counted);
    tcase_add_test(tcase, each_pool_says_what_waits_for_it);
    tcase_add_test(tcase, a_pool_in_which_tasks_wait_and_none_begins_is_a_problem);
    tcase_add_test(tcase, a_done_callback_is_shown_as_the_users_function);
    tcase_add_test(tcase, a_done_callback_on_a_pool_thread_is_shown_too);
    tcase_add_test(tcase, a_loop_that_closes_a_pool_waits_for_its_threads);
    tcase_add_test(tcase, a_loop_that_cannot_be_closed_waits_for_what_is_in_flight);
    tcase_add_test(tcase, a_stopped_process_is_read_as_any_other);
    tcase_add_test(tcase, rates_are_of_the_interval);
    tcase_add_test(tcase, two_runtimes_of_one_process_are_both_shown);
    tcase_add_test(tcase, ps_has_a_line_for_each_process);
    Suite *suite = suite_create("jobctl/stat");
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
