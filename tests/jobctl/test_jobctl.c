/* test_jobctl.c — the real jobctl on real processes: what it says of each state, and that nothing it finds there harms it.
 *
 * Output as JSON is judged by jq, a program of others. JOBCTL and SERVICE are paths that CMake gives.
 */
#include "support/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 1 << 20 };

static char directory[64];

struct service {
    pid_t pid, told;   /* its own number, and the one that it told */
    int input;         /* it ends when this is closed */
};

static struct service service;
static const char *name_inside;   /* of the first worker, or of the channel; NULL: as the service says */

static void start(const char *mode, const char *argument)
{
    int in[2], out[2];
    char text[64] = "";
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    service.pid = fork();
    if (service.pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(SERVICE, SERVICE, mode, argument ? argument : "service", name_inside, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    service.input = in[1];
    size_t len = 0;
    while (len < sizeof text - 1 && !strchr(text, '\n')) {
        ssize_t n = read(out[0], text + len, sizeof text - 1 - len);
        ck_assert_msg(n > 0, "the service ended before it was ready");
        len += (size_t)n;
        text[len] = '\0';
    }
    close(out[0]);
    service.told = atoi(text + strlen("ready "));
}

static void stop(void)
{
    if (service.pid <= 0)
        return;
    close(service.input);
    kill(service.pid, SIGKILL);
    waitpid(service.pid, NULL, 0);
    service.pid = 0;
}

static void set_up(void)
{
    snprintf(directory, sizeof directory, "/tmp/test_jobctl.%*s", 6, "");   /* a run that was killed may have left its own */
    memset(strchr(directory, ' '), 'X', 6);                                 /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chmod(directory, 0755), 0);
}

static void tear_down(void)
{
    char command[128];
    stop();
    snprintf(command, sizeof command, "rm -r %s", directory);
    ck_assert_int_eq(system(command), 0);
}

/* Runs a command line with its output in $directory/out and err; the exit code. */
__attribute__((format(printf, 1, 2))) static int run(const char *format, ...)
{
    char command[1024], line[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    snprintf(line, sizeof line, "cd %s && %s >out 2>err", directory, command);
    int status = system(line);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) < 126, "%s ended with %#x", command, (unsigned)status);
    return WEXITSTATUS(status);
}

static const char *text_of(const char *file)
{
    static char text[OUTPUT_MAX];
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, file);
    FILE *stream = fopen(path, "re");
    ck_assert_ptr_nonnull(stream);
    text[fread(text, 1, sizeof text - 1, stream)] = '\0';
    fclose(stream);
    return text;
}

static bool says(const char *file, const char *what)
{
    return strstr(text_of(file), what) != NULL;
}

/* True when the last output is JSON and jq says true of it. */
static bool holds(const char *filter)
{
    char command[2048];
    snprintf(command, sizeof command, "cd %s && jq -e '%s' out >jq 2>&1", directory, filter);
    int status = system(command);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    ck_assert_msg(code == 0 || code == 1 || code == 4, "jq: %s\n%s", filter, text_of("jq"));
    return code == 0;   /* 1: false or null, 4: what it is about is not there */
}

/* What a thread is about to do takes it a moment: looks until it holds, under check's time-out. What is asserted afterwards of another
 * look, or of another thread, must be in the filter too, unless nothing can change it any more. */
static void until(const char *view, const char *filter)
{
    do
        ck_assert_int_eq(run("%s %s %d --json", JOBCTL, view, (int)service.told), 0);
    while (!holds(filter));
}

static void stat_until(const char *filter)
{
    until("stat", filter);
}

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

START_TEST(names_of_any_bytes_make_valid_json_and_a_harmless_text)
{
    static const char *const names[] = {"\"\\\n\t\x1b[31m", "\xff\xfe\xc0\x80\xed\xa0\x80", "gr\xc3\xbc\xc3\x9f\xe2\x82\xac",
                                        ("\xe2\x80\xae" "desrever"), "1234567890123456789012345678901\xc3\xbc"};
    static const char *const shown[] = {"\\\"\\\\???[31m", "???????", "gr\xc3\xbc\xc3\x9f\xe2\x82\xac", "???desrever",
                                        "1234567890123456789012345678901"};
    for (unsigned i = 0; i < 5; i++) {
        char filter[200];
        start("idle", names[i]);
        ck_assert_int_eq(run("%s stat %d --json", JOBCTL, (int)service.pid), 0);
        snprintf(filter, sizeof filter, ".runtimes[0].name == \"%s\"", shown[i]);
        ck_assert_msg(holds(filter), "%s: %s", filter, text_of("out"));
        ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.pid), 0);
        ck_assert(!says("out", "\x1b") && !says("out", "\xe2\x80\xae"));
        stop();
    }
}
END_TEST

#define WORKER(name) ".runtimes[0].workers[] | select(.name == \"" name "\") | "

START_TEST(workers_are_shown_with_thread_memory_and_queue)
{
    start("workers", NULL);

    until("workers", "[.runtimes[0].workers[].state] == [\"online\", \"online\", \"online\", \"online\"]");
    until("workers", WORKER("sleeps") ".queued_messages == 0 and .messages == 4 and .busy >= 0 and .busy < 1");
    ck_assert(holds(WORKER("sleeps") ".parent == null and .arena == \"own\" and .memory_limit_bytes == 8388608 and "
                    ".memory_used_bytes != null and .queue_limit_messages == 16 and .last_message_ago_s >= 0 and "
                    ".age_s > 0 and .last_message_ns > .opened_ns"));
    ck_assert(holds(WORKER("runs") ".arena == \"shared\" and .memory_limit_bytes == null and "
                    ".queue_limit_messages == 32 and .queue_limit_bytes == 4096"));
    ck_assert(holds("[.runtimes[0].workers[] | .id] == ([.runtimes[0].workers[] | .id] | sort | unique)"));
    ck_assert(holds("[.runtimes[0].workers[] | .tid] | unique | length == 4"));
    ck_assert(holds("(" WORKER("outer") ".id) as $outer | " WORKER("inner") ".parent == $outer"));
}
END_TEST

START_TEST(a_worker_whose_arena_is_not_shown_does_not_pass_for_one_without)
{
    start("hidden", NULL);

    until("workers", WORKER("sleeps") ".state == \"online\" and .arena == \"hidden\" and .memory_limit_bytes == null");
    ck_assert(holds(WORKER("outer") ".arena == \"shared\""));
    ck_assert_int_eq(run("%s workers %d | grep -w sleeps", JOBCTL, (int)service.pid), 0);
    ck_assert_ptr_nonnull(strstr(text_of("out"), " ? "));
    ck_assert_ptr_null(strstr(text_of("out"), "shared"));
    ck_assert_int_eq(run("%s workers %d | grep -w outer", JOBCTL, (int)service.pid), 0);
    ck_assert_ptr_nonnull(strstr(text_of("out"), "shared"));
}
END_TEST

START_TEST(what_waits_for_a_worker_that_hangs_is_counted)
{
    start("workers", NULL);

    until("workers", WORKER("runs") ".queued_messages == 7 and .queued_bytes == 70 and .messages == 1");   /* it was started */
    ck_assert(holds(WORKER("runs") ".last_message_ns > .opened_ns"));
    until("workers", WORKER("runs") ".busy > 0.9");
    until("workers --interval 0.05", "(" WORKER("runs") ".busy > 0.9) and (" WORKER("sleeps") ".busy >= 0 and .busy < 0.5)");
    ck_assert_int_eq(run("%s workers %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "7 of 32"));
    ck_assert(says("out", "8.0 MiB"));
}
END_TEST

START_TEST(a_stuck_worker_is_a_problem)
{
    start("stuck", NULL);

    until("workers", "(" WORKER("runs") ".state == \"stuck\") and (" WORKER("sleeps") ".state == \"online\")");
    ck_assert(holds("(" WORKER("runs") ".tid) as $tid | .problems[] | select(.kind == \"worker_stuck\") | .tid == $tid and "
                    "(.text | contains(\"worker runs\"))"));
}
END_TEST

START_TEST(both_directions_of_a_channel_are_shown)
{
    name_inside = "orders";
    start("channel", NULL);

    until("ports", "[.runtimes[0].queues[] | select(.receiver == \"main\") | .taken] == [2]");
    ck_assert(holds("[.runtimes[0].queues[] | .channel] == [\"orders\", \"orders\"]"));
    ck_assert(holds(".runtimes[0].queues[] | select(.receiver == \"main\") | .tid == (.tid | floor) and .state == \"open\" and "
                    ".waiting_messages == 0 and .last_message_ago_s >= 0 and .limit_messages == 4 and .limit_bytes == 1000"));
    ck_assert(holds(".runtimes[0].queues[] | select(.receiver == null) | .tid == null and .waiting_messages == 4 and "
                    ".waiting_bytes == 40 and .taken == 0 and .last_message_ns == null"));
    ck_assert_int_eq(run("%s ports %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "orders"));
    ck_assert(says("out", "40 B"));
}
END_TEST

#define RPC(name) ".runtimes[0].rpcs[] | select(.name == \"" name "\") | "

START_TEST(calls_are_shown_by_how_they_ended_and_since_when_they_are_open)
{
    name_inside = "asks";
    start("calls", NULL);

    until("calls", "(" RPC("asks") ".late == 1 and .overdue >= 2 and .oldest_s >= 0.05) and (" RPC("answers") ".served == 5)");
    ck_assert(holds(RPC("asks") ".loop == \"main\" and .tid == (.tid | floor) and .open == 2 and .limit_open == 8 and .calls == 5"));
    ck_assert(holds(RPC("asks") ".answered == 1 and .timed_out == 1 and .canceled == 1 and .dead == 0 and .served == 0 and .stray == 0"));
    ck_assert(holds(RPC("asks") ".overdue_after_s == 0.05"));
    ck_assert(holds(RPC("answers") ".served == 5 and .unanswered == 3 and .calls == 0 and .open == 0 and .oldest_ns == null"));
    ck_assert(holds(".pid as $pid | [.problems[] | select(.kind == \"call_overdue\") | .tid == $pid and "
                    "(.text | contains(\"rpc asks: a call has had no answer for\") and contains(\"2 are open\"))] == [true]"));
    ck_assert_int_eq(run("%s calls %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "2 of 8"));
    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "! rpc asks: a call has had no answer"));
    ck_assert_int_eq(run("%s ports %d --json", JOBCTL, (int)service.pid), 0);
    ck_assert(holds(".runtimes[0].queues | length == 2"));
}
END_TEST

#define SUBSCRIBER(policy) ".runtimes[0].topics[] | select(.name == \"prices\") | .subscribers[] | select(.policy == \"" policy "\") | "

START_TEST(topics_are_shown_with_what_became_of_their_posts)
{
    name_inside = "prices";
    start("news", NULL);

    until("topics", "[.runtimes[0].topics[] | select(.name == \"prices\") | .subscribers[].taken] == [2, 2]");
    ck_assert(holds(".runtimes[0].topics[] | select(.name == \"prices\") | .state == \"open\" and .listening == 2 and .posts == 5 and "
                    ".reached == 9 and .dropped == 3 and .refused == 3 and .disconnected == 1"));
    ck_assert(holds(SUBSCRIBER("drop oldest") ".dropped == 3 and .refused == 0 and .waiting_messages == 0 and .waiting_bytes == 0"));
    ck_assert(holds(SUBSCRIBER("refuse") ".dropped == 0 and .refused == 3 and .loop == \"main\" and .last_message_ago_s >= 0"));
    ck_assert(holds(".runtimes[0].topics[] | select(.name == \"over\") | .state == \"ended\" and .listening == 0 and .subscribers == []"));
    ck_assert_int_eq(run("%s topics %d", JOBCTL, (int)service.pid), 0);
    ck_assert(says("out", "SUBSCRIBER TO"));
    ck_assert(says("out", "drop oldest"));
    ck_assert_int_eq(run("%s ports %d", JOBCTL, (int)service.pid), 0);
    ck_assert_str_eq(text_of("out"), "no channels\n");
}
END_TEST

START_TEST(the_longest_name_of_a_topic_is_shown_whole)
{
    static const char longest[] = "prices.of.what.is.traded.in.the.second.hall.of.the.market:total";
    ck_assert_uint_eq(strlen(longest), 63);
    name_inside = longest;
    start("news", NULL);

    until("topics", "[.runtimes[0].topics[] | select(.name | endswith(\"market:total\")) | .subscribers[].taken] == [2, 2]");
    ck_assert_int_eq(run("%s topics %d", JOBCTL, (int)service.pid), 0);
    const char *of_topic = strstr(text_of("out"), longest);
    ck_assert_ptr_nonnull(of_topic);
    ck_assert_ptr_nonnull(strstr(of_topic + 1, longest));   /* and of a subscriber */
}
END_TEST

START_TEST(what_a_subscriber_whose_loop_hangs_has_still_to_hear_is_counted)
{
    name_inside = "prices";
    start("news-wait", NULL);

    ck_assert_int_eq(run("%s topics %d --json", JOBCTL, (int)service.pid), 0);
    ck_assert(holds("[.runtimes[0].topics[] | select(.name == \"prices\") | .subscribers[].waiting_messages] == [2, 2, 2]"));
    ck_assert(holds(SUBSCRIBER("drop oldest") ".waiting_bytes >= 8 and .limit_messages == 2 and .limit_bytes == 5000 and "
                    ".last_message_ns == null and .taken == 0"));
    ck_assert(holds(SUBSCRIBER("disconnect") ".waiting_messages == 2"));
}
END_TEST

START_TEST(a_process_without_workers_channels_calls_or_topics_says_so)
{
    start("idle", NULL);

    ck_assert_int_eq(run("%s workers %d", JOBCTL, (int)service.pid), 0);
    ck_assert_str_eq(text_of("out"), "no workers\n");
    ck_assert_int_eq(run("%s ports %d", JOBCTL, (int)service.pid), 0);
    ck_assert_str_eq(text_of("out"), "no channels\n");
    ck_assert_int_eq(run("%s ports %d --json", JOBCTL, (int)service.pid), 0);
    ck_assert(holds(".runtimes[0].queues == []"));
    ck_assert_int_eq(run("%s calls %d", JOBCTL, (int)service.pid), 0);
    ck_assert_str_eq(text_of("out"), "no calls are made or answered\n");
    ck_assert_int_eq(run("%s topics %d", JOBCTL, (int)service.pid), 0);
    ck_assert_str_eq(text_of("out"), "no topics\n");
    ck_assert_int_eq(run("%s topics %d --json", JOBCTL, (int)service.pid), 0);
    ck_assert(holds(".runtimes[0].topics == []"));
}
END_TEST

START_TEST(names_of_whatever_has_one_of_any_bytes_do_no_harm)
{
    static const char *const names[] = {"\"\\\n\t\x1b[31m", "\xff\xfe\xc0\x80", "%s%n%1000000d", "gr\xc3\xbc\xc3\x9f", " ", "''; rm *"};
    static const char *const modes[] = {"channel", "workers", "calls", "news"};
    static const char *const views[] = {"ports", "workers", "calls", "topics"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        name_inside = names[i];
        start(modes[i % 4], NULL);
        for (unsigned view = 0; view < 2; view++) {
            const char *word = views[view ? i % 4 : 0];
            ck_assert_int_eq(run("%s %s %d --json", JOBCTL, word, (int)service.pid), 0);
            ck_assert(holds(".runtimes | length == 1"));
            ck_assert_int_eq(run("%s %s %d", JOBCTL, word, (int)service.pid), 0);
            ck_assert(!says("out", "\x1b") && !says("out", "\xff"));
        }
        stop();
    }
}
END_TEST

START_TEST(workers_that_come_and_go_while_they_are_read_are_whole_or_left_out)
{
    start("brief", NULL);
    for (unsigned i = 0; i < 30; i++) {
        ck_assert_int_eq(run("%s workers %d --json", JOBCTL, (int)service.pid), 0);
        ck_assert_msg(holds("[.runtimes[0].workers[] | .name == \"worker\" and .parent == null and .id > 0 and "
                            "(.memory_limit_bytes == 1048576 or .memory_limit_bytes == null) and .age_s < 60] | all"),
                      "%s", text_of("out"));
        ck_assert_int_eq(run("%s ports %d --json", JOBCTL, (int)service.pid), 0);
        ck_assert_msg(holds("[.runtimes[0].queues[] | .channel == \"worker\" and .limit_messages == 1024] | all"), "%s", text_of("out"));
    }
}
END_TEST

START_TEST(a_process_that_dies_while_it_is_read_is_shown_or_said_to_be_gone)
{
    for (unsigned i = 0; i < 8; i++) {
        start("workers", NULL);
        pid_t pid = service.pid;
        pid_t killer = fork();
        if (killer == 0) {
            for (volatile unsigned wait = 0; wait < i * 2000000; wait++) {   /* some moment or other */
            }
            kill(pid, SIGKILL);
            _exit(0);
        }
        int code = run("%s %s %d --json", JOBCTL, i % 2 ? "workers" : "ports", (int)pid);
        ck_assert_int_eq(waitpid(killer, NULL, 0), killer);
        ck_assert(code == 0 ? holds(".pid > 0") : code == 1 && text_of("err")[0] != 0);
        stop();
    }
}
END_TEST

static void refused(int code, const char *reason)
{
    ck_assert_int_eq(run("%s stat %d", JOBCTL, (int)service.told), code);
    ck_assert_msg(says("err", reason), "%s", text_of("err"));
    ck_assert_str_eq(text_of("out"), "");
    ck_assert_int_eq(run("%s ps", JOBCTL), 0);
}

START_TEST(a_process_that_is_gone_is_said_to_be)
{
    start("idle", NULL);
    stop();

    refused(1, "no process ");
}
END_TEST

START_TEST(a_zombie_is_said_to_be_one)
{
    start("zombie", NULL);

    refused(1, "has exited, its parent has not waited for it yet");
}
END_TEST

START_TEST(a_process_whose_first_thread_has_ended_is_looked_at_all_the_same)
{
    char filter[120];
#ifdef __SANITIZE_THREAD__
    fprintf(stderr, "not tested: this sanitizer aborts a process whose first thread ends\n");
    return;
#endif
    start("headless", NULL);

    until("stat", ".runtimes[0].name == \"headless\" and .state == \"sleeping\"");
    ck_assert_int_eq(run("%s ps --json", JOBCTL), 0);
    snprintf(filter, sizeof filter, "[.processes[] | select(.pid == %d) | .name] == [\"headless\"]", (int)service.told);
    ck_assert(holds(filter));
}
END_TEST

START_TEST(a_process_without_a_segment_is_said_to_have_none)
{
    start("none", NULL);

    refused(1, "has no statistics segment");
}
END_TEST

START_TEST(a_forked_child_does_not_pass_for_its_parent)
{
    char filter[100];
    start("fork", NULL);
    ck_assert_int_ne(service.told, service.pid);

    refused(1, "a segment is its parent's");
    ck_assert_int_eq(run("%s stat %d --json", JOBCTL, (int)service.pid), 0);
    ck_assert(holds(".runtimes[0].name == \"parent\""));
    ck_assert_int_eq(run("%s ps --json", JOBCTL), 0);
    snprintf(filter, sizeof filter, "[.processes[] | select(.pid == %d)] == []", (int)service.told);
    ck_assert(holds(filter));
    kill(service.told, SIGKILL);
}
END_TEST

START_TEST(the_kernel_decides_who_may_look)
{
    start("untraceable", NULL);
    if (geteuid() != 0) {
        refused(1, "not permitted to look at process");
        return;
    }
    ck_assert_int_eq(run("cp %s ./jobctl", JOBCTL), 0);

    int code = run("setpriv --reuid=65534 --regid=65534 --clear-groups ./jobctl stat %d", (int)service.pid);

    ck_assert_int_eq(code, 1);
    ck_assert_msg(says("err", "not permitted to look at process"), "%s", text_of("err"));
    code = run("setpriv --reuid=65534 --regid=65534 --clear-groups ./jobctl ps --json");
    ck_assert_int_eq(code, 0);
    ck_assert(holds(".denied >= 1"));
}
END_TEST

START_TEST(another_layout_is_said_to_be_one)
{
    start("v2", NULL);

    refused(1, "layout 2.7, this jobctl reads 1.x");
}
END_TEST

START_TEST(a_segment_whose_descriptor_is_closed_is_said_to_be)
{
    start("closed", NULL);

    refused(1, "has closed the descriptor");
}
END_TEST

START_TEST(a_segment_that_could_shrink_is_not_looked_at)
{
    start("shrinking", NULL);

    for (unsigned i = 0; i < 5; i++)
        refused(1, "not sealed");
}
END_TEST

START_TEST(random_segments_are_shown_or_refused_and_the_json_is_valid)
{
    struct random random = fixture_random("random_segments");
    for (unsigned i = 0; i < 10; i++) {
        char seed[32];
        snprintf(seed, sizeof seed, "%u", (unsigned)random_next(&random));
        start("random", seed);
        int code = run("%s stat %d --json", JOBCTL, (int)service.pid);
        ck_assert_msg(code == 0 || code == 1, "seed %s", seed);
        if (code == 0)
            ck_assert(holds(".runtimes | length >= 0"));
        ck_assert_int_le(run("%s stat %d", JOBCTL, (int)service.pid), 1);
        stop();
    }
}
END_TEST

START_TEST(wrong_usage_is_told_apart_from_a_wrong_target)
{
    static const char *const wrong[] = {"", "workers", "ports x", "ports 1 --interval 1", "calls", "stat",
                                        "topics 1 --interval 1", "stat x",
                                        "stat 0", "stat -1", "stat 1 2", "ps 1", "top", "ps --interval 1",
                                        "stat 1 --interval 0", "stat 1 --interval nan", "--what", "stat 99999999999999999999"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_msg(run("%s %s", JOBCTL, wrong[i]) == 2, "jobctl %s", wrong[i]);
        ck_assert_msg(says("err", "usage: jobctl"), "jobctl %s", wrong[i]);
    }
    ck_assert_int_eq(run("%s --help", JOBCTL), 0);
    ck_assert(says("out", "--interval SECONDS"));
    ck_assert_int_eq(run("%s --version", JOBCTL), 0);
    ck_assert(says("out", job_version()));
    ck_assert_int_eq(run("sh -c \"%s --help >/dev/full\"", JOBCTL), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobctl");
    TCase *states = tcase_create("states"), *strangers = tcase_create("strangers");
    tcase_add_checked_fixture(states, set_up, tear_down);
    tcase_add_checked_fixture(strangers, set_up, tear_down);
    tcase_set_timeout(states, 20);
    tcase_set_timeout(strangers, 20);
    tcase_add_test(states, an_idle_loop_waits_for_its_kernel_and_pool_threads_for_work);
    tcase_add_test(states, the_text_says_the_same);
    tcase_add_test(states, arenas_say_what_they_hold);
    tcase_add_test(states, features_that_were_turned_off_are_told);
    tcase_add_test(states, a_loop_whose_callback_never_returns_is_named_with_its_function);
    tcase_add_test(states, a_loop_that_waits_for_a_mutex_for_ever_is_named_with_its_function);
    tcase_add_test(states, a_long_task_is_named_and_its_loop_is_not_blamed);
    tcase_add_test(states, tasks_that_wait_for_a_thread_are_counted);
    tcase_add_test(states, each_pool_says_what_waits_for_it);
    tcase_add_test(states, a_pool_in_which_tasks_wait_and_none_begins_is_a_problem);
    tcase_add_test(states, a_done_callback_is_shown_as_the_users_function);
    tcase_add_test(states, a_done_callback_on_a_pool_thread_is_shown_too);
    tcase_add_test(states, a_loop_that_closes_a_pool_waits_for_its_threads);
    tcase_add_test(states, a_loop_that_cannot_be_closed_waits_for_what_is_in_flight);
    tcase_add_test(states, a_stopped_process_is_read_as_any_other);
    tcase_add_test(states, rates_are_of_the_interval);
    tcase_add_test(states, two_runtimes_of_one_process_are_both_shown);
    tcase_add_test(states, ps_has_a_line_for_each_process);
    tcase_add_test(states, workers_are_shown_with_thread_memory_and_queue);
    tcase_add_test(states, a_worker_whose_arena_is_not_shown_does_not_pass_for_one_without);
    tcase_add_test(states, what_waits_for_a_worker_that_hangs_is_counted);
    tcase_add_test(states, a_stuck_worker_is_a_problem);
    tcase_add_test(states, both_directions_of_a_channel_are_shown);
    tcase_add_test(states, calls_are_shown_by_how_they_ended_and_since_when_they_are_open);
    tcase_add_test(states, topics_are_shown_with_what_became_of_their_posts);
    tcase_add_test(states, the_longest_name_of_a_topic_is_shown_whole);
    tcase_add_test(states, what_a_subscriber_whose_loop_hangs_has_still_to_hear_is_counted);
    tcase_add_test(states, a_process_without_workers_channels_calls_or_topics_says_so);
    tcase_add_test(strangers, names_of_whatever_has_one_of_any_bytes_do_no_harm);
    tcase_add_test(strangers, workers_that_come_and_go_while_they_are_read_are_whole_or_left_out);
    tcase_add_test(strangers, a_process_that_dies_while_it_is_read_is_shown_or_said_to_be_gone);
    tcase_add_test(strangers, names_of_any_bytes_make_valid_json_and_a_harmless_text);
    tcase_add_test(strangers, a_process_that_is_gone_is_said_to_be);
    tcase_add_test(strangers, a_zombie_is_said_to_be_one);
    tcase_add_test(strangers, a_process_whose_first_thread_has_ended_is_looked_at_all_the_same);
    tcase_add_test(strangers, a_process_without_a_segment_is_said_to_have_none);
    tcase_add_test(strangers, a_forked_child_does_not_pass_for_its_parent);
    tcase_add_test(strangers, the_kernel_decides_who_may_look);
    tcase_add_test(strangers, another_layout_is_said_to_be_one);
    tcase_add_test(strangers, a_segment_whose_descriptor_is_closed_is_said_to_be);
    tcase_add_test(strangers, a_segment_that_could_shrink_is_not_looked_at);
    tcase_add_test(strangers, random_segments_are_shown_or_refused_and_the_json_is_valid);
    tcase_add_test(strangers, wrong_usage_is_told_apart_from_a_wrong_target);
    suite_add_tcase(suite, states);
    suite_add_tcase(suite, strangers);
    return fixture_run(suite);
}
