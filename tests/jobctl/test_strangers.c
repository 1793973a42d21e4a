/* test_strangers.c — the real jobctl on what is gone, forbidden, broken or hostile: it says why, and nothing that it finds harms it. */
#include "live.h"

#include <signal.h>
#include <sys/wait.h>

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
    TCase *tcase = live_tcase("strangers");
    tcase_add_test(tcase, names_of_any_bytes_make_valid_json_and_a_harmless_text);
    tcase_add_test(tcase, names_of_whatever_has_one_of_any_bytes_do_no_harm);
    tcase_add_test(tcase, a_process_that_dies_while_it_is_read_is_shown_or_said_to_be_gone);
    tcase_add_test(tcase, a_process_that_is_gone_is_said_to_be);
    tcase_add_test(tcase, a_zombie_is_said_to_be_one);
    tcase_add_test(tcase, a_process_whose_first_thread_has_ended_is_looked_at_all_the_same);
    tcase_add_test(tcase, a_process_without_a_segment_is_said_to_have_none);
    tcase_add_test(tcase, a_forked_child_does_not_pass_for_its_parent);
    tcase_add_test(tcase, the_kernel_decides_who_may_look);
    tcase_add_test(tcase, another_layout_is_said_to_be_one);
    tcase_add_test(tcase, a_segment_whose_descriptor_is_closed_is_said_to_be);
    tcase_add_test(tcase, a_segment_that_could_shrink_is_not_looked_at);
    tcase_add_test(tcase, random_segments_are_shown_or_refused_and_the_json_is_valid);
    tcase_add_test(tcase, wrong_usage_is_told_apart_from_a_wrong_target);
    Suite *suite = suite_create("jobctl/strangers");
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
