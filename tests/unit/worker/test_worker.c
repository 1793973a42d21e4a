/* test_worker.c — the life of a worker as its parent sees it: events in order, exit codes, failures, and reaching it by its id. */
#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "base/root.h"
#include "workers.h"

static void says_and_listens(struct job_inside *inside, struct job_message *start)
{
    listens(inside, start);
    post_value(inside, 0);
}

START_TEST(W02_online_comes_once_and_before_the_first_message)
{
    unsigned rounds = fixture_rounds("SPAWNS", 1000);
    for (unsigned i = 0; i < rounds; i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, posts_two, NULL);
        run_to_end(&w);
        ck_assert_uint_eq(w.online, 1);
        ck_assert_uint_eq(w.messages_at_online, 0);
        ck_assert_uint_eq(w.messages, 2);
        ck_assert_uint_eq(w.messages_at_exit, 2);
        ck_assert_int_eq(w.code, 0);
    }
}
END_TEST

START_TEST(W05_exit_ends_only_the_worker_and_its_code_arrives)
{
    static const int codes[] = {0, 1, 7, 42, 255};
    for (unsigned i = 0; i < 5; i++) {
        memset(&w, 0, sizeof w);
        exit_with = codes[i];
        open_worker(&w, exits, NULL);
        run_to_end(&w);
        ck_assert_int_eq(w.code, codes[i]);
        ck_assert_uint_eq(w.messages_at_exit, 1);
        ck_assert_uint_eq(w.errors, 0);
    }
}
END_TEST

static void fails(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    listens(inside, NULL);
    job_inside_fail(inside, -EDOM, "the sum is wrong");
    job_inside_fail(inside, -ERANGE, "again");
}

static struct job_timer late;

static void fails_late(struct job_timer *timer)
{
    (void)timer;
    job_inside_fail(job_inside_current(), -EDOM, "the sum is wrong");
}

static void fails_from_a_timer(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &late, fails_late));
    ck_assert_ok(job_timer_start(&late, 100000));
}

START_TEST(W06_a_failure_is_told_with_its_text_and_then_exit_1)
{
    job_worker_main_fn *const mains[] = {fails, fails_from_a_timer};
    for (unsigned i = 0; i < 2; i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, mains[i], NULL);
        run_to_end(&w);
        ck_assert_uint_eq(w.errors, 1);
        ck_assert_int_eq(w.err, -EDOM);
        ck_assert_str_eq(w.text, "the sum is wrong");
        ck_assert_int_eq(w.code, 1);
    }
}
END_TEST

START_TEST(W07_a_failure_that_nobody_listens_to_fails_the_parent)
{
    struct job_runtime *quiet = NULL;
    struct job_loop *parent = NULL;
    struct job_worker worker;
    ck_assert_ok(job_runtime_open(&quiet, NULL));   /* it says so in the log */
    ck_assert_ok(job_loop_open(quiet, &parent, NULL));
    ck_assert_ok(job_worker_open(parent, &worker, fails, NULL, NULL));
    ck_assert_int_eq(job_loop_run(parent), -EDOM);
    ck_assert_int_eq(job_loop_run(parent), 0);
    ck_assert_ok(job_loop_close(&parent, 0));
    fixture_close(quiet);
}
END_TEST

static void fails_otherwise(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    job_inside_fail(inside, -ERANGE, "out of range");
}

static void open_and_await_its_end(struct job_runtime *from, struct job_loop *parent, struct job_worker *worker,
                                   job_worker_main_fn *main)
{
    ck_assert_ok(job_worker_open(parent, worker, main, NULL, NULL));
    while (job_worker_list(from, NULL, 0) > 0)
        sched_yield();
}

/* Both have said it before the parent's loop runs, so one turn tells both. */
START_TEST(W07_of_two_failures_that_nobody_listens_to_the_first_fails_the_parent)
{
    struct job_runtime *quiet = NULL;
    struct job_loop *parent = NULL;
    struct job_worker workers[2];
    ck_assert_ok(job_runtime_open(&quiet, NULL));
    ck_assert_ok(job_loop_open(quiet, &parent, NULL));
    open_and_await_its_end(quiet, parent, &workers[0], fails);
    open_and_await_its_end(quiet, parent, &workers[1], fails_otherwise);
    ck_assert_int_eq(job_loop_run(parent), -EDOM);
    ck_assert_int_eq(job_loop_run(parent), 0);
    ck_assert_ok(job_loop_close(&parent, 0));
    fixture_close(quiet);
}
END_TEST

static struct job_worker unheard;

static void nests_one_that_fails(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    struct job_worker_options options = {.name = "inner"};
    ck_assert_ok(job_worker_open(job_inside_loop(inside), &unheard, fails, &options, NULL));
}

START_TEST(W07_what_a_worker_of_a_worker_fails_of_is_told_above_when_nobody_listens)
{
    struct job_runtime *quiet = NULL;
    struct job_loop *parent = NULL;
    ck_assert_ok(job_runtime_open(&quiet, NULL));   /* it says so in the log */
    ck_assert_ok(job_loop_open(quiet, &parent, NULL));
    ck_assert_ok(job_worker_open(parent, &w.worker, nests_one_that_fails, NULL, &events));
    ck_assert_int_eq(job_loop_run(parent), 0);
    ck_assert_uint_eq(w.errors, 1);
    ck_assert_int_eq(w.err, -EDOM);
    ck_assert_msg(strstr(w.text, "inner") && strstr(w.text, "the sum is wrong"), "%s", w.text);
    ck_assert_int_eq(w.code, 1);
    ck_assert_ok(job_loop_close(&parent, 0));
    fixture_close(quiet);
}
END_TEST

static void hears_or_fails(struct job_inside *inside, struct job_message *message)
{
    size_t len;
    (void)job_message_bytes(message, &len);
    if (len == 1)
        job_inside_fail(inside, -EDOM, "one byte");
    else
        hears(inside, message);
}

static const struct job_inside_events frail = {.message = hears_or_fails};

static void listens_frailly(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &frail));
}

static struct job_message *kept;

static void frees_and_keeps(struct job_inside *inside, struct job_message *start)
{
    struct job_message *once = start, *twice = start;
    (void)inside;
    job_message_free(&once);   /* is refused, and logged: it is lent */
    ck_assert_ptr_eq(once, start);
    job_message_keep(start);
    job_message_keep(start);
    job_message_free(&twice);
    ck_assert_ptr_null(twice);
}

static void keeps(struct job_inside *inside, struct job_message *start)
{
    (void)inside;
    job_message_keep(start);
    kept = start;
}

START_TEST(the_start_message_is_lent_and_can_be_kept)
{
    struct job_buf *buf = NULL;
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    struct job_worker_options options = {.start = {.bytes = "begin", .len = 5, .items = &item, .count = 1}};
    job_worker_main_fn *const mains[] = {frees_and_keeps, keeps};
    for (unsigned i = 0; i < 2; i++) {
        memset(&w, 0, sizeof w);
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        open_worker(&w, mains[i], &options);
        run_to_end(&w);
        ck_assert_int_eq(w.code, 0);
    }
    size_t len;
    ck_assert_mem_eq(job_message_bytes(kept, &len), "begin", 5);
    ck_assert_uint_eq(len, 5);
    job_message_free(&kept);   /* the runtime's close finds nothing left */
}
END_TEST

static struct told three[3];

static void one_has_died(struct job_worker *worker, int code)
{
    on_exit_code(worker, code);
    if (worker != &three[1].worker)
        return;
    for (unsigned i = 0; i < 3; i += 2) {
        uint64_t value = 10 * i;
        ck_assert_ok(job_worker_post(&three[i].worker, &(struct job_post){.bytes = &value, .len = sizeof value}));
    }
}

START_TEST(W08_a_failing_callback_ends_its_worker_alone)
{
    struct job_worker_events some = events;
    some.exit = one_has_died;
    memset(three, 0, sizeof three);
    for (unsigned i = 0; i < 3; i++) {
        three[i].then = stop_it;
        ck_assert_ok(job_worker_open(loop, &three[i].worker, listens_frailly, NULL, &some));
    }
    ck_assert_ok(job_worker_post(&three[1].worker, &(struct job_post){.bytes = "x", .len = 1}));
    ck_assert_int_eq(job_loop_run(loop), 0);
    ck_assert_uint_eq(three[1].errors, 1);
    ck_assert_uint_eq(three[0].value, 1);
    ck_assert_uint_eq(three[2].value, 21);
    ck_assert_uint_eq(three[0].errors + three[2].errors, 0);
}
END_TEST

START_TEST(W14_ids_are_unique_and_never_used_again)
{
    uint64_t last = 0;
    struct job_worker_stats stats;
    for (unsigned i = 0; i < fixture_rounds("IDS", 200); i++) {
        memset(&w, 0, sizeof w);
        open_worker(&w, ends_at_once, NULL);
        uint64_t id = job_worker_id(&w.worker);
        ck_assert_uint_gt(id, last);
        last = id;
        run_to_end(&w);
        ck_assert_int_eq(job_worker_stats(runtime, id, &stats), -ESRCH);
        ck_assert_int_eq(job_worker_post_to(runtime, id, &(struct job_post){0}), -ESRCH);
    }
    ck_assert_int_eq(job_worker_stats(runtime, 0, &stats), -ESRCH);
}
END_TEST

static void posts_to_itself(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    uint64_t err = (uint64_t)-job_worker_post_to(runtime, job_inside_id(inside), &(struct job_post){0});
    post_value(inside, err);
}

START_TEST(W34_any_thread_posts_to_a_worker_by_its_id)
{
    uint64_t value = 41;
    open_worker(&w, listens, NULL);
    w.then = stop_it;
    struct job_post post = {.bytes = &value, .len = sizeof value};
    ck_assert_ok(job_worker_post_to(runtime, job_worker_id(&w.worker), &post));
    run_to_end(&w);
    ck_assert_uint_eq(w.value, 42);
    memset(&w, 0, sizeof w);
    open_worker(&w, posts_to_itself, NULL);
    run_to_end(&w);
    ck_assert_uint_eq(w.value, EINVAL);
    ck_assert_int_eq(job_worker_post_to(runtime, 1000000, &post), -ESRCH);
    ck_assert_int_eq(job_worker_post_to(NULL, 1, &post), -EINVAL);
}
END_TEST

static struct job_rpc served;                    /* the worker's */
static struct job_rpc asking;
static struct job_rpc_call asked[2];
static int statuses[2];
static unsigned dones;
static atomic_uint handled;

static void on_asked(struct job_rpc *rpc, struct job_message *call)
{
    size_t len;
    job_message_bytes(call, &len);
    handled++;
    if (len > 0)
        job_inside_exit(job_inside_current(), 3);   /* without an answer */
    else
        ck_assert_ok(job_rpc_answer(rpc, &call, -EIO, NULL));
}

static const struct job_rpc_events serving = {.call = on_asked};

static void gets_an_end(struct job_inside *inside, struct job_message *message)
{
    struct job_end *end = job_message_take_end(message, 0);
    ck_assert_ok(job_rpc_open(job_inside_loop(inside), &served, &end, NULL, &serving));
}

static const struct job_inside_events getting = {.message = gets_an_end};

static void waits_for_an_end(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &getting));
}

static void on_answered(struct job_rpc_call *call, int status, struct job_message *answer)
{
    unsigned index = (unsigned)(call - asked);
    ck_assert((answer != NULL) == (index == 0));
    statuses[index] = status;
    dones++;
    if (index == 0) {
        ck_assert_uint_eq(handled, 1);   /* its handler has run, and has failed */
        ck_assert_ok(job_rpc_call(&asking, &asked[1], &(struct job_post){.bytes = "x", .len = 1}, 0));
    }
}

static const struct job_rpc_events asks = {0};

/* The other errors: -EINVAL and -ESRCH are job_worker_post_to()'s, -ETIMEDOUT and -ENOSYS are seen in test_rpc.c. */
START_TEST(W34_a_call_to_a_worker_by_its_id_ends_when_its_handler_has_run_or_the_worker_has_ended)
{
    struct job_end *ours = NULL, *theirs = NULL;
    struct job_item item = {.kind = JOB_ITEM_END, .end = &theirs};
    struct job_post post = {.items = &item, .count = 1};
    asked[0].done = asked[1].done = on_answered;
    open_worker(&w, waits_for_an_end, NULL);
    ck_assert_ok(job_channel_open(runtime, &ours, &theirs, NULL));
    ck_assert_int_eq(job_worker_post_to(runtime, 1000000, &post), -ESRCH);
    ck_assert_ok(job_worker_post_to(runtime, job_worker_id(&w.worker), &post));
    ck_assert_ok(job_rpc_open(loop, &asking, &ours, NULL, &asks));
    ck_assert_ok(job_rpc_call(&asking, &asked[0], NULL, 0));

    run_to_end(&w);

    ck_assert_uint_eq(dones, 2);
    ck_assert_int_eq(statuses[0], -EIO);
    ck_assert_int_eq(statuses[1], -EOWNERDEAD);
    ck_assert_int_eq(w.code, 3);
}
END_TEST

static bool looks_at_the_lock;
static unsigned looks;

int __real_job_buf_alloc(struct job_arena *, size_t, const struct job_buf_options *, struct job_buf **);
int __wrap_job_buf_alloc(struct job_arena *, size_t, const struct job_buf_options *, struct job_buf **);

/* What holds the bytes of a long message: where they are copied, others find, list and stop workers. */
int __wrap_job_buf_alloc(struct job_arena *arena, size_t room, const struct job_buf_options *options,
                         struct job_buf **buf)
{
    pthread_mutex_t *lock = &((struct root *)runtime)->workers_lock;
    if (looks_at_the_lock) {
        ck_assert_int_eq(pthread_mutex_trylock(lock), 0);
        pthread_mutex_unlock(lock);
        looks++;
    }
    return __real_job_buf_alloc(arena, room, options, buf);
}

static void says_its_length(struct job_inside *inside, struct job_message *message)
{
    size_t len = 0;
    job_message_bytes(message, &len);
    post_value(inside, len);
}

static const struct job_inside_events saying = {.message = says_its_length};

static void says_its_length_and_listens(struct job_inside *inside, struct job_message *start)
{
    says_its_length(inside, start);
    ck_assert_ok(job_inside_listen(inside, &saying));
}

static void ends_after_five(struct told *told)
{
    ck_assert_uint_eq(told->value, told->messages == 1 ? 2000 : 1000 + told->messages);
    if (told->messages == 5)
        job_worker_close(&told->worker);
}

START_TEST(a_long_message_is_copied_without_the_lock_and_comes_behind_the_start_message)
{
    static char bytes[2000];
    struct job_worker_options options = {.start = {.bytes = bytes, .len = sizeof bytes}};
    looks = 0;
    w.then = ends_after_five;
    looks_at_the_lock = true;
    open_worker(&w, says_its_length_and_listens, &options);
    for (unsigned i = 2; i <= 5; i++) {
        struct job_post post = {.bytes = bytes, .len = 1000 + i};
        ck_assert_ok(job_worker_post_to(runtime, job_worker_id(&w.worker), &post));
    }
    looks_at_the_lock = false;
    ck_assert_uint_eq(looks, 5);
    run_to_end(&w);
    ck_assert_uint_eq(w.messages, 5);
}
END_TEST

START_TEST(a_forked_child_has_no_workers)
{
    struct job_worker_stats stats;
    struct job_post post = {.bytes = "x", .len = 1};
    open_worker(&w, listens, NULL);
    uint64_t id = job_worker_id(&w.worker);
    pid_t child = fork();
    if (child == 0) {
        alarm(40);
        bool is_right = job_worker_stop_by_id(runtime, id) == -EPERM &&
                        job_worker_post_to(runtime, id, &post) == -EPERM &&
                        job_worker_stats(runtime, id, &stats) == -EPERM && job_worker_list(runtime, NULL, 0) == 0;
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    job_worker_close(&w.worker);
    run_to_end(&w);
}
END_TEST

static void posts_ten(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    for (unsigned i = 0; i < 10; i++)
        post_value(inside, i);
}

START_TEST(messages_to_a_parent_without_an_event_for_them_are_counted)
{
    struct job_counts counts;
    struct job_worker_events deaf = events;
    deaf.message = NULL;
    ck_assert_ok(job_worker_open(loop, &w.worker, posts_ten, NULL, &deaf));
    run_to_end(&w);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.dropped_messages, 10);
}
END_TEST

static void nothing_to_write(struct job_inside *inside)
{
    (void)inside;
}

static const struct job_inside_events writable_only = {.writable = nothing_to_write};

static void listens_for_room_alone(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &writable_only));
}

START_TEST(a_worker_that_listens_for_room_alone_lives_and_what_it_does_not_hear_is_counted)
{
    struct job_counts counts;
    open_worker(&w, listens_for_room_alone, NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(job_worker_post(&w.worker, &(struct job_post){0}));
    do {
        job_runtime_counts(runtime, &counts);
        sched_yield();
    } while (counts.dropped_messages < 10);
    ck_assert_ok(job_worker_stop(&w.worker));   /* it lives */
    run_to_end(&w);
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.dropped_messages, 10);
}
END_TEST

START_TEST(what_was_sent_to_a_worker_before_it_listens_is_not_lost)
{
    uint64_t value = 5;
    struct job_post post = {.bytes = &value, .len = sizeof value};
    open_worker(&w, says_and_listens, NULL);
    for (unsigned i = 0; i < 10; i++)
        ck_assert_ok(job_worker_post(&w.worker, &post));
    struct job_worker_stats stats;
    ck_assert_ok(job_worker_stats(runtime, job_worker_id(&w.worker), &stats));
    while (w.messages < 11) {
        job_loop_stop(loop);
        ck_assert_int_eq(job_loop_run(loop), 1);
    }
    job_worker_close(&w.worker);
    run_to_end(&w);
    ck_assert_uint_eq(w.value, 6);
}
END_TEST

static struct job_timer working;

static void works_for_a_while(struct job_timer *timer)
{
    (void)timer;
}

static void hears_and_works_no_more(struct job_inside *inside, struct job_message *message)
{
    hears(inside, message);
    job_timer_close(&working, NULL);   /* what has kept it */
}

static const struct job_inside_events hearing_while_working = {.message = hears_and_works_no_more};

static void listens_unreferenced(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    ck_assert_ok(job_inside_listen(inside, &hearing_while_working));
    job_inside_unref(inside);
    ck_assert_ok(job_timer_open(job_inside_loop(inside), &working, works_for_a_while));
    ck_assert_ok(job_timer_start(&working, 3600000000000U));
}

START_TEST(W29_a_worker_that_hears_unreferenced_hears_and_ends_with_what_has_kept_it)
{
    uint64_t value = 5;
    open_worker(&w, listens_unreferenced, NULL);
    ck_assert_ok(job_worker_post(&w.worker, &(struct job_post){.bytes = &value, .len = sizeof value}));
    run_to_end(&w);
    ck_assert_uint_eq(w.value, 6);
    ck_assert_int_eq(w.code, 0);
}
END_TEST

static void refers_again(struct job_inside *inside, struct job_message *start)
{
    job_inside_unref(inside);
    listens(inside, start);
    job_inside_ref(inside);
}

START_TEST(a_worker_that_refers_again_lives_until_it_is_stopped)
{
    uint64_t value = 5;
    open_worker(&w, refers_again, NULL);
    ck_assert_ok(job_worker_post(&w.worker, &(struct job_post){.bytes = &value, .len = sizeof value}));
    w.then = stop_it;
    run_to_end(&w);
    ck_assert_uint_eq(w.value, 6);
    ck_assert_int_eq(w.code, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tcase = tcase_create("worker");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, the_start_message_is_lent_and_can_be_kept);
    tcase_add_test(tcase, W02_online_comes_once_and_before_the_first_message);
    tcase_add_test(tcase, W05_exit_ends_only_the_worker_and_its_code_arrives);
    tcase_add_test(tcase, W06_a_failure_is_told_with_its_text_and_then_exit_1);
    tcase_add_test(tcase, W07_a_failure_that_nobody_listens_to_fails_the_parent);
    tcase_add_test(tcase, W07_of_two_failures_that_nobody_listens_to_the_first_fails_the_parent);
    tcase_add_test(tcase, W07_what_a_worker_of_a_worker_fails_of_is_told_above_when_nobody_listens);
    tcase_add_test(tcase, W08_a_failing_callback_ends_its_worker_alone);
    tcase_add_test(tcase, W14_ids_are_unique_and_never_used_again);
    tcase_add_test(tcase, W34_any_thread_posts_to_a_worker_by_its_id);
    tcase_add_test(tcase, W34_a_call_to_a_worker_by_its_id_ends_when_its_handler_has_run_or_the_worker_has_ended);
    tcase_add_test(tcase, a_long_message_is_copied_without_the_lock_and_comes_behind_the_start_message);
    tcase_add_test(tcase, a_forked_child_has_no_workers);
    tcase_add_test(tcase, messages_to_a_parent_without_an_event_for_them_are_counted);
    tcase_add_test(tcase, a_worker_that_listens_for_room_alone_lives_and_what_it_does_not_hear_is_counted);
    tcase_add_test(tcase, what_was_sent_to_a_worker_before_it_listens_is_not_lost);
    tcase_add_test(tcase, W29_a_worker_that_hears_unreferenced_hears_and_ends_with_what_has_kept_it);
    tcase_add_test(tcase, a_worker_that_refers_again_lives_until_it_is_stopped);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
