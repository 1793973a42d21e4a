/* test_transfer.c — what a message carries: moved by pointer, all or nothing, once; and what comes out at the other side. */
#include <sys/stat.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_end *ends[2];

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_channel_open(runtime, &ends[0], &ends[1], NULL));
}

static void teardown(void)
{
    job_end_close(&ends[0]);
    job_end_close(&ends[1]);
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.ends, 0);
    fixture_close(runtime);
}

static struct job_buf *filled(size_t len)
{
    struct job_buf *buf = NULL;
    size_t room;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), len, NULL, &buf));
    uint8_t *bytes = job_buf_room(buf, &room);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i * 31);
    ck_assert_ok(job_buf_extend(buf, len));
    return buf;
}

static int post(const struct job_item *items, unsigned count)
{
    return job_end_post(ends[0], &(struct job_post){.items = items, .count = count});
}

static struct job_message *receive(void)
{
    struct job_message *message = NULL;
    ck_assert_ok(job_end_receive(ends[1], &message, 0));
    return message;
}

START_TEST(X01_a_buf_moves_and_its_bytes_stay_where_they_are)
{
    static const size_t sizes[] = {0, 1, 4096, 1 << 20, 8 << 20};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct job_buf *buf = filled(sizes[i]);
        const void *bytes = job_buf_data(buf);
        struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};

        ck_assert_ok(job_end_post(ends[0], &(struct job_post){.items = &item, .count = 1}));
        ck_assert_ptr_null(buf);
        struct job_message *message = receive();
        struct job_buf *got = job_message_take_buf(message, 0);

        ck_assert_ptr_eq(job_buf_data(got), bytes);
        ck_assert_uint_eq(job_buf_len(got), sizes[i]);
        ck_assert_ptr_null(job_message_take_buf(message, 0));
        job_buf_free(&got);
        job_message_free(&message);
    }
}
END_TEST

START_TEST(X03_a_second_transfer_is_refused_and_touches_nothing_else)
{
    struct job_buf *gone = filled(10), *good = filled(10);
    struct job_item first = {.kind = JOB_ITEM_BUF, .buf = &gone};
    ck_assert_ok(post(&first, 1));

    struct job_item both[] = {{.kind = JOB_ITEM_BUF, .buf = &good}, {.kind = JOB_ITEM_BUF, .buf = &gone}};
    ck_assert_int_eq(post(both, 2), -EINVAL);

    ck_assert_ptr_nonnull(good);
    job_buf_free(&good);
}
END_TEST

START_TEST(a_descriptor_that_is_none_is_refused_and_stays)
{
    struct job_buf *good = filled(10);
    int none = -1, closed = 1000;
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &good}, {.kind = JOB_ITEM_FD, .fd = &none}};
    ck_assert_int_eq(post(items, 2), -EBADF);
    items[1].fd = &closed;
    ck_assert_int_eq(post(items, 2), -EBADF);
    items[1].fd = NULL;
    ck_assert_int_eq(post(items, 2), -EINVAL);

    ck_assert_int_eq(none, -1);
    ck_assert_int_eq(closed, 1000);
    ck_assert_ptr_nonnull(good);
    job_buf_free(&good);
}
END_TEST

static void never_told(struct job_sender *sender, void *data)
{
    (void)sender, (void)data;
}

/* What a message may have, all of one runtime. */
struct goods {
    struct job_loop *loop;
    struct job_buf *buf;
    struct job_end *inner[2];
    struct job_sender *sender;
    struct job_region *region;
    struct job_connection *connection;
    int pipes[2], far_end;
};

static struct job_connection **detached_to;

static void on_detached(struct job_stream *stream, struct job_connection **connection)
{
    (void)stream;
    *detached_to = *connection;
    *connection = NULL;
}

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
}

static void open_goods(struct job_runtime *of, struct goods *goods)
{
    static const struct job_stream_events events = {.data = on_data};
    struct job_stream stream;
    int fds[2];
    *goods = (struct goods){0};
    ck_assert_ok(job_loop_open(of, &goods->loop, NULL));
    ck_assert_ok(job_buf_alloc(job_runtime_arena(of), 10, NULL, &goods->buf));
    ck_assert_ok(job_buf_write(goods->buf, "some bytes", 10));
    ck_assert_ok(job_channel_open(of, &goods->inner[0], &goods->inner[1], NULL));
    ck_assert_ok(job_end_sender(goods->inner[1], &goods->sender));
    ck_assert_ok(job_region_open(of, 64, &goods->region));
    ck_assert_int_eq(pipe(goods->pipes), 0);
    fixture_pair(fds);
    goods->far_end = fds[1];
    detached_to = &goods->connection;
    ck_assert_ok(job_stream_adopt(goods->loop, &stream, fds[0], &events));
    ck_assert_ok(job_stream_detach(&stream, on_detached));
    ck_assert_int_eq(job_loop_run(goods->loop), 0);
    ck_assert_ptr_nonnull(goods->connection);
}

/* Also those that a message has taken. */
static void close_goods(struct goods *goods)
{
    job_buf_free(&goods->buf);
    job_end_close(&goods->inner[0]);
    job_end_close(&goods->inner[1]);
    job_sender_close(&goods->sender);
    job_region_release(&goods->region);
    job_connection_close(&goods->connection);
    for (unsigned i = 0; i < 2; i++) {
        if (goods->pipes[i] >= 0)
            close(goods->pipes[i]);
    }
    close(goods->far_end);
    ck_assert_ok(job_loop_close(&goods->loop, 0));
}

enum { USUAL = 6 };

static void usual_items(struct goods *goods, struct job_item items[USUAL])
{
    const struct job_item all[USUAL] = {
        {.kind = JOB_ITEM_BUF, .buf = &goods->buf},
        {.kind = JOB_ITEM_END, .end = &goods->inner[0]},
        {.kind = JOB_ITEM_FD, .fd = &goods->pipes[0]},
        {.kind = JOB_ITEM_REGION, .region = goods->region},
        {.kind = JOB_ITEM_SENDER, .sender = &goods->sender},
        {.kind = JOB_ITEM_CONNECTION, .connection = &goods->connection},
    };
    memcpy(items, all, sizeof all);
}

struct bad {
    const char *name;
    int err;
    struct job_item item;
};

/* One bad item at each place among good ones, whatever is bad with it. */
static void refuse_at_each_place(struct goods *goods, const struct bad *bad)
{
    struct job_item usual[USUAL], items[USUAL + 1];
    usual_items(goods, usual);
    for (unsigned place = 0; place <= USUAL; place++) {
        for (unsigned i = 0, from = 0; i <= USUAL; i++)
            items[i] = i == place ? bad->item : usual[from++];
        int err = post(items, USUAL + 1);
        ck_assert_msg(err == bad->err, "%s at %u: %s, and not %s", bad->name, place, job_strerror(err),
                      job_strerror(bad->err));
        ck_assert(goods->buf && goods->inner[0] && goods->sender && goods->connection && goods->pipes[0] >= 0);
        ck_assert(ends[0] && ends[1]);
    }
}

START_TEST(X05_one_bad_item_anywhere_leaves_all_others_where_they_were)
{
    struct job_runtime *other = fixture_runtime();
    struct goods mine, foreign;
    struct job_end *full[2], *no_end = NULL;
    struct job_sender *waiting = NULL, *no_sender = NULL;
    struct job_buf *moved = NULL;
    struct job_connection *no_connection = NULL;
    int closed_fd = 4000;
    open_goods(runtime, &mine);
    open_goods(other, &foreign);
    ck_assert_ok(job_channel_open(runtime, &full[0], &full[1], &(struct job_channel_options){.messages_max = 1}));
    ck_assert_ok(job_end_sender(full[0], &waiting));
    ck_assert_ok(job_sender_post(waiting, &(struct job_post){0}));
    ck_assert_ok(job_sender_when_writable(waiting, mine.loop, never_told, NULL));

    const struct bad bad[] = {
        {"moved buf", -EINVAL, {.kind = JOB_ITEM_BUF, .buf = &moved}},
        {"buf twice", -EINVAL, {.kind = JOB_ITEM_BUF, .buf = &mine.buf}},
        {"foreign buf", -EINVAL, {.kind = JOB_ITEM_BUF, .buf = &foreign.buf}},
        {"own end", -EINVAL, {.kind = JOB_ITEM_END, .end = &ends[0]}},
        {"peer end", -EDEADLK, {.kind = JOB_ITEM_END, .end = &ends[1]}},
        {"end twice", -EINVAL, {.kind = JOB_ITEM_END, .end = &mine.inner[0]}},
        {"NULL end", -EINVAL, {.kind = JOB_ITEM_END, .end = &no_end}},
        {"foreign end", -EINVAL, {.kind = JOB_ITEM_END, .end = &foreign.inner[0]}},
        {"closed fd", -EBADF, {.kind = JOB_ITEM_FD, .fd = &closed_fd}},
        {"fd twice", -EINVAL, {.kind = JOB_ITEM_FD, .fd = &mine.pipes[0]}},
        {"NULL region", -EINVAL, {.kind = JOB_ITEM_REGION, .region = NULL}},
        {"foreign region", -EINVAL, {.kind = JOB_ITEM_REGION, .region = foreign.region}},
        {"waiting sender", -EBUSY, {.kind = JOB_ITEM_SENDER, .sender = &waiting}},
        {"NULL sender", -EINVAL, {.kind = JOB_ITEM_SENDER, .sender = &no_sender}},
        {"sender twice", -EINVAL, {.kind = JOB_ITEM_SENDER, .sender = &mine.sender}},
        {"foreign sender", -EINVAL, {.kind = JOB_ITEM_SENDER, .sender = &foreign.sender}},
        {"NULL connection", -EINVAL, {.kind = JOB_ITEM_CONNECTION, .connection = &no_connection}},
        {"connection twice", -EINVAL, {.kind = JOB_ITEM_CONNECTION, .connection = &mine.connection}},
        {"foreign connection", -EINVAL, {.kind = JOB_ITEM_CONNECTION, .connection = &foreign.connection}},
        {"no kind", -EINVAL, {.kind = JOB_ITEM_NONE}},
    };
    for (unsigned which = 0; which < sizeof bad / sizeof bad[0]; which++)
        refuse_at_each_place(&mine, &bad[which]);
    ck_assert(foreign.buf && foreign.inner[0] && foreign.sender && foreign.connection && waiting);

    struct job_item usual[USUAL];
    usual_items(&mine, usual);
    ck_assert_ok(post(usual, USUAL));   /* and all of it still works */
    ck_assert(!mine.buf && !mine.inner[0] && !mine.sender && !mine.connection && mine.pipes[0] == -1);
    job_sender_close(&waiting);
    job_end_close(&full[0]);
    job_end_close(&full[1]);
    close_goods(&mine);
    close_goods(&foreign);
    fixture_close(other);
}
END_TEST

/* With one item, which stands in the message, and with more than it has room for. */
START_TEST(X08_without_memory_for_the_bytes_a_post_changes_nothing)
{
    enum { ITEMS = 12 };
    struct job_runtime *small = NULL;
    struct job_end *pair[2];
    struct job_buf *all[64] = {0}, *bufs[ITEMS] = {0};
    struct job_item items[ITEMS];
    static char bytes[300000];
    struct job_counts before, after;
    unsigned count = 0;
    ck_assert_ok(job_runtime_open(&small, &(struct job_runtime_options){.memory_limit_bytes = 4 << 20}));
    ck_assert_ok(job_channel_open(small, &pair[0], &pair[1], NULL));
    for (unsigned i = 0; i < ITEMS; i++) {
        ck_assert_ok(job_buf_alloc(job_runtime_arena(small), 10, NULL, &bufs[i]));
        items[i] = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bufs[i]};
    }
    while (count < 64 && job_buf_alloc(job_runtime_arena(small), 1000000, NULL, &all[count]) == 0)
        count++;
    struct job_post large = {.bytes = bytes, .len = sizeof bytes, .items = items};
    job_runtime_counts(small, &before);
    for (unsigned i = 0; i < 2000; i++) {   /* each gives its room back: more than fit at once */
        large.count = i % 2 ? 1 : ITEMS;
        ck_assert_int_eq(job_end_post(pair[0], &large), -ENOMEM);
    }
    job_runtime_counts(small, &after);
    ck_assert_uint_eq(after.allocations, before.allocations);
    for (unsigned i = 0; i < ITEMS; i++)
        ck_assert_ptr_nonnull(bufs[i]);
    while (count > 0)
        job_buf_free(&all[--count]);
    large.count = ITEMS;
    ck_assert_ok(job_end_post(pair[0], &large));
    for (unsigned i = 0; i < ITEMS; i++)
        ck_assert_ptr_null(bufs[i]);
    job_end_close(&pair[0]);
    job_end_close(&pair[1]);
    fixture_close(small);
}
END_TEST

START_TEST(X10_two_pieces_of_one_slot_arrive_as_two_pieces_of_one_slot)
{
    struct job_buf *front = filled(1000), *back = NULL;
    const uint8_t *bytes = job_buf_data(front);
    ck_assert_ok(job_buf_split(&front, 300, &back));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &front}, {.kind = JOB_ITEM_BUF, .buf = &back}};
    ck_assert_ok(post(items, 2));

    struct job_message *message = receive();
    front = job_message_take_buf(message, 0);
    back = job_message_take_buf(message, 1);
    job_message_free(&message);

    ck_assert_ptr_eq(job_buf_data(front), bytes);
    ck_assert_ptr_eq(job_buf_data(back), bytes + 300);
    ck_assert_ok(job_buf_append(front, &back));   /* they grow together again: no copy */
    ck_assert_uint_eq(job_buf_segments(front), 1);
    job_buf_free(&front);
}
END_TEST

START_TEST(X14_a_region_is_shared_and_stays_with_the_sender)
{
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, 64, &region));
    const struct job_item item = {.kind = JOB_ITEM_REGION, .region = region}, items[] = {item, item};
    ck_assert_ok(post(items, 2));
    ck_assert_ok(job_region_store32(region, 8, 42));

    struct job_message *message = receive();
    struct job_region *got = job_message_take_region(message, 1);
    job_message_free(&message);
    job_region_release(&region);

    uint32_t value = 0;
    ck_assert_ok(job_region_load32(got, 8, &value));
    ck_assert_uint_eq(value, 42);
    job_region_release(&got);
}
END_TEST

static void *post_and_end(void *arg)
{
    struct job_end **end = arg;
    struct job_buf *buf = filled(100000);
    struct job_region *region = NULL;
    ck_assert_ok(job_region_open(runtime, 64, &region));
    ck_assert_ok(job_region_store32(region, 0, 7));
    struct job_item items[] = {{.kind = JOB_ITEM_BUF, .buf = &buf}, {.kind = JOB_ITEM_REGION, .region = region}};
    ck_assert_ok(job_end_post(*end, &(struct job_post){.items = items, .count = 2}));
    job_region_release(&region);
    job_end_close(end);
    return NULL;
}

START_TEST(X15_a_buf_and_a_region_outlive_the_thread_that_made_them)
{
    pthread_t thread;
    struct job_message *message = NULL;
    ck_assert_int_eq(pthread_create(&thread, NULL, post_and_end, &ends[0]), 0);
    ck_assert_ok(job_end_receive(ends[1], &message, -1));
    ck_assert_int_eq(pthread_join(thread, NULL), 0);

    struct job_buf *buf = job_message_take_buf(message, 0);
    struct job_region *region = job_message_take_region(message, 1);
    job_message_free(&message);
    uint32_t value = 0;
    ck_assert_ok(job_region_load32(region, 0, &value));   /* S26 */
    ck_assert_uint_eq(value, 7);
    ck_assert_uint_eq(((uint8_t *)job_buf_data(buf))[100], (uint8_t)(100 * 31));
    job_buf_free(&buf);
    job_region_release(&region);
    ck_assert_int_eq(job_end_receive(ends[1], &message, 0), -EPIPE);
}
END_TEST

START_TEST(X18_the_room_behind_the_bytes_moves_with_the_buf)
{
    struct job_buf *buf = NULL;
    size_t before, after;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 60000, NULL, &buf));
    (void)job_buf_room(buf, &before);
    struct job_item item = {.kind = JOB_ITEM_BUF, .buf = &buf};
    ck_assert_ok(post(&item, 1));
    struct job_message *message = receive();
    buf = job_message_take_buf(message, 0);
    job_message_free(&message);
    (void)job_buf_room(buf, &after);
    ck_assert_uint_eq(before, after);
    job_buf_free(&buf);
}
END_TEST

START_TEST(X23_a_descriptor_moves_for_files_pipes_and_sockets)
{
    int fds[4], before[4];
    struct stat was[4], is;
    fds[0] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(fds[0], 0);
    ck_assert_int_eq(pipe2(&fds[1], O_CLOEXEC), 0);
    fds[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fds[3], 0);
    struct job_item items[4];
    for (unsigned i = 0; i < 4; i++) {
        before[i] = fds[i];
        ck_assert_int_eq(fstat(fds[i], &was[i]), 0);
        items[i] = (struct job_item){.kind = JOB_ITEM_FD, .fd = &fds[i]};
    }
    ck_assert_ok(post(items, 4));

    struct job_message *message = receive();
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(fds[i], -1);
        if (i == 2)
            continue;   /* left in the message: closed with it */
        int fd = job_message_take_fd(message, i);
        ck_assert_int_eq(fstat(fd, &is), 0);
        ck_assert_uint_eq(is.st_ino, was[i].st_ino);
        ck_assert_int_eq(job_message_take_fd(message, i), -1);
        close(fd);
    }
    ck_assert_int_eq(job_message_kind(message, 2), JOB_ITEM_FD);
    ck_assert_ptr_null(job_message_take_buf(message, 2));
    job_message_free(&message);
    ck_assert_int_eq(fcntl(before[2], F_GETFD), -1);
}
END_TEST

START_TEST(an_end_and_a_sender_arrive_and_work)
{
    struct job_end *inner[2];
    struct job_sender *sender = NULL;
    struct job_message *message = NULL;
    ck_assert_ok(job_channel_open(runtime, &inner[0], &inner[1], NULL));
    ck_assert_ok(job_end_sender(inner[0], &sender));
    ck_assert_ok(job_end_post(inner[1], &(struct job_post){.bytes = "one", .len = 4}));
    struct job_item items[] = {{.kind = JOB_ITEM_END, .end = &inner[0]}, {.kind = JOB_ITEM_SENDER, .sender = &sender}};
    ck_assert_ok(post(items, 2));
    ck_assert_ok(job_end_post(inner[1], &(struct job_post){.bytes = "two", .len = 4}));   /* while it travels */

    struct job_message *carrier = receive();
    struct job_end *end = job_message_take_end(carrier, 0);
    sender = job_message_take_sender(carrier, 1);
    job_message_free(&carrier);

    ck_assert_ok(job_end_receive(end, &message, 0));
    ck_assert_str_eq(job_message_bytes(message, NULL), "one");
    job_message_free(&message);
    ck_assert_ok(job_end_receive(end, &message, 0));
    ck_assert_str_eq(job_message_bytes(message, NULL), "two");
    job_message_free(&message);
    ck_assert_ok(job_sender_post(sender, &(struct job_post){.bytes = "three", .len = 6}));
    ck_assert_ok(job_end_receive(inner[1], &message, 0));
    ck_assert_str_eq(job_message_bytes(message, NULL), "three");
    job_message_free(&message);
    job_sender_close(&sender);
    job_end_close(&end);
    job_end_close(&inner[1]);
}
END_TEST

START_TEST(X05_what_stands_twice_by_two_variables_is_refused)
{
    struct goods mine;
    struct job_item items[2 * USUAL];
    open_goods(runtime, &mine);
    struct goods same = mine;   /* other variables, the same things */
    usual_items(&mine, items);
    usual_items(&same, items + USUAL);

    for (unsigned i = 0; i < USUAL; i++) {
        if (items[i].kind == JOB_ITEM_REGION)
            continue;   /* a message refers to a region, and may do so twice */
        const struct job_item twice[] = {items[i], items[USUAL + i]};
        int err = post(twice, 2);
        ck_assert_msg(err == -EINVAL, "kind %d: %s", (int)items[i].kind, job_strerror(err));
        ck_assert(mine.buf && mine.inner[0] && mine.sender && mine.connection && mine.pipes[0] >= 0);
    }
    close_goods(&mine);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("transfer");
    TCase *tcase = tcase_create("transfer");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, X01_a_buf_moves_and_its_bytes_stay_where_they_are);
    tcase_add_test(tcase, a_descriptor_that_is_none_is_refused_and_stays);
    tcase_add_test(tcase, X03_a_second_transfer_is_refused_and_touches_nothing_else);
    tcase_add_test(tcase, X05_one_bad_item_anywhere_leaves_all_others_where_they_were);
    tcase_add_test(tcase, X08_without_memory_for_the_bytes_a_post_changes_nothing);
    tcase_add_test(tcase, X10_two_pieces_of_one_slot_arrive_as_two_pieces_of_one_slot);
    tcase_add_test(tcase, X14_a_region_is_shared_and_stays_with_the_sender);
    tcase_add_test(tcase, X15_a_buf_and_a_region_outlive_the_thread_that_made_them);
    tcase_add_test(tcase, X18_the_room_behind_the_bytes_moves_with_the_buf);
    tcase_add_test(tcase, X23_a_descriptor_moves_for_files_pipes_and_sockets);
    tcase_add_test(tcase, an_end_and_a_sender_arrive_and_work);
    tcase_add_test(tcase, X05_what_stands_twice_by_two_variables_is_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
