/* test_reader.c — a file is told in order and whole, whatever its size, its kind, the depth, and what happens to it meanwhile. */

#include "memory/arena.h"
#include "support/file_fixture.h"

static struct job_reader reader;
static uint64_t told;
static unsigned bufs_told;
static int end_status;
static unsigned pause_each;      /* pauses after so many bufs */
static uint64_t base;            /* the pattern's offset of the first byte */
static void (*at_data)(void);
static struct job_timer resumer;

static void data(struct job_reader *of, struct job_buf **in)
{
    ck_assert_ptr_eq(of, &reader);
    ck_assert_int_eq(end_status, 1);
    ck_assert(!job_reader_is_paused(of));
    ck_assert_uint_gt(job_buf_len(*in), 0);
    ck_assert_uint_eq(job_buf_segments(*in), 1);
    check_pattern(*in, base + told, job_buf_len(*in));
    told += job_buf_len(*in);
    bufs_told++;
    ck_assert_uint_eq(job_reader_told(of), told);
    if (at_data)
        at_data();
    if (pause_each && bufs_told % pause_each == 0) {
        job_reader_pause(of);
        ck_assert_ok(job_timer_start(&resumer, 0));
    }
}

static void end(struct job_reader *of, int status)
{
    ck_assert_ptr_eq(of, &reader);
    ck_assert_int_eq(end_status, 1);
    end_status = status;
    if (resumer.handle.job_loop)
        job_timer_close(&resumer, NULL);
}

static const struct job_reader_events events = {data, end};

static void resume(struct job_timer *timer)
{
    (void)timer;
    ck_assert(job_reader_is_paused(&reader));
    job_reader_resume(&reader);
}

static void forget(void)
{
    told = base = 0;
    bufs_told = pause_each = 0;
    end_status = 1;
    at_data = NULL;
    resumer = (struct job_timer){0};
}

static void start(const struct job_reader_options *options)
{
    forget();
    base = options && options->offset != JOB_FILE_CURRENT ? options->offset : 0;
    ck_assert_ok(job_reader_start(&reader, &file, options, &events));
    ck_assert_uint_eq(told, 0);   /* never inside the call */
}

START_TEST(every_byte_comes_once_and_in_order)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 8192, 258047, 258048, 258049, 600000, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file("a", sizes[i]);
        ck_assert_int_eq(open_file("a", O_RDONLY), 0);
        for (unsigned depth = 0; depth <= JOB_READER_DEPTH_MAX; depth += 1 + depth / 2) {
            struct job_reader_options options = {.depth = depth, .chunk_bytes = depth % 2 ? 4096 : 0};
            start(&options);
            run();
            ck_assert_int_eq(end_status, 0);
            ck_assert_uint_eq(told, sizes[i]);
        }
        start(NULL);
        run();
        ck_assert_int_eq(end_status, 0);
        ck_assert_uint_eq(told, sizes[i]);
        close_file();
    }
}
END_TEST

START_TEST(a_part_of_a_file_is_read_and_no_byte_more)
{
    static const struct { uint64_t offset, len, told; } parts[] = {
        {0, 1, 1}, {0, 4096, 4096}, {4096, 8192, 8192}, {99999, 1, 1}, {99999, 2, 1}, {99999, 0, 1}, {100000, 0, 0},
        {200000, 5, 0}, {1, 99999, 99999}, {1, 300000, 99999}, {50000, 40000, 40000},
    };
    make_file("a", 100000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        start(&(struct job_reader_options){
            .offset = parts[i].offset, .len = parts[i].len, .chunk_bytes = 4096, .depth = 3});
        run();
        ck_assert_int_eq(end_status, 0);
        ck_assert_uint_eq(told, parts[i].told);
    }
    close_file();
}
END_TEST

START_TEST(direct_reads_reach_the_last_byte)
{
    static const size_t sizes[] = {1, 4096, 5000, 262144, 262145, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file("a", sizes[i]);
        int err = open_file("a", O_RDONLY | O_DIRECT);
        if (is_without_direct(err))
            return;
        ck_assert_int_eq(err, 0);
        start(&(struct job_reader_options){.depth = 4, .chunk_bytes = i % 2 ? 5000 : 0});
        run();
        ck_assert_int_eq(end_status, 0);
        ck_assert_uint_eq(told, sizes[i]);
        close_file();
    }
}
END_TEST

static size_t memory_now(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    return counts.bufs;
}

static void at_most_the_depth_waits(void)
{
    ck_assert_uint_le(memory_now(), 4 + 1);   /* and the one that is told */
}

START_TEST(a_paused_reader_holds_no_more_than_its_depth_and_loses_nothing)
{
    make_file("a", 1000000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    for (unsigned each = 1; each <= 5; each++) {
        start(&(struct job_reader_options){.depth = 4, .chunk_bytes = 10000});
        pause_each = each;
        at_data = at_most_the_depth_waits;
        ck_assert_ok(job_timer_open(loop, &resumer, resume));
        run();
        ck_assert_int_eq(end_status, 0);
        ck_assert_uint_eq(told, 1000000);
    }
    close_file();
}
END_TEST

static void shrink(void)
{
    if (bufs_told == 2)
        ck_assert_int_eq(truncate("a", 25000), 0);
}

START_TEST(a_file_that_shrinks_ends_earlier_and_without_a_gap)
{
    for (unsigned depth = 1; depth <= 4; depth++) {
        make_file("a", 1000000);
        ck_assert_int_eq(open_file("a", O_RDONLY), 0);
        start(&(struct job_reader_options){.depth = depth, .chunk_bytes = 10000});
        at_data = shrink;
        run();
        ck_assert_int_eq(end_status, 0);
        ck_assert_uint_ge(told, 20000);
        ck_assert_uint_le(told, (2 + depth) * 10000);   /* what had been read ahead */
        close_file();
    }
}
END_TEST

static void append_more(void)
{
    enum { MORE = 5000, TIMES = 20 };
    static uint8_t bytes[MORE];
    int fd = open("a", O_WRONLY | O_APPEND | O_CLOEXEC);
    uint64_t size = (uint64_t)lseek(fd, 0, SEEK_END);
    for (unsigned i = 0; i < MORE; i++)
        bytes[i] = byte_at(size + i);
    if (size < MORE * TIMES)
        ck_assert_int_eq(write(fd, bytes, MORE), MORE);
    close(fd);
}

START_TEST(a_file_that_grows_is_read_as_far_as_it_reaches)
{
    make_file("a", 10000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    start(&(struct job_reader_options){.depth = 2, .chunk_bytes = 5000});
    at_data = append_more;
    run();
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_gt(told, 10000);
    close_file();
}
END_TEST

START_TEST(a_file_that_has_lost_its_name_is_read_to_its_end)
{
    make_file("a", 500000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_int_eq(unlink("a"), 0);
    start(NULL);
    run();
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 500000);
    close_file();
}
END_TEST

static uint64_t proc_bytes;

static void proc_data(struct job_reader *of, struct job_buf **in)
{
    (void)of;
    proc_bytes += job_buf_len(*in);
}

START_TEST(files_that_say_they_are_empty_are_read_all_the_same)
{
    static const struct job_reader_events any = {proc_data, end};
    forget();
    proc_bytes = 0;
    ck_assert_int_eq(open_file("/proc/self/smaps", O_RDONLY), 0);
    ck_assert_ok(job_reader_start(&reader, &file, NULL, &any));
    run();
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_gt(proc_bytes, 4096);
    close_file();
}
END_TEST

static void *write_pipe(void *arg)
{
    static uint8_t bytes[7777];
    int fd = *(int *)arg;
    uint64_t offset = 0;
    for (unsigned i = 0; i < 50; i++) {
        for (unsigned k = 0; k < sizeof bytes; k++)
            bytes[k] = byte_at(offset++);
        for (size_t done = 0; done < sizeof bytes;)
            done += (size_t)write(fd, bytes + done, sizeof bytes - done);
    }
    close(fd);
    return NULL;
}

START_TEST(a_pipe_is_read_to_its_end)
{
    int fds[2];
    pthread_t thread;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_ok(job_file_adopt(loop, &file, fds[0]));
    start(&(struct job_reader_options){.chunk_bytes = 5000, .depth = 4});
    ck_assert_int_eq(pthread_create(&thread, NULL, write_pipe, &fds[1]), 0);
    run();
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 50 * 7777);
    close_file();
}
END_TEST

START_TEST(from_where_the_descriptor_stands)
{
    make_file("a", 100000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_int_eq(lseek(job_file_descriptor(&file), 1234, SEEK_SET), 1234);
    start(&(struct job_reader_options){.offset = JOB_FILE_CURRENT, .chunk_bytes = 4000});
    base = 1234;
    run();
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 100000 - 1234);
    close_file();
}
END_TEST

static struct job_file_op appending;

static void appended(struct job_file_op *of, int status, struct job_buf **buf)
{
    (void)buf;
    ck_assert_ptr_eq(of, &appending);
    ck_assert_int_eq(status, 0);
    ends++;
    job_reader_resume(&reader);
}

static void append_once(void)
{
    if (bufs_told > 1)
        return;
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, &(uint8_t){byte_at(300000)}, 1));   /* the pattern goes on */
    job_reader_pause(&reader);
    ck_assert_ok(job_file_write(&file, &appending, &buf, JOB_FILE_APPEND, appended));
}

START_TEST(an_append_moves_nobody_who_reads_at_the_current_position)
{
    make_file("a", 300000);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);

    start(&(struct job_reader_options){.offset = JOB_FILE_CURRENT, .chunk_bytes = 65536});
    at_data = append_once;
    run();

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 300001);
    close_file();
}
END_TEST

static void stop(void)
{
    job_reader_stop(&reader);
    job_reader_stop(&reader);
    ck_assert_int_eq(end_status, 1);   /* later */
}

static void pause_and_stop(void)
{
    job_reader_pause(&reader);
    job_reader_stop(&reader);
}

static void close_it(void)
{
    job_file_close(&file, closed);
}

START_TEST(stop_and_close_end_it_once_in_each_state)
{
    static void (*const ways[])(void) = {stop, pause_and_stop, close_it};
    make_file("a", 200000);
    for (unsigned way = 0; way < 3; way++) {
        for (unsigned is_early = 0; is_early < 2; is_early++) {
            unsigned before = closes;
            ck_assert_int_eq(open_file("a", O_RDONLY), 0);
            start(&(struct job_reader_options){.chunk_bytes = 10000, .depth = 3});
            if (is_early)
                ways[way]();
            else
                at_data = ways[way];
            run();
            ck_assert_int_eq(end_status, -ECANCELED);
            ck_assert_uint_le(bufs_told, 1);
            if (closes == before)
                close_file();
        }
    }
    job_reader_stop(&reader);   /* idle: nothing */
    job_reader_pause(&reader);
    job_reader_resume(&reader);
    ck_assert(!job_reader_is_paused(&reader));
}
END_TEST

START_TEST(the_loop_closes_a_paused_reader)
{
    make_file("a", 100000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    start(NULL);
    job_reader_pause(&reader);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    ck_assert_int_eq(end_status, -ECANCELED);
    ck_assert_uint_eq(told, 0);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
}
END_TEST

/* The end frees the reader, and starts another one in its place. */
static struct job_reader *own;
static unsigned generations;

static void own_data(struct job_reader *of, struct job_buf **in)
{
    ck_assert_ptr_eq(of, own);
    (void)in;
}

static void own_end(struct job_reader *of, int status);
static const struct job_reader_events own_events = {own_data, own_end};

static void own_end(struct job_reader *of, int status)
{
    ck_assert_ptr_eq(of, own);
    ck_assert_int_eq(status, 0);
    free(own);
    own = NULL;
    if (++generations == 5)
        return;
    own = calloc(1, sizeof *own);
    ck_assert_ok(job_reader_start(own, &file, NULL, &own_events));
}

START_TEST(its_memory_is_free_in_its_end)
{
    make_file("a", 300000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    own = calloc(1, sizeof *own);
    generations = 0;
    ck_assert_ok(job_reader_start(own, &file, NULL, &own_events));
    run();
    ck_assert_uint_eq(generations, 5);
    close_file();
}
END_TEST

/* All of the arena is somebody's, who gives it back while the reader waits. */
static struct job_buf *hoard[16384];
static unsigned hoarded;

static void give_back(struct job_timer *timer)
{
    ck_assert_uint_eq(told, 0);
    while (hoarded > 0)
        job_buf_free(&hoard[--hoarded]);
    job_timer_close(timer, NULL);
}

START_TEST(without_memory_it_waits_and_goes_on)
{
    struct job_timer timer = {0};
    struct job_arena *arena = job_runtime_arena(runtime);
    make_file("a", 900000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    while (job_buf_alloc(arena, 1 << 20, NULL, &hoard[hoarded]) == 0 ||
           job_buf_alloc(arena, 4096, NULL, &hoard[hoarded]) == 0)
        ck_assert_uint_lt(++hoarded, 4096);
    ck_assert_ok(job_timer_open(loop, &timer, give_back));
    start(&(struct job_reader_options){.depth = 3});
    ck_assert_ok(job_timer_start(&timer, 2000000));
    run();
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 900000);
    close_file();
}
END_TEST

static void small_arena_setup(void)
{
    setup();
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
    struct job_runtime_options options = {.name = "test", .log = fixture_log, .memory_limit_bytes = 8 << 20};
    struct job_loop_options few = {.receive_slots = 4, .receive_slot_bytes = 4096};
    ck_assert_ok(job_runtime_open(&runtime, &options));
    ck_assert_ok(job_loop_open(runtime, &loop, &few));
    home = (struct job_timer){0};
}

/* Slots and runs are larger than what they are asked for: what counts is what is really taken. */
START_TEST(a_chunk_that_the_arena_never_has_is_refused_and_the_default_is_one_that_it_has)
{
    static const struct { size_t limit, chunk; int expected; } cases[] = {
        {131072, 0, 0},       {131072, 60000, 0},    {131072, 100000, -EINVAL},   {200000, 0, 0},
        {524288, 0, 0},       {524288, 262144, 0},   {524288, 300000, -EINVAL},   {1500000, 1100000, -EINVAL},
        {4 << 20, 1100000, 0}, {4 << 20, (2 << 20) + 1, -EINVAL},
    };
    make_file("a", 300000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ck_assert_int_eq(job_loop_close(&loop, 0), 0);
        fixture_close(runtime);
        struct job_runtime_options options = {.name = "test", .log = fixture_log, .memory_limit_bytes = cases[i].limit};
        struct job_loop_options few = {.receive_slots = 1, .receive_slot_bytes = 4096};
        ck_assert_ok(job_runtime_open(&runtime, &options));
        ck_assert_ok(job_loop_open(runtime, &loop, &few));
        ck_assert_int_eq(open_file("a", O_RDONLY), 0);
        forget();
        struct job_reader_options chunk = {.chunk_bytes = cases[i].chunk};
        int err = job_reader_start(&reader, &file, &chunk, &events);
        if (err != cases[i].expected)
            ck_abort_msg("limit %zu, chunk %zu: %d", cases[i].limit, cases[i].chunk, err);
        run();
        ck_assert_uint_eq(told, err == 0 ? 300000 : 0);
        close_file();
    }
    home = (struct job_timer){0};
}
END_TEST

static struct job_pool *pool;

/* Its mail is in the mailbox when the pool has been closed: some turns are enough for it to have memory for a read. */
static void it_has_looked(struct job_timer *timer)
{
    enum { TURNS = 10 };
    static unsigned turns;
    if (told == 0 && memory_now() == hoarded) {
        ck_assert_uint_lt(turns++, TURNS);
        ck_assert_ok(job_timer_start(timer, 0));
        return;
    }
    job_timer_close(timer, NULL);
}

static void closes_pool(struct job_timer *timer)
{
    static struct job_timer looks;
    ck_assert_uint_eq(told, 0);
    ck_assert_uint_eq(memory_now(), hoarded);
    ck_assert_int_eq(job_pool_close(&pool), 0);
    job_timer_close(timer, NULL);
    ck_assert_ok(job_timer_open(loop, &looks, it_has_looked));
    ck_assert_ok(job_timer_start(&looks, 0));
}

/* What a pool's tasks may need is reserved; nothing is freed when that ends, but bytes are spare then. */
START_TEST(it_goes_on_when_a_reserve_becomes_spare)
{
    enum { CHUNK = 65536, WORKERS = 160 };
    struct job_timer timer = {0};
    struct job_arena *arena = job_runtime_arena(runtime);
    make_file("a", 900000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = WORKERS}));
    for (; arena_spare(arena) >= CHUNK; hoarded++)
        ck_assert_ok(job_buf_alloc(arena, 1, NULL, &hoard[hoarded]));
    ck_assert_ok(job_timer_open(loop, &timer, closes_pool));
    start(&(struct job_reader_options){.depth = 1, .chunk_bytes = CHUNK});
    ck_assert_ok(job_timer_start(&timer, 2000000));

    run();

    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 900000);
    while (hoarded > 0)
        job_buf_free(&hoard[--hoarded]);
    close_file();
}
END_TEST

static void some_is_left(void)
{
    struct job_buf *buf = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 1 << 20, NULL, &buf));
    job_buf_free(&buf);
}

START_TEST(it_leaves_the_reserve_to_those_who_work)
{
    make_file("a", 20 << 20);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    start(&(struct job_reader_options){.depth = 8, .chunk_bytes = 1 << 20});
    at_data = some_is_left;
    run();
    ck_assert_int_eq(end_status, 0);
    ck_assert_uint_eq(told, 20 << 20);
    close_file();
}
END_TEST

START_TEST(what_cannot_be_started_is_refused)
{
    static const struct job_reader_events no_data = {NULL, end}, no_end = {data, NULL};
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, &events), -EINVAL);   /* never opened */
    make_file("a", 100);
    ck_assert_int_eq(open_file("missing", O_RDONLY), -ENOENT);
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, &events), -EBADF);
    close_file();
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_int_eq(job_reader_start(NULL, &file, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_reader_start(&reader, NULL, NULL, &events), -EINVAL);
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, NULL), -EINVAL);
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, &no_data), -EINVAL);
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, &no_end), -EINVAL);
    struct job_reader_options options[] = {
        {.depth = JOB_READER_DEPTH_MAX + 1}, {.chunk_bytes = (1 << 30) + 1}, {.offset = (uint64_t)1 << 63},
        {.offset = 1, .len = INT64_MAX},        {.offset = INT64_MAX},
    };
    for (unsigned i = 0; i < 5; i++)
        ck_assert_int_eq(job_reader_start(&reader, &file, &options[i], &events), -EINVAL);
    start(NULL);
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, &events), -EBUSY);
    run();
    ck_assert_int_eq(end_status, 0);
    job_file_close(&file, closed);
    ck_assert_int_eq(job_reader_start(&reader, &file, NULL, &events), -ECANCELED);
    run();
}
END_TEST

START_TEST(a_directory_ends_with_what_the_kernel_says)
{
    ck_assert_int_eq(open_file(".", O_RDONLY), 0);
    start(NULL);
    run();
    ck_assert_int_eq(end_status, -EISDIR);
    close_file();
}
END_TEST

int main(void)
{
    TCase *tcase, *small = tcase_create("small arena");
    Suite *suite = file_suite("reader", &tcase);
    tcase_add_test(tcase, every_byte_comes_once_and_in_order);
    tcase_add_test(tcase, a_part_of_a_file_is_read_and_no_byte_more);
    tcase_add_test(tcase, direct_reads_reach_the_last_byte);
    tcase_add_test(tcase, a_paused_reader_holds_no_more_than_its_depth_and_loses_nothing);
    tcase_add_test(tcase, a_file_that_shrinks_ends_earlier_and_without_a_gap);
    tcase_add_test(tcase, a_file_that_grows_is_read_as_far_as_it_reaches);
    tcase_add_test(tcase, a_file_that_has_lost_its_name_is_read_to_its_end);
    tcase_add_test(tcase, files_that_say_they_are_empty_are_read_all_the_same);
    tcase_add_test(tcase, a_pipe_is_read_to_its_end);
    tcase_add_test(tcase, from_where_the_descriptor_stands);
    tcase_add_test(tcase, an_append_moves_nobody_who_reads_at_the_current_position);
    tcase_add_test(tcase, stop_and_close_end_it_once_in_each_state);
    tcase_add_test(tcase, the_loop_closes_a_paused_reader);
    tcase_add_test(tcase, its_memory_is_free_in_its_end);
    tcase_add_test(tcase, what_cannot_be_started_is_refused);
    tcase_add_test(tcase, a_directory_ends_with_what_the_kernel_says);
    tcase_add_checked_fixture(small, small_arena_setup, teardown);
    tcase_set_timeout(small, 20);
    tcase_add_test(small, without_memory_it_waits_and_goes_on);
    tcase_add_test(small, a_chunk_that_the_arena_never_has_is_refused_and_the_default_is_one_that_it_has);
    tcase_add_test(small, it_goes_on_when_a_reserve_becomes_spare);
    tcase_add_test(small, it_leaves_the_reserve_to_those_who_work);
    suite_add_tcase(suite, small);
    return fixture_run(suite);
}
