/* test_file_life.c — the life of a file: opens that fail or wait, requests under way when it closes, what is refused. */
#include <linux/openat2.h>
#include <sys/inotify.h>

#include "support/file_fixture.h"

START_TEST(an_open_that_fails_tells_why_and_is_closed_as_any_other)
{
    struct job_buf *none = NULL;
    ck_assert_int_eq(open_file("missing", O_RDONLY), -ENOENT);

    ck_assert_int_eq(job_file_descriptor(&file), -1);
    ck_assert_int_eq(job_file_read(&file, &op, &none, 10, 0, ended), -EBADF);
    ck_assert_int_eq(job_file_lock(&file, JOB_FILE_LOCK_SHARED, 0, 0), -EBADF);
    close_file();

    ck_assert_int_eq(open_file("a", O_RDWR | O_CREAT | O_EXCL), 0);
    close_file();
    ck_assert_int_eq(open_file("a", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    close_file();
}
END_TEST

START_TEST(closing_ends_every_request_once_and_then_the_file)
{
    enum { READS = 16 };
    static struct job_file_op ops[READS];
    struct job_buf *none = NULL;
    make_file("a", 1 << 20);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    for (unsigned i = 0; i < READS; i++) {
        if (i % 4 == 3)
            ck_assert_ok(job_file_truncate(&file, &ops[i], 1 << 20, ended));
        else
            ck_assert_ok(job_file_read(&file, &ops[i], &none, 65536, i * 65536, ended));
    }

    job_file_close(&file, closed);
    ck_assert_uint_eq(ends, 0);   /* never inside the call */
    ck_assert_int_eq(job_file_read(&file, &op, &none, 10, 0, ended), -ECANCELED);
    run();

    ck_assert_uint_eq(ends, READS);
    ck_assert_uint_eq(closes, 1);
}
END_TEST

START_TEST(closing_while_the_open_is_under_way_leaks_no_descriptor)
{
    int before = fixture_descriptors();
    make_file("a", 10);
    for (unsigned i = 0; i < 200; i++) {
        struct job_file_options options = {.path = at("a"), .flags = i % 2 ? O_RDWR | O_CREAT : O_RDONLY};
        file = (struct job_file){0};
        ck_assert_ok(job_file_open(loop, &file, &options, opened));
        job_file_close(&file, closed);
        run();
    }

    ck_assert_uint_eq(closes, 200);
    ck_assert_uint_eq(opens, 0);
    ck_assert_int_le(fixture_descriptors(), before + 2);   /* the loop's, which it opens when it first runs */
}
END_TEST

/* Its number may be another file's by then. */
START_TEST(a_closed_file_has_no_descriptor)
{
    struct job_buf *buf = NULL;
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    int fd = job_file_descriptor(&file);
    ck_assert_int_ge(fd, 0);
    close_file();
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 10, NULL, &buf));
    int another = open("a", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(dup2(another, fd), fd);

    ck_assert_int_eq(job_file_descriptor(&file), -1);
    ck_assert_int_eq(job_file_read_now(&file, buf, 10, 0), -EBADF);

    close(fd);
    if (another != fd)
        close(another);
    job_buf_free(&buf);
}
END_TEST

START_TEST(a_fifo_without_a_writer_does_not_stop_the_loop)
{
    struct job_file_options options = {.path = at("fifo"), .flags = O_RDONLY};
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);

    ck_assert_ok(job_file_open(loop, &file, &options, opened));
    ck_assert_uint_eq(opens, 0);   /* it has returned, although nobody has the other end */
    int writer = open("fifo", O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(writer, 0);
    run();

    ck_assert_int_eq(status_seen, 0);
    close(writer);
    close_file();
}
END_TEST

static int opens_of(int watch)
{
    struct inotify_event events[16];
    ssize_t n = read(watch, events, sizeof events);
    return n < 0 ? 0 : (int)(n / (ssize_t)sizeof events[0]);
}

/* To open one end of a FIFO and close it again wakes whoever waits at the other, to whom it looks like a peer that came and went. */
START_TEST(a_fifo_is_opened_by_nobody_but_the_thread_that_waits_for_its_other_end)
{
    struct job_file_options to_read = {.path = at("fifo"), .flags = O_RDONLY};
    int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);
    ck_assert_int_ge(inotify_add_watch(watch, "fifo", IN_OPEN | IN_CLOSE), 0);

    if (_i == 0)
        ck_assert_ok(job_file_open(loop, &file, &to_read, opened));
    else
        ck_assert_ok(job_path_load(&home.handle, &op, &(struct job_path){.name = "fifo"}, 100, ended));
    ck_assert_int_eq(opens_of(watch), 0);   /* a thread sleeps in open(2) by now, or will */

    int writer = open("fifo", O_WRONLY | O_CLOEXEC);   /* the other one has opened it as well */
    ck_assert_int_ge(writer, 0);
    ck_assert_int_eq(write(writer, "hello", 5), 5);
    ck_assert_int_ge(opens_of(watch), 1);
    close(writer);
    run();

    ck_assert_int_eq(status_seen, 0);
    if (_i == 0)
        close_file();
    else
        ck_assert_uint_eq(count_seen, 5);
    close(watch);
}
END_TEST

static void *cancels_elsewhere(void *arg)
{
    *(int *)arg = job_file_cancel(&op);
    return NULL;
}

START_TEST(a_request_is_cancelled_by_the_loops_thread_alone)
{
    pthread_t thread;
    int said = 1;
    struct job_buf *none = NULL;
    make_file("a", 1000);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    if (_i == 0)
        ck_assert_ok(job_file_read(&file, &op, &none, 1000, 0, ended));      /* by the ring */
    else
        ck_assert_ok(job_file_truncate(&file, &op, 1000, ended));            /* by a thread */

    ck_assert_int_eq(pthread_create(&thread, NULL, cancels_elsewhere, &said), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(said, -EPERM);
    run();

    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(status_seen, 0);
    close_file();
}
END_TEST

START_TEST(bad_arguments_are_refused)
{
    struct job_buf *none = NULL, *small = NULL;
    struct job_file_options options = {.path = at(NULL)};
    struct job_path path = at("a"), resolved = {.name = "a", .resolve = RESOLVE_BENEATH};
    ck_assert_int_eq(job_file_open(loop, &file, &options, opened), -EINVAL);
    ck_assert_int_eq(job_file_open(loop, &file, NULL, opened), -EINVAL);
    ck_assert_int_eq(job_file_adopt(loop, &file, 1000), -EBADF);
    ck_assert_int_eq(job_file_adopt(loop, &file, -1), -EBADF);
    ck_assert_int_eq(job_file_adopt(NULL, &file, -1), -EINVAL);
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 10, NULL, &small));
    size_t room;
    (void)job_buf_room(small, &room);

    ck_assert_int_eq(job_file_read(&file, &op, NULL, 10, 0, ended), -EINVAL);
    ck_assert_int_eq(job_file_read(&file, &op, &none, 0, 0, ended), -EINVAL);
    ck_assert_int_eq(job_file_read(&file, &op, &none, 10, UINT64_MAX, ended), -EINVAL);
    ck_assert_int_eq(job_file_read(&file, &op, &small, room + 1, 0, ended), -EINVAL);
    ck_assert_int_eq(job_file_read(&file, &op, &none, 10, 0, NULL), -EINVAL);
    ck_assert_int_eq(job_file_read(&file, NULL, &none, 10, 0, ended), -EINVAL);
    ck_assert_int_eq(job_file_write(&file, &op, &none, 0, ended), -EINVAL);
    ck_assert_int_eq(job_path_unlink(&file.handle, &op, &resolved, false, ended), -EINVAL);
    ck_assert_int_eq(job_path_rename(&file.handle, &op, &path, NULL, 0, ended), -EINVAL);
    ck_assert_int_eq(job_path_load(&file.handle, &op, &path, (size_t)2 << 30, ended), -EINVAL);
    ck_assert_int_eq(job_path_load(NULL, &op, &path, 10, ended), -EINVAL);
    ck_assert_int_eq(job_file_cancel(&op), -ENOENT);
    ck_assert_int_eq(job_file_cancel(NULL), -EINVAL);

    job_buf_free(&small);
    close_file();
}
END_TEST

int main(void)
{
    TCase *tcase;
    Suite *suite = file_suite("file life", &tcase);
    tcase_add_test(tcase, an_open_that_fails_tells_why_and_is_closed_as_any_other);
    tcase_add_test(tcase, closing_ends_every_request_once_and_then_the_file);
    tcase_add_test(tcase, closing_while_the_open_is_under_way_leaks_no_descriptor);
    tcase_add_test(tcase, a_closed_file_has_no_descriptor);
    tcase_add_test(tcase, a_fifo_without_a_writer_does_not_stop_the_loop);
    tcase_add_loop_test(tcase, a_fifo_is_opened_by_nobody_but_the_thread_that_waits_for_its_other_end, 0, 2);
    tcase_add_loop_test(tcase, a_request_is_cancelled_by_the_loops_thread_alone, 0, 2);
    tcase_add_test(tcase, bad_arguments_are_refused);
    return fixture_run(suite);
}
