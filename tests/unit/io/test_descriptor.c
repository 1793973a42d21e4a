/* test_descriptor.c — who closes a descriptor: the loop where close(2) has nothing to do, and a thread elsewhere, before `closed` comes. */
#include "base/atomic.h"
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

START_TEST(what_is_no_file_is_closed_by_a_thread)
{
    int ends_of_pipe[2];
    ck_assert_int_eq(pipe(ends_of_pipe), 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_ok(job_file_adopt(loop, &file, ends_of_pipe[i]));
        close_and_look(false);
    }
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
    tcase_add_test(tcase, what_is_no_file_is_closed_by_a_thread);
    tcase_add_test(tcase, when_no_thread_takes_it_the_loop_closes_it);
    tcase_add_test(tcase, while_a_thread_closes_it_the_file_has_no_descriptor_and_closes_once);
    tcase_add_test(tcase, a_loop_that_closes_waits_for_the_thread);
    tcase_add_test(tcase, a_watch_is_closed_by_a_thread);
    return fixture_run(suite);
}
