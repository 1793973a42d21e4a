/* test_rpc.c — calls and answers: one each, with what they carry, and what is refused. */
#include "unit/message/rpcs.h"

START_TEST(a_call_is_answered_once_with_status_and_bytes)
{
    b.then = echo;
    open_both(NULL, NULL);

    ck_assert_ok(ask(&a, 0, "question"));
    ck_assert_uint_eq(callers[0].done, 0);   /* never inside */
    turns(5);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_int_eq(callers[0].status, 7);
    ck_assert_str_eq(callers[0].text, "question");
    ck_assert_uint_eq(stats_of(&a).calls, 1);
    ck_assert_uint_eq(stats_of(&a).answered, 1);
    ck_assert_uint_eq(stats_of(&a).open, 0);
    ck_assert_uint_eq(stats_of(&b).served, 1);
    ck_assert_uint_eq(stats_of(&b).unanswered, 0);
}
END_TEST

static void pass_back(struct side *side, struct job_message *message)
{
    struct job_buf *buf = job_message_take_buf(message, 0);
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(job_rpc_answer(&side->rpc, &message, 0, &(struct job_post){.items = &item, .count = 1}));
    ck_assert_ptr_null(buf);
}

START_TEST(bufs_go_there_and_back_without_a_copy)
{
    struct job_buf *buf = text_buf("moved"), *same = buf;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    b.then = pass_back;
    open_both(NULL, NULL);

    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, &(struct job_post){.items = &item, .count = 1}, 0));
    ck_assert_ptr_null(buf);
    turns(5);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_ptr_eq(callers[0].buf, same);
}
END_TEST

static void pass_all_back(struct side *side, struct job_message *message)
{
    struct job_item items[6];
    struct job_buf *bufs[2] = {job_message_take_buf(message, 0), job_message_take_buf(message, 1)};
    struct job_region *region = job_message_take_region(message, 2);
    struct job_end *end = job_message_take_end(message, 3);
    int fd = job_message_take_fd(message, 4);
    ck_assert(job_buf_is_frozen(bufs[1]) && region && end && fd >= 0);
    items[0] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[0]};
    items[1] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[1]};
    items[2] = (struct job_item){.kind = JOB_ITEM_REGION, .region = region};
    items[3] = (struct job_item){.kind = JOB_ITEM_END, .end = &end};
    items[4] = (struct job_item){.kind = JOB_ITEM_FD, .fd = &fd};
    char bytes[300] = "long";
    ck_assert_ok(job_rpc_answer(&side->rpc, &message, 0, &(struct job_post){bytes, sizeof bytes, items, 5}));
    job_region_release(&region);
}

/* More items than a message has room for inside, and more bytes. */
START_TEST(every_kind_of_item_goes_both_ways)
{
    int descriptors = fixture_descriptors();
    struct job_buf *buf = text_buf("buf"), *view = text_buf("view");
    struct job_region *region = NULL;
    struct job_end *end = NULL, *other = NULL;
    int fd = dup(0);
    b.then = pass_all_back;
    open_both(NULL, NULL);
    ck_assert_ok(job_buf_freeze(view));
    ck_assert_ok(job_region_open(runtime, 64, &region));
    ck_assert_ok(job_channel_open(runtime, &end, &other, NULL));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &buf},       {.kind = JOB_ITEM_BUF, .buf = &view},
                               {.kind = JOB_ITEM_REGION, .region = region}, {.kind = JOB_ITEM_END, .end = &end},
                               {.kind = JOB_ITEM_FD, .fd = &fd}};

    ck_assert_ok(job_rpc_call(&a.rpc, &callers[0].call, &(struct job_post){.items = items, .count = 5}, 0));
    turns(6);

    ck_assert_uint_eq(callers[0].done, 1);
    ck_assert_str_eq(callers[0].text, "long");
    ck_assert_ptr_nonnull(callers[0].buf);
    ck_assert_int_eq(fixture_descriptors(), descriptors);   /* what nobody took went with the answer */
    job_region_release(&region);
    job_end_close(&other);
}
END_TEST

START_TEST(answers_come_in_any_order_each_to_its_call)
{
    open_both(NULL, NULL);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_ok(ask(&a, i, (const char *[]){"zero", "one", "two", "three"}[i]));
    turns(3);
    ck_assert_uint_eq(b.held_count, 4);
    ck_assert_uint_eq(stats_of(&b).unanswered, 4);

    static const unsigned order[] = {2, 0, 3, 1};
    for (unsigned i = 0; i < 4; i++) {
        char text[32];
        snprintf(text, sizeof text, "to %s", (const char *)job_message_bytes(b.held[order[i]], NULL));
        ck_assert_ok(answer(&b, order[i], (int)order[i], text));
        turns(2);
        ck_assert_uint_eq(all_done(), i + 1);
        ck_assert_uint_eq(callers[order[i]].done, 1);
        ck_assert_int_eq(callers[order[i]].status, (int)order[i]);
    }

    ck_assert_str_eq(callers[2].text, "to two");
    ck_assert_str_eq(callers[3].text, "to three");
}
END_TEST

START_TEST(without_a_handler_calls_are_answered_with_ENOSYS)
{
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));
    ck_assert_ok(job_rpc_open(loop, &b.rpc, &ends[1], NULL, &asks_only));
    ck_assert_ok(ask(&a, 0, "question"));
    turns(4);
    ck_assert_int_eq(callers[0].status, -ENOSYS);
    ck_assert(callers[0].has_answer);
}
END_TEST

START_TEST(what_cannot_be_answered_is_refused)
{
    char big[3000] = {0};
    struct job_message *message = NULL, *none = NULL;
    struct job_end *end = NULL, *other = NULL;
    open_both(&(struct job_channel_options){.bytes_max = 2000}, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);
    ck_assert_ok(job_channel_open(runtime, &end, &other, NULL));
    ck_assert_ok(job_end_post(end, &(struct job_post){0}));
    ck_assert_ok(job_end_receive(other, &message, 0));

    ck_assert_int_eq(job_rpc_answer(&b.rpc, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &none, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &message, 0, NULL), -EINVAL);      /* no call */
    ck_assert_int_eq(job_rpc_answer(&a.rpc, &b.held[0], 0, NULL), -EINVAL);    /* not its */
    struct job_post too_big = {.bytes = big, .len = sizeof big};
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &b.held[0], 0, &too_big), -EMSGSIZE);
    ck_assert_int_eq(job_rpc_answer(&b.rpc, &b.held[0], 0, &(struct job_post){.len = 3}), -EINVAL);
    job_message_free(&b.held[0]);   /* ignored, and said so in the log */
    ck_assert_ptr_nonnull(b.held[0]);
    ck_assert_ok(job_rpc_answer(&b.rpc, &b.held[0], 0, NULL));
    ck_assert_ptr_null(b.held[0]);
    turns(2);

    ck_assert_uint_eq(callers[0].done, 1);
    job_message_free(&message);
    job_end_close(&end);
    job_end_close(&other);
}
END_TEST

START_TEST(a_second_answer_by_another_copy_of_the_pointer_is_refused)
{
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);
    b.held[1] = b.held[0];
    ck_assert_ok(answer(&b, 0, 1, "first"));
    ck_assert_int_eq(answer(&b, 1, 2, "second"), -EINVAL);
    turns(2);

    ck_assert_int_eq(callers[0].status, 1);
    ck_assert_uint_eq(stats_of(&a).late, 0);
    ck_assert_uint_eq(stats_of(&b).unanswered, 0);
}
END_TEST

START_TEST(bad_arguments_are_refused_and_change_nothing)
{
    struct job_rpc never = {0};
    struct job_rpc_call without = {0};
    struct job_end *none = NULL;
    struct job_rpc_stats stats;
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_int_eq(job_rpc_open(NULL, &a.rpc, &ends[0], NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, NULL, &ends[0], NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, NULL, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, &none, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, &ends[0], NULL, NULL), -EINVAL);
    struct job_rpc_options many = {.calls_max = 65537};
    ck_assert_int_eq(job_rpc_open(loop, &a.rpc, &ends[0], &many, &events), -EINVAL);
    ck_assert_ptr_nonnull(ends[0]);
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));

    ck_assert_int_eq(job_rpc_call(NULL, &callers[0].call, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&never, &callers[0].call, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&a.rpc, NULL, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&a.rpc, &without, NULL, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_call(&a.rpc, &callers[0].call, &(struct job_post){.len = 1}, 0), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(NULL, NULL, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_rpc_answer(&never, NULL, 0, NULL), -EINVAL);
    job_rpc_close(NULL);
    job_rpc_close(&never);
    job_rpc_stats(&never, &stats);
    ck_assert_uint_eq(stats.calls, 0);
    ck_assert_uint_eq(stats_of(&a).calls, 0);
    job_rpc_stats(&a.rpc, NULL);
}
END_TEST

static void *from_elsewhere(void *arg)
{
    int *errs = arg;
    errs[0] = job_rpc_call(&a.rpc, &callers[1].call, NULL, 0);
    errs[1] = job_rpc_answer(&b.rpc, &b.held[0], 0, NULL);
    job_rpc_cancel(&callers[0].call);
    return NULL;
}

START_TEST(another_thread_is_refused)
{
    pthread_t thread;
    int errs[2];
    open_both(NULL, NULL);
    ck_assert_ok(ask(&a, 0, "question"));
    turns(2);
    ck_assert_int_eq(pthread_create(&thread, NULL, from_elsewhere, errs), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    turns(2);
    ck_assert_int_eq(errs[0], -EPERM);
    ck_assert_int_eq(errs[1], -EPERM);
    ck_assert_uint_eq(all_done(), 0);
}
END_TEST

START_TEST(messages_that_are_no_calls_are_dropped_and_counted)
{
    struct job_counts counts;
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
    ck_assert_ok(job_rpc_open(loop, &a.rpc, &ends[0], NULL, &events));
    struct job_buf *buf = text_buf("lost");
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(job_end_post(ends[1], &(struct job_post){.items = &item, .count = 1}));
    turns(2);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(stats_of(&a).stray, 1);
    ck_assert_uint_eq(counts.dropped_messages, 1);
    ck_assert_uint_eq(counts.bufs, 0);
}
END_TEST

static void keep(struct job_rpc_call *call, int status, struct job_message *message)
{
    (void)status;
    job_message_keep(message);
    call->data = message;
    job_container_of(call, struct caller, call)->done++;
}

START_TEST(an_answer_may_be_kept)
{
    b.then = echo;
    open_both(NULL, NULL);
    callers[0].call.done = keep;
    ck_assert_ok(ask(&a, 0, "kept"));
    turns(3);
    job_rpc_close(&a.rpc);
    turns(3);
    struct job_message *kept = callers[0].call.data;
    ck_assert_str_eq(job_message_bytes(kept, NULL), "kept");
    job_message_free(&kept);
    ck_assert_ptr_null(kept);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rpc");
    TCase *tcase = tcase_create("rpc");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_call_is_answered_once_with_status_and_bytes);
    tcase_add_test(tcase, bufs_go_there_and_back_without_a_copy);
    tcase_add_test(tcase, every_kind_of_item_goes_both_ways);
    tcase_add_test(tcase, answers_come_in_any_order_each_to_its_call);
    tcase_add_test(tcase, without_a_handler_calls_are_answered_with_ENOSYS);
    tcase_add_test(tcase, what_cannot_be_answered_is_refused);
    tcase_add_test(tcase, a_second_answer_by_another_copy_of_the_pointer_is_refused);
    tcase_add_test(tcase, bad_arguments_are_refused_and_change_nothing);
    tcase_add_test(tcase, another_thread_is_refused);
    tcase_add_test(tcase, messages_that_are_no_calls_are_dropped_and_counted);
    tcase_add_test(tcase, an_answer_may_be_kept);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
