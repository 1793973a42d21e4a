/* test_transfer.c — rows P and X: what a message carries, is refused as a whole, and arrives; what frees and resizes a buf. */
#include <sched.h>

#include "queue/inbox.h"
#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_end *ends[2];

static void setup(void)
{
    runtime = NULL;
    const struct job_runtime_options options = {.name = "test", .log = fixture_log, .memory_limit_bytes = 32U << 20};
    ck_assert_ok(job_runtime_open(&runtime, &options));
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
}

static void teardown(void)
{
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    fixture_close(runtime);
}

static struct job_buf *filled(size_t len)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), len, NULL, &buf));
    uint8_t *bytes = job_buf_room(buf, NULL);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 31 + 1);
    ck_assert_ok(job_buf_extend(buf, len));
    return buf;
}

static void expect_filled(const struct job_buf *buf, size_t from, size_t count, size_t pattern_from)
{
    for (size_t i = 0; i < count; i++) {
        uint8_t byte;
        ck_assert_ok(job_buf_read(buf, from + i, &byte, 1));
        ck_assert_uint_eq(byte, (uint8_t)((pattern_from + i) * 31 + 1));
    }
}

static int post(const struct job_item *items, unsigned count)
{
    return job_end_post(ends[0], &(struct job_post){.items = items, .count = count});
}

static struct job_buf *receive_buf(void)
{
    struct job_message *message = NULL;
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    struct job_buf *buf = job_message_take_buf(message, 0);
    job_message_free(&message);
    return buf;
}

/* What was pushed, and how often the owner was woken for it. */
struct counted {
    struct inbox_sleeper sleeper;
    unsigned wakes;
};

static void count_wake(struct inbox_sleeper *sleeper)
{
    ((struct counted *)sleeper)->wakes++;   /* its first member */
}

START_TEST(P29_a_sleeping_receiver_is_woken_once_however_many_posts_come)
{
    static struct inbox inbox;
    static struct inbox_node nodes[100];
    struct counted counted = {.sleeper.wake = count_wake};
    bool was_armed;
    inbox_init(&inbox, 200, 1000, NULL);
    for (unsigned round = 1; round <= 3; round++) {
        ck_assert(inbox_arm(&inbox, &counted.sleeper));
        for (unsigned i = 0; i < 100; i++)
            ck_assert(inbox_push(&inbox, &nodes[i]));
        ck_assert_uint_eq(counted.wakes, round);
        ck_assert(!inbox_arm(&inbox, &counted.sleeper));   /* it looks first: nothing can be missed */
        ck_assert_ptr_eq(inbox_take(&inbox), &nodes[99]);
        for (unsigned i = 0; i < 100; i++)
            ck_assert(inbox_push(&inbox, &nodes[i]));      /* awake: nobody wakes it */
        ck_assert_uint_eq(counted.wakes, round);
        ck_assert_ptr_eq(inbox_take(&inbox), &nodes[99]);
    }
    ck_assert_ptr_null(inbox_close(&inbox, &was_armed));
    inbox_fini(&inbox);
}
END_TEST

START_TEST(P23_without_memory_the_post_is_refused_and_what_follows_arrives)
{
    struct job_buf *bufs[64] = {0}, *small[512] = {0};
    static char bytes[100000];
    struct job_message *message = NULL;
    unsigned count = 0, smalls = 0;
    size_t len;
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.bytes = "a", .len = 1}));   /* the box has memory for small ones */
    while (count < 64 && job_buf_alloc(job_runtime_arena(runtime), 1 << 20, NULL, &bufs[count]) == 0)
        count++;
    while (smalls < 512 && job_buf_alloc(job_runtime_arena(runtime), sizeof bytes, NULL, &small[smalls]) == 0)
        smalls++;
    ck_assert_uint_lt(smalls, 512);

    ck_assert_int_eq(job_end_post(ends[0], &(struct job_post){.bytes = bytes, .len = sizeof bytes}), -ENOMEM);
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.bytes = "b", .len = 1}));
    job_buf_free(&bufs[0]);
    ck_assert_ok(job_end_post(ends[0], &(struct job_post){.bytes = bytes, .len = sizeof bytes}));

    static const size_t lens[] = {1, 1, sizeof bytes};
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ok(job_end_receive(ends[1], &message, 0));
        ck_assert_ptr_nonnull(job_message_bytes(message, &len));
        ck_assert_uint_eq(len, lens[i]);
        job_message_free(&message);
    }
    for (unsigned i = 0; i < 64; i++)
        job_buf_free(&bufs[i]);
    for (unsigned i = 0; i < 512; i++)
        job_buf_free(&small[i]);
}
END_TEST

START_TEST(X04_a_buf_that_is_gone_anywhere_in_the_list_moves_nothing)
{
    for (unsigned place = 0; place < 3; place++) {
        struct job_buf *bufs[3] = {filled(10), filled(20), filled(30)};
        struct job_item items[3];
        for (unsigned i = 0; i < 3; i++)
            items[i] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[i]};
        job_buf_free(&bufs[place]);

        ck_assert_int_eq(post(items, 3), -EINVAL);

        for (unsigned i = 0; i < 3; i++) {
            if (i == place)
                continue;
            ck_assert_ptr_nonnull(bufs[i]);
            expect_filled(bufs[i], 0, 10 * (i + 1), 0);
            job_buf_free(&bufs[i]);
        }
    }
}
END_TEST

static void never_told(struct job_sender *sender, void *data)
{
    (void)sender, (void)data;
    ck_abort_msg("nobody makes room");
}

START_TEST(X06_what_is_in_use_is_refused_and_the_others_are_still_there)
{
    struct job_loop *loop = NULL;
    struct job_end *inner[2] = {0}, *full[2] = {0};
    struct job_sender *busy = NULL;
    struct job_buf *buf = filled(100);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_channel_open(runtime, &inner[0], &inner[1], NULL));
    ck_assert_ok(job_channel_open(runtime, &full[0], &full[1], &(struct job_channel_options){.messages_max = 1}));
    ck_assert_ok(job_end_sender(full[0], &busy));
    ck_assert_ok(job_sender_post(busy, &(struct job_post){0}));
    ck_assert_int_eq(job_sender_post(busy, &(struct job_post){0}), -EAGAIN);
    ck_assert_ok(job_sender_when_writable(busy, loop, never_told, NULL));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &buf}, {.kind = JOB_ITEM_END, .end = &inner[0]},
                               {.kind = JOB_ITEM_SENDER, .sender = &busy}};

    ck_assert_int_eq(post(items, 3), -EBUSY);

    expect_filled(buf, 0, 100, 0);
    ck_assert_ok(job_end_post(inner[0], &(struct job_post){0}));
    job_sender_close(&busy);
    job_buf_free(&buf);
    for (unsigned i = 0; i < 2; i++) {
        job_end_close(&inner[i]);
        job_end_close(&full[i]);
    }
    ck_assert_ok(job_loop_close(&loop, 0));
}
END_TEST

START_TEST(X12_pieces_of_one_slot_travel_apart_and_each_may_be_the_last)
{
    for (unsigned last = 0; last < 2; last++) {
        struct job_buf *buf = filled(3000), *rest = NULL;
        ck_assert_ok(job_buf_split(&buf, 1000, &rest));
        struct job_item item = {.kind = JOB_ITEM_BUF, .buf = last ? &rest : &buf};

        ck_assert_ok(post(&item, 1));
        job_buf_free(last ? &buf : &rest);   /* what stays behind goes first */
        struct job_buf *got = receive_buf();

        ck_assert_uint_eq(job_buf_len(got), last ? 2000 : 1000);
        expect_filled(got, 0, job_buf_len(got), last ? 1000 : 0);
        job_buf_free(&got);
    }
}
END_TEST

enum { CONSUMERS = 4, EACH = 20000 };

/* Frees what one thread has allocated. */
static void *consumer_main(void *arg)
{
    struct job_end *end = arg;
    struct job_message *message = NULL;
    for (uint32_t i = 0; job_end_receive(end, &message, -1) == 0; i++) {
        struct job_buf *buf = job_message_take_buf(message, 0);
        uint32_t number = UINT32_MAX;
        job_message_free(&message);
        ck_assert_ok(job_buf_read(buf, 0, &number, sizeof number));
        ck_assert_uint_eq(number, i);
        job_buf_free(&buf);
    }
    job_end_close(&end);
    return NULL;
}

START_TEST(X16_other_threads_free_what_one_allocates_and_memory_comes_back)
{
    struct job_end *to[CONSUMERS] = {0}, *from = NULL;
    pthread_t threads[CONSUMERS];
    unsigned each = fixture_rounds("EACH", EACH);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        ck_assert_ok(job_channel_open(runtime, &to[i], &from, &(struct job_channel_options){.messages_max = 256}));
        ck_assert_int_eq(pthread_create(&threads[i], NULL, consumer_main, from), 0);
    }
    for (uint32_t i = 0; i < each; i++) {   /* 4 KiB each: ten times what there is */
        for (unsigned to_whom = 0; to_whom < CONSUMERS; to_whom++) {
            struct job_buf *buf = NULL;
            struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
            ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 3000, NULL, &buf));
            ck_assert_ok(job_buf_write(buf, &i, sizeof i));
            while (job_end_post(to[to_whom], &(struct job_post){.items = &item, .count = 1}) == -EAGAIN)
                (void)sched_yield();
            ck_assert_ptr_null(buf);
        }
    }
    for (unsigned i = 0; i < CONSUMERS; i++) {
        job_end_close(&to[i]);
        (void)pthread_join(threads[i], NULL);
    }
}
END_TEST

static void *dirty_main(void *arg)
{
    struct job_buf *bufs[64];
    (void)arg;
    for (unsigned i = 0; i < 64; i++)
        bufs[i] = filled(4000);
    for (unsigned i = 0; i < 64; i++)
        job_buf_free(&bufs[i]);
    return NULL;
}

START_TEST(X17_what_a_resize_adds_is_zero_whoever_had_the_memory)
{
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, dirty_main, NULL), 0);
    (void)pthread_join(thread, NULL);
    for (unsigned i = 0; i < 64; i++) {
        struct job_buf *buf = NULL;
        static const uint8_t zeros[4000];
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), sizeof zeros, NULL, &buf));
        ck_assert_ok(job_buf_resize(buf, sizeof zeros));
        ck_assert_uint_eq(job_buf_segments(buf), 1);
        ck_assert_mem_eq(job_buf_data(buf), zeros, sizeof zeros);
        job_buf_free(&buf);
    }
}
END_TEST

START_TEST(X19_a_resize_keeps_the_bytes_and_fills_with_zeros)
{
    static const size_t sizes[] = {0, 1, 3000, 4096, 70000, 3 << 20};
    for (unsigned from = 0; from < 6; from++) {
        for (unsigned to = 0; to < 6; to++) {
            struct job_buf *buf = filled(sizes[from]);
            size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];

            ck_assert_ok(job_buf_resize(buf, sizes[to]));

            ck_assert_uint_eq(job_buf_len(buf), sizes[to]);
            expect_filled(buf, 0, kept < 5000 ? kept : 5000, 0);
            for (size_t i = kept; i < sizes[to]; i += i < kept + 5000 ? 1 : 997) {
                uint8_t byte = 1;
                ck_assert_ok(job_buf_read(buf, i, &byte, 1));
                ck_assert_uint_eq(byte, 0);
            }
            job_buf_free(&buf);
        }
    }
}
END_TEST

START_TEST(X20_a_resize_that_fails_leaves_the_buf_as_it_was)
{
    struct job_buf *buf = filled(3000);
    ck_assert_int_eq(job_buf_resize(NULL, 1), -EINVAL);
    ck_assert_int_eq(job_buf_resize(buf, 64U << 20), -ENOMEM);   /* above the limit */
    ck_assert_int_eq(job_buf_resize(buf, SIZE_MAX), -ENOMEM);
    ck_assert_uint_eq(job_buf_len(buf), 3000);
    expect_filled(buf, 0, 3000, 0);
    job_buf_free(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows P and X");
    TCase *tcase = tcase_create("rows P and X");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, P23_without_memory_the_post_is_refused_and_what_follows_arrives);
    tcase_add_test(tcase, P29_a_sleeping_receiver_is_woken_once_however_many_posts_come);
    tcase_add_test(tcase, X04_a_buf_that_is_gone_anywhere_in_the_list_moves_nothing);
    tcase_add_test(tcase, X06_what_is_in_use_is_refused_and_the_others_are_still_there);
    tcase_add_test(tcase, X12_pieces_of_one_slot_travel_apart_and_each_may_be_the_last);
    tcase_add_test(tcase, X16_other_threads_free_what_one_allocates_and_memory_comes_back);
    tcase_add_test(tcase, X17_what_a_resize_adds_is_zero_whoever_had_the_memory);
    tcase_add_test(tcase, X19_a_resize_keeps_the_bytes_and_fills_with_zeros);
    tcase_add_test(tcase, X20_a_resize_that_fails_leaves_the_buf_as_it_was);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
