/* test_view.c — one view in many places at once: streams, tasks on several threads, what is left at close. No byte is copied on the way. */
#include <sys/mman.h>

#include "support/fixture.h"

enum { PEERS = 16, LEN = 50000, TASKS = 24, WORKERS = 3 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_stream streams[PEERS];
static int peers[PEERS];
static unsigned sent, ended;
static int sent_status, end_status;
static uint8_t pattern[LEN];

static void set_up(void)
{
    runtime = fixture_runtime();
    sent = ended = 0;
    for (size_t i = 0; i < LEN; i++)
        pattern[i] = (uint8_t)(i * 13 + i / 200);
}

/* Nothing here may have been copied by the library. */
static void tear_down(void)
{
    struct job_counts counts;
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.copied_bytes, 0);
    fixture_close(runtime);
}

static void ignore_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    (void)in;
}

static void on_sent(struct job_stream *stream, int status)
{
    (void)stream;
    sent_status = status;
    if (++sent == PEERS)
        job_loop_stop(loop);
}

static void on_end(struct job_stream *stream, int status)
{
    (void)stream;
    ended++;
    end_status = status;
    job_loop_stop(loop);
}

static const struct job_stream_events events = {.data = ignore_data, .sent = on_sent, .end = on_end};

static void open_streams(unsigned count)
{
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    for (unsigned i = 0; i < count; i++) {
        int fds[2];
        fixture_pair(fds);
        peers[i] = fds[0];
        ck_assert_ok(job_stream_adopt(loop, &streams[i], fds[1], &events));
    }
}

static void close_streams(unsigned count)
{
    ck_assert_ok(job_loop_close(&loop, 0));
    for (unsigned i = 0; i < count; i++)
        close(peers[i]);
}

static struct job_buf *make_view(void)
{
    struct job_buf *view = NULL;
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), LEN, NULL, &view));
    ck_assert_ok(job_buf_write(view, pattern, LEN));
    ck_assert_ok(job_buf_freeze(view));
    return view;
}

static struct job_buf *slice_of(const struct job_buf *view, size_t offset, size_t len)
{
    struct job_buf *slice = NULL;
    ck_assert_ok(job_buf_slice(view, offset, len, &slice));
    return slice;
}

/* A head of its own for each, all of the view in two parts, and once more its first byte: short ones are not copied either. */
static void send_to(unsigned i, const struct job_buf *view)
{
    char head[] = {(char)('a' + i)};
    struct job_buf *left = slice_of(view, 0, LEN / 2), *right = slice_of(view, LEN / 2, LEN - LEN / 2);
    struct job_buf *first = slice_of(view, 0, 1);
    ck_assert_ok(job_stream_write(&streams[i], head, 1));
    ck_assert_ok(job_stream_send(&streams[i], &left));
    ck_assert_ok(job_stream_send(&streams[i], &right));
    ck_assert_ok(job_stream_send(&streams[i], &first));
    ck_assert_ptr_null(first);
}

START_TEST(a_view_is_sent_to_many_streams_at_once_without_a_copy)
{
    static uint8_t got[LEN + 2];
    open_streams(PEERS);
    struct job_buf *view = make_view();
    for (unsigned i = 0; i < PEERS; i++)
        send_to(i, view);
    ck_assert_int_eq(job_buf_thaw(view), -EBUSY);

    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_int_eq(sent_status, 0);
    for (unsigned i = 0; i < PEERS; i++) {
        ck_assert_uint_eq(fixture_read(peers[i], got, sizeof got), sizeof got);
        ck_assert_int_eq(got[0], 'a' + (int)i);
        ck_assert_mem_eq(got + 1, pattern, LEN);
        ck_assert_int_eq(got[LEN + 1], pattern[0]);
    }
    ck_assert_ok(job_buf_thaw(view)); /* all has been sent: it is the only owner again */
    job_buf_free(&view);
    close_streams(PEERS);
}
END_TEST

static struct job_pool *pool;
static struct job_timer home;
static unsigned done;
static uint64_t sums[TASKS];

static void add_up(struct job_task *task)
{
    uint64_t *sum = task->data;
    for (const struct job_buf *segment = task->buf; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++)
            *sum += bytes[i];
    }
    if (job_buf_len(task->buf) % 2)   /* half of them end here, on this thread */
        job_buf_free(&task->buf);
}

static void added_up(struct job_task *task, int status)
{
    (void)task;
    ck_assert_int_eq(status, 0);
    if (++done == TASKS)
        job_loop_stop(loop);
}

static void never(struct job_timer *timer)
{
    (void)timer;
}

START_TEST(a_view_is_read_by_tasks_on_several_threads_at_once)
{
    static struct job_task tasks[TASKS];
    uint64_t expected = 0;
    done = 0;
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = WORKERS, .queue_limit = TASKS}));
    ck_assert_ok(job_timer_open(loop, &home, never));
    struct job_buf *view = make_view();
    for (unsigned i = 0; i < TASKS; i++) {
        struct job_buf *slice = slice_of(view, 0, LEN - i);
        sums[i] = 0;
        ck_assert_ok(job_task_init(&tasks[i], pool, add_up, added_up));
        tasks[i].data = &sums[i];
        ck_assert_ok(job_task_give(&tasks[i], &slice));
        ck_assert_ok(job_submit(pool, &tasks[i], &home.handle));
    }

    ck_assert_int_eq(job_loop_run(loop), 1);
    for (size_t i = 0; i < LEN; i++)
        expected += pattern[i];
    for (unsigned i = 0; i < TASKS; i++) {
        ck_assert_uint_eq(sums[i], expected);
        expected -= pattern[LEN - 1 - i];
    }
    ck_assert_ok(job_buf_thaw(view)); /* the last `done` has returned: all slices are back */
    memset(job_buf_data(view), 0, LEN);
    job_buf_free(&view);
    ck_assert_ok(job_loop_close(&loop, 0));
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

struct copier {
    pthread_t thread;
    const struct job_buf *view;
    unsigned rounds;
    uint64_t sum;
};

/* Slices what another thread owns, without a cache and without a lock. */
static void *slice_and_add_up(void *arg)
{
    struct copier *copier = arg;
    for (unsigned i = 0; i < copier->rounds; i++) {
        struct job_buf *slice = slice_of(copier->view, i % 100, 10), *part = slice_of(slice, 5, 1);
        job_buf_free(&slice);
        copier->sum += *(const uint8_t *)job_buf_data(part);
        job_buf_free(&part);
    }
    return NULL;
}

START_TEST(threads_slice_one_view_that_none_of_them_owns)
{
    struct copier copiers[4];
    struct job_buf *view = make_view();
    unsigned rounds = fixture_rounds("ROUNDS", 20000);
    uint64_t expected = 0;
    for (unsigned i = 0; i < rounds; i++)
        expected += pattern[i % 100 + 5];
    for (unsigned i = 0; i < 4; i++) {
        copiers[i] = (struct copier){.view = view, .rounds = rounds};
        ck_assert_int_eq(pthread_create(&copiers[i].thread, NULL, slice_and_add_up, &copiers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(copiers[i].thread, NULL), 0);
        ck_assert_uint_eq(copiers[i].sum, expected);
    }
    ck_assert_ok(job_buf_thaw(view));
    memset(job_buf_data(view), 0, LEN);
    job_buf_free(&view);
}
END_TEST

static unsigned released;

static void release(void *arg, void *memory, size_t len)
{
    (void)arg;
    (void)len;
    memset(memory, 0, 1); /* nobody reads it any more */
    free(memory);
    released++;
}

START_TEST(foreign_memory_that_is_still_queued_at_close_is_released_once)
{
    enum { LARGE = 8 << 20, COUNT = 3 };
    released = 0;
    open_streams(1);
    for (unsigned i = 0; i < COUNT; i++) {
        struct job_buf *view = NULL;
        ck_assert_ok(job_buf_wrap(job_runtime_arena(runtime), calloc(1, LARGE), LARGE, release, NULL, &view));
        ck_assert_ok(job_stream_send(&streams[0], &view)); /* nobody reads: more than the socket holds */
    }
    ck_assert_uint_eq(released, 0);
    close_streams(1);
    ck_assert_uint_eq(released, COUNT);
}
END_TEST

START_TEST(a_runtime_with_foreign_memory_is_busy)
{
    struct job_runtime *kept = runtime;
    struct job_counts counts;
    struct job_buf *view = NULL;
    released = 0;
    ck_assert_ok(job_buf_wrap(job_runtime_arena(runtime), calloc(1, 10), 10, release, NULL, &view));
    job_runtime_counts(runtime, &counts);
    ck_assert_uint_eq(counts.wraps, 1);
    ck_assert_uint_eq(counts.views, 1);
    ck_assert_uint_eq(counts.bufs, 1);
    ck_assert_int_eq(job_runtime_close(&kept), -EBUSY);
    ck_assert_uint_eq(released, 0);
    job_buf_free(&view);
    ck_assert_uint_eq(released, 1);
}
END_TEST

START_TEST(sending_a_mapped_file_that_was_truncated_fails_the_stream_and_not_the_process)
{
    static const char bytes[3 * 4096] = "bytes";
    int fd = memfd_create("truncated", MFD_CLOEXEC);
    struct job_buf *view = NULL;
    ck_assert_int_eq(write(fd, bytes, sizeof bytes), sizeof bytes);
    open_streams(1);
    ck_assert_ok(job_buf_map(job_runtime_arena(runtime), fd, 4096, 4096, &view));
    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    close(fd);

    ck_assert_ok(job_stream_send(&streams[0], &view));
    ck_assert_int_eq(job_loop_run(loop), 1);
    ck_assert_uint_eq(ended, 1);
    ck_assert_int_eq(end_status, -EFAULT);
    ck_assert_int_eq(sent_status, -EFAULT);
    close_streams(1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("view");
    TCase *tcase = tcase_create("view");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_view_is_sent_to_many_streams_at_once_without_a_copy);
    tcase_add_test(tcase, a_view_is_read_by_tasks_on_several_threads_at_once);
    tcase_add_test(tcase, threads_slice_one_view_that_none_of_them_owns);
    tcase_add_test(tcase, foreign_memory_that_is_still_queued_at_close_is_released_once);
    tcase_add_test(tcase, a_runtime_with_foreign_memory_is_busy);
    tcase_add_test(tcase, sending_a_mapped_file_that_was_truncated_fails_the_stream_and_not_the_process);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
