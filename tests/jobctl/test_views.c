/* test_views.c — the real jobctl on real processes: what it says of workers, channels, calls and topics. */
#include "live.h"

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

START_TEST(workers_that_come_and_go_while_they_are_read_are_whole_or_left_out)
{
    start("brief", NULL);
    unsigned rounds = FIXTURE_SLOWER > 1 ? 10 : 30;
    for (unsigned i = 0; i < rounds; i++) {
        ck_assert_int_eq(run("%s workers %d --json", JOBCTL, (int)service.pid), 0);
        ck_assert_msg(holds("[.runtimes[0].workers[] | .name == \"worker\" and .parent == null and .id > 0 and "
                            "(.memory_limit_bytes == 1048576 or .memory_limit_bytes == null) and .age_s < 60] | all"),
                      "%s", text_of("out"));
        ck_assert_int_eq(run("%s ports %d --json", JOBCTL, (int)service.pid), 0);
        ck_assert_msg(holds("[.runtimes[0].queues[] | .channel == \"worker\" and .limit_messages == 1024] | all"), "%s", text_of("out"));
    }
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

int main(void)
{
    TCase *tcase = live_tcase("views");
    tcase_add_test(tcase, workers_are_shown_with_thread_memory_and_queue);
    tcase_add_test(tcase, a_worker_whose_arena_is_not_shown_does_not_pass_for_one_without);
    tcase_add_test(tcase, what_waits_for_a_worker_that_hangs_is_counted);
    tcase_add_test(tcase, a_stuck_worker_is_a_problem);
    tcase_add_test(tcase, workers_that_come_and_go_while_they_are_read_are_whole_or_left_out);
    tcase_add_test(tcase, both_directions_of_a_channel_are_shown);
    tcase_add_test(tcase, calls_are_shown_by_how_they_ended_and_since_when_they_are_open);
    tcase_add_test(tcase, topics_are_shown_with_what_became_of_their_posts);
    tcase_add_test(tcase, the_longest_name_of_a_topic_is_shown_whole);
    tcase_add_test(tcase, what_a_subscriber_whose_loop_hangs_has_still_to_hear_is_counted);
    tcase_add_test(tcase, a_process_without_workers_channels_calls_or_topics_says_so);
    Suite *suite = suite_create("jobctl/views");
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
