/* test_descriptor.c — who closes a descriptor: the loop where close(2) has nothing to do or no thread is free, a thread elsewhere. */
#include "base/atomic.h"
#include "io/file.h"
#include "sched/pool.h"
#include "support/file_fixture.h"

static atomic_u32 watched;         /* the descriptor whose close is looked at, and 1 */
static atomic_u32 closes_seen, closed_by_loop;
static pthread_t loop_thread;
static bool is_refusing;

int __real_sys_close(int fd);
int __wrap_sys_close(int fd);
int __wrap_sys_close(int fd)
{
    if (load_relaxed(&watched) == (uint32_t)fd + 1) {   /* set before the thread was given the descriptor */
        (void)fetch_add_relaxed(&closes_seen, 1);       /* read after `closed`, which comes by the task's end */
        (void)fetch_add_relaxed(&closed_by_loop, pthread_equal(pthread_self(), loop_thread) != 0);   /* as above */
    }
    return __real_sys_close(fd);
}

int __real_pool_submit(struct job_pool *pool, struct lane *lane, struct job_task *task);
int __wrap_pool_submit(struct job_pool *pool, struct lane *lane, struct job_task *task);
int __wrap_pool_submit(struct job_pool *pool, struct lane *lane, struct job_task *task)
{
    return is_refusing ? -EAGAIN : __real_pool_submit(pool, lane, task);
}

static void look_at(int fd)
{
    loop_thread = pthread_self();
    store_relaxed(&closes_seen, 0);   /* nobody else is there */
    store_relaxed(&closed_by_loop, 0);
    store_relaxed(&watched, (uint32_t)fd + 1);
}

static void close_and_look(bool is_by_loop)
{
    look_at(job_file_descriptor(&file));
    close_file();
    ck_assert_uint_eq(load_relaxed(&closes_seen), 1);
    ck_assert_uint_eq(load_relaxed(&closed_by_loop), is_by_loop);
}

START_TEST(what_was_only_read_and_has_a_name_is_closed_by_the_loop)
{
    static const int flags[] = {O_RDONLY, O_PATH, O_RDONLY | O_DIRECTORY};
    make_file("a", 10);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(open_file(flags[i] & O_DIRECTORY ? "." : "a", flags[i]), 0);
        close_and_look(true);
    }
}
END_TEST

START_TEST(what_was_written_or_has_no_name_is_closed_by_a_thread)
{
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_WRONLY), 0);
    close_and_look(false);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_int_eq(unlink("a"), 0);
    close_and_look(false);
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_int_eq(open_file("d", O_RDONLY | O_DIRECTORY), 0);
    ck_assert_int_eq(rmdir("d"), 0);
    close_and_look(false);
}
END_TEST

START_TEST(a_pipe_or_a_socket_is_closed_by_the_loop)
{
    int fds[4];
    ck_assert_int_eq(pipe(fds), 0);
    fixture_pair(fds + 2);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_ok(job_file_adopt(loop, &file, fds[i]));
        close_and_look(true);
    }
}
END_TEST

START_TEST(a_terminal_is_closed_by_a_thread)
{
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert_int_ge(terminal, 0);
    ck_assert_ok(job_file_adopt(loop, &file, terminal));
    close_and_look(false);
}
END_TEST

static struct job_file other_end;
static unsigned other_closes;

static void other_closed(struct job_file *of)
{
    ck_assert_ptr_eq(of, &other_end);
    other_closes++;
}

/* Another runtime, which has one thread for calls that sleep. */
static void begin_with_one_thread(struct job_runtime **own, struct job_loop **own_loop)
{
    struct job_runtime_options options = {.name = "one", .blocking_threads = 1, .log = fixture_log};
    other_end = (struct job_file){0};
    other_closes = 0;
    ck_assert_ok(job_runtime_open(own, &options));
    ck_assert_ok(job_loop_open(*own, own_loop, NULL));
}

static void end_with_one_thread(struct job_runtime *own, struct job_loop *own_loop)
{
    ck_assert_int_eq(job_loop_close(&own_loop, 0), 0);
    fixture_close(own);
}

static void reads_nothing(struct job_reader *reader, struct job_buf **in)
{
    (void)reader;
    (void)in;
    ck_abort_msg("read");
}

static void reads_to_the_end(struct job_reader *reader, int status)
{
    (void)reader;
    status_seen = status;
    ends++;
}

START_TEST(a_reader_of_a_pipe_that_has_the_last_thread_is_ended_by_the_close_of_the_other_end)
{
    static struct job_reader reader;
    static const struct job_reader_events events = {reads_nothing, reads_to_the_end};
    struct job_runtime *own;
    struct job_loop *own_loop;
    int fds[2];
    begin_with_one_thread(&own, &own_loop);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_ok(job_file_adopt(own_loop, &file, fds[0]));
    ck_assert_ok(job_file_adopt(own_loop, &other_end, fds[1]));
    ck_assert_ok(job_reader_start(&reader, &file, NULL, &events));

    job_file_close(&other_end, other_closed);
    ck_assert_int_eq(job_loop_run(own_loop), 0);

    ck_assert_uint_eq(other_closes, 1);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(status_seen, 0);
    end_with_one_thread(own, own_loop);
}
END_TEST

static void wait_for_busy(struct job_runtime *own)
{
    struct blocking *blocking = job_runtime_calls(own)->blocking;
    unsigned looks = 0;
    while (!load_acquire(&blocking->thread_count) || load_acquire(&blocking->free))
        fixture_pause(&looks);
}

START_TEST(what_is_written_while_all_threads_sleep_is_closed_by_the_loop_but_a_servers_file)
{
    struct job_runtime *own;
    struct job_loop *own_loop;
    struct job_buf *buf = NULL;
    int fds[2];
    begin_with_one_thread(&own, &own_loop);
    make_file("a", 10);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_ok(job_file_adopt(own_loop, &file, fds[0]));
    ck_assert_ok(job_file_adopt(own_loop, &other_end, open("a", O_WRONLY | O_CLOEXEC)));
    ck_assert_ok(job_file_read(&file, &op, &buf, 10, JOB_FILE_CURRENT, ended));
    if (_i == 1)
        other_end.job_flags &= ~(uint32_t)FILE_LOCAL;   /* as if a server gave it */
    wait_for_busy(own);   /* it sleeps in read(2) by now, or will */

    look_at(job_file_descriptor(&other_end));
    job_file_close(&other_end, other_closed);
    fixture_turns(own_loop, 2);

    ck_assert_uint_eq(other_closes, _i == 0);
    ck_assert_uint_eq(ends, 0);
    close(fds[1]);
    ck_assert_int_eq(job_loop_run(own_loop), 0);
    ck_assert_uint_eq(ends, 1);
    ck_assert_uint_eq(other_closes, 1);
    ck_assert_uint_eq(load_relaxed(&closed_by_loop), _i == 0);
    job_buf_free(&got);   /* it is the other runtime's */
    end_with_one_thread(own, own_loop);
}
END_TEST

START_TEST(when_no_thread_takes_it_the_loop_closes_it)
{
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);

    is_refusing = true;
    close_and_look(true);

    is_refusing = false;
}
END_TEST

START_TEST(who_stops_the_pool_of_calls_cancels_no_close)
{
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);

    job_pool_stop(job_runtime_calls(runtime));   /* ignored: the runtime alone ends it */

    close_and_look(false);
}
END_TEST

static void close_again(struct job_file *of)
{
    ck_assert_int_eq(job_file_descriptor(of), -1);
    job_file_close(of, closed);   /* ignored */
    closes++;
}

START_TEST(while_a_thread_closes_it_the_file_has_no_descriptor_and_closes_once)
{
    make_file("a", 10);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert_int_eq(open_file("a", O_RDWR), 0);
        look_at(job_file_descriptor(&file));
        job_file_close(&file, close_again);
        job_file_close(&file, close_again);
        run();
        ck_assert_uint_eq(closes, i + 1);
        ck_assert_uint_eq(load_relaxed(&closes_seen), 1);
    }
}
END_TEST

START_TEST(a_loop_that_closes_waits_for_the_thread)
{
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    look_at(job_file_descriptor(&file));

    ck_assert_int_eq(job_loop_close(&loop, 0), 0);

    ck_assert_uint_eq(load_relaxed(&closes_seen), 1);
    ck_assert_uint_eq(load_relaxed(&closed_by_loop), 0);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));   /* for the fixture */
}
END_TEST

/* As one whose thread had no CPU until the deadline. */
START_TEST(a_loop_whose_time_is_up_closes_local_files_itself)
{
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", _i == 0 ? O_WRONLY : O_RDONLY), 0);
    if (_i > 0)
        ck_assert_int_eq(unlink("a"), 0);
    look_at(job_file_descriptor(&file));

    ck_assert_int_eq(job_loop_close(&loop, 1), 0);

    ck_assert_uint_eq(load_relaxed(&closes_seen), 1);
    ck_assert_uint_eq(load_relaxed(&closed_by_loop), 1);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));   /* for the fixture */
}
END_TEST

static void changed(struct job_watch *watch, struct job_watch_entry *entry, const struct job_watch_event *event)
{
    (void)watch;
    (void)entry;
    (void)event;
}

static void watch_closed(struct job_watch *watch)
{
    (void)watch;
    closes++;
}

START_TEST(a_watch_is_closed_by_a_thread)
{
    static struct job_watch watch;
    ck_assert_ok(job_watch_open(loop, &watch, changed));
    look_at(watch.job_fd);

    job_watch_close(&watch, watch_closed);
    run();

    ck_assert_uint_eq(closes, 1);
    ck_assert_uint_eq(load_relaxed(&closes_seen), 1);
    ck_assert_uint_eq(load_relaxed(&closed_by_loop), 0);
}
END_TEST

int main(void)
{
    TCase *tcase;
    Suite *suite = file_suite("descriptor", &tcase);
    tcase_add_test(tcase, what_was_only_read_and_has_a_name_is_closed_by_the_loop);
    tcase_add_test(tcase, what_was_written_or_has_no_name_is_closed_by_a_thread);
    tcase_add_test(tcase, a_pipe_or_a_socket_is_closed_by_the_loop);
    tcase_add_test(tcase, a_terminal_is_closed_by_a_thread);
    tcase_add_test(tcase, a_reader_of_a_pipe_that_has_the_last_thread_is_ended_by_the_close_of_the_other_end);
    tcase_add_loop_test(tcase, what_is_written_while_all_threads_sleep_is_closed_by_the_loop_but_a_servers_file, 0, 2);
    tcase_add_test(tcase, when_no_thread_takes_it_the_loop_closes_it);
    tcase_add_test(tcase, who_stops_the_pool_of_calls_cancels_no_close);
    tcase_add_test(tcase, while_a_thread_closes_it_the_file_has_no_descriptor_and_closes_once);
    tcase_add_test(tcase, a_loop_that_closes_waits_for_the_thread);
    tcase_add_loop_test(tcase, a_loop_whose_time_is_up_closes_local_files_itself, 0, 2);
    tcase_add_test(tcase, a_watch_is_closed_by_a_thread);
    return fixture_run(suite);
}
