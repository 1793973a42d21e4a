/* test_file.c — files on a real file system: what is read is what was written, by every way; ends and errors. */
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "engine/engine.h"
#include "io/file.h"
#include "loop/loop.h"
#include "support/file_fixture.h"

START_TEST(what_was_written_is_read)
{
    ck_assert_int_eq(open_file("a", O_RDWR | O_CREAT), 0);
    struct job_buf *buf = pattern(100000, false);
    ck_assert_ok(job_file_write(&file, &op, &buf, 0, ended));
    ck_assert_ptr_null(buf);
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, 100000);
    check_pattern(got, 0, 100000);   /* it comes back whole */
    job_buf_free(&got);

    ck_assert_ok(job_file_read(&file, &op, &buf, 50000, 777, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    check_pattern(got, 777, 50000);
    close_file();
}
END_TEST

START_TEST(a_read_beyond_the_end_is_short_and_one_behind_it_is_empty)
{
    struct job_buf *none = NULL;
    make_file("a", 1000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);

    ck_assert_ok(job_file_read(&file, &op, &none, 5000, 900, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, 100);
    check_pattern(got, 900, 100);
    ck_assert_ok(job_file_read(&file, &op, &none, 5000, 4000, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, 0);
    ck_assert_uint_eq(job_buf_len(got), 0);
    close_file();
}
END_TEST

START_TEST(a_read_goes_behind_what_the_buf_holds)
{
    struct job_buf *buf = NULL;
    make_file("a", 1000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 2000, NULL, &buf));
    ck_assert_ok(job_buf_write(buf, "head", 4));

    ck_assert_ok(job_file_read(&file, &op, &buf, 1000, 0, ended));
    run();

    char head[4];
    ck_assert_ok(job_buf_read(got, 0, head, 4));
    ck_assert_mem_eq(head, "head", 4);
    ck_assert_ok(job_buf_consume(&got, 4));
    check_pattern(got, 0, 1000);
    close_file();
}
END_TEST

START_TEST(what_is_in_memory_is_read_at_once)
{
    struct job_buf *buf = NULL;
    make_file("a", 100000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 120000, NULL, &buf));

    ck_assert_int_eq(job_file_read_now(&file, buf, 60000, 0), 60000);
    ck_assert_int_eq(job_file_read_now(&file, buf, 60000, 60000), 40000);
    check_pattern(buf, 0, 100000);
    ck_assert_int_eq(job_file_read_now(&file, buf, 10000, 100000), 0);
    ck_assert_int_eq(job_file_read_now(&file, buf, (size_t)1 << 20, 0), -EINVAL);   /* there is no such room */
    ck_assert_int_eq(job_file_read_now(&file, buf, 10, UINT64_MAX), -EINVAL);
    ck_assert_uint_eq(job_buf_len(buf), 100000);

    job_buf_free(&buf);
    close_file();
    ck_assert_int_eq(job_file_read_now(&file, buf, 10, 0), -EINVAL);
}
END_TEST

START_TEST(what_may_have_to_wait_is_not_read_at_once)
{
    struct job_buf *buf = NULL;
    int fds[2];
    struct job_buf_options aligned = {.page_aligned = true};
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 8192, &aligned, &buf));
    ck_assert_int_eq(job_file_read_now(&file, buf, 10, 0), -EBADF);   /* never opened */
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_ok(job_file_adopt(loop, &file, fds[0]));
    ck_assert_int_eq(job_file_read_now(&file, buf, 10, 0), -EAGAIN);
    close(fds[1]);
    close_file();
    make_file("a", 8192);
    int err = open_file("a", O_RDONLY | O_DIRECT);
    if (!is_without_direct(err))
        ck_assert_int_eq(job_file_read_now(&file, buf, 8192, 0), -EAGAIN);
    close_file();

    ck_assert_int_eq(open_file("a", O_RDWR), 0);   /* written to the disk, and gone from memory if the file system likes that */
    ck_assert_int_eq(fsync(job_file_descriptor(&file)), 0);
    ck_assert_int_eq(posix_fadvise(job_file_descriptor(&file), 0, 0, POSIX_FADV_DONTNEED), 0);
    int n = job_file_read_now(&file, buf, 8192, 0);
    ck_assert(n == -EAGAIN || n == 8192);
    ck_assert_uint_eq(job_buf_len(buf), n > 0 ? 8192 : 0);
    job_buf_free(&buf);
    close_file();
}
END_TEST

START_TEST(many_segments_are_written_in_order)
{
    struct job_buf *whole = NULL;
    ck_assert_int_eq(open_file("a", O_RDWR | O_CREAT), 0);
    for (unsigned i = 0; i < 20; i++) {   /* more than one vector takes */
        struct job_buf *buf = NULL;
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 4000, NULL, &buf));
        uint8_t *bytes = job_buf_room(buf, &(size_t){0});
        for (unsigned k = 0; k < 3000; k++)
            bytes[k] = byte_at(i * 3000 + k);
        ck_assert_ok(job_buf_extend(buf, 3000));
        if (!whole)
            whole = job_buf_take(&buf);
        else
            ck_assert_ok(job_buf_append(whole, &buf));
    }
    ck_assert_uint_gt(job_buf_segments(whole), 8);

    ck_assert_ok(job_file_write(&file, &op, &whole, 0, ended));
    run();
    ck_assert_uint_eq(count_seen, 60000);
    ck_assert_ok(job_file_read(&file, &op, &whole, 60000, 0, ended));
    run();

    check_pattern(got, 0, 60000);
    close_file();
}
END_TEST

START_TEST(a_part_begins_where_the_one_before_it_ended)
{
    enum { SEGMENTS = 40, BYTES = 3000, ALL = SEGMENTS * BYTES };   /* shorter ones would be joined */
    struct job_buf *whole = NULL;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        struct job_buf *buf = NULL;
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), BYTES, NULL, &buf));
        ck_assert_ok(job_buf_extend(buf, BYTES));
        if (!whole)
            whole = job_buf_take(&buf);
        else
            ck_assert_ok(job_buf_append(whole, &buf));
    }
    struct job_file_op parts = {.job_buf = whole};
    const struct job_buf *at = whole;
    size_t segment = 0, len;

    for (size_t done = 0; done <= ALL; done += 1 + done % 2917) {
        unsigned count = file_fill_vector(&parts, done, &len);
        parts.job_buf = NULL;   /* nobody goes back to the head */
        for (; segment < done / BYTES; segment++)
            at = job_buf_next(at);
        size_t behind = segment + FILE_VECTOR_MAX < SEGMENTS ? segment + FILE_VECTOR_MAX : SEGMENTS;
        ck_assert_uint_eq(count, behind - segment);
        ck_assert_uint_eq(len, count > 0 ? behind * BYTES - done : 0);
        if (count > 0)
            ck_assert_ptr_eq(file_vector(&parts)[0].iov_base, (char *)job_buf_data(at) + done % BYTES);
    }
    job_buf_free(&whole);
}
END_TEST

START_TEST(direct_reads_and_writes_go_by_aligned_bufs)
{
    int err = open_file("a", O_RDWR | O_CREAT | O_DIRECT);
    if (is_without_direct(err))
        return;
    ck_assert_int_eq(err, 0);
    struct job_buf *buf = pattern(8192, true);
    ck_assert_ok(job_file_write(&file, &op, &buf, 4096, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    job_buf_free(&got);

    ck_assert_ok(job_file_read(&file, &op, &buf, 65536, 4096, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    check_pattern(got, 0, 8192);
    ck_assert_uint_eq((uintptr_t)job_buf_data(got) % 4096, 0);
    close_file();
}
END_TEST

/* The ring issues it in the loop's own thread, where the kernel raises SIGXFSZ. */
START_TEST(a_direct_write_beyond_the_limit_of_the_process_is_an_error_and_ends_nothing)
{
    enum { ALLOWED = 65536 };
    struct rlimit before, limit;
    int err = open_file("a", O_RDWR | O_CREAT | O_DIRECT);
    if (is_without_direct(err))
        return;
    ck_assert_int_eq(err, 0);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = ALLOWED;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (unsigned i = 0; i < 2; i++) {   /* the second is wholly beyond */
        struct job_buf *buf = pattern(2 * (size_t)ALLOWED, true);
        ck_assert_ok(job_file_write(&file, &op, &buf, i * (uint64_t)ALLOWED, ended));
        run();
        ck_assert_int_eq(status_seen, -EFBIG);
        ck_assert_uint_eq(count_seen, i ? 0 : ALLOWED);
    }
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    close_file();
}
END_TEST

enum { PARTS = 8, PART_BYTES = 8 * 65536 };   /* 8 segments go to the kernel at a time */

static struct job_buf *many_parts(void)
{
    struct job_buf *whole = pattern(65536, true);
    for (unsigned i = 1; i < PARTS * 8; i++) {
        struct job_buf *buf = pattern(65536, true);
        ck_assert_ok(job_buf_append(whole, &buf));
    }
    return whole;
}

static uint64_t count_at_cancel;

/* When the kernel has written a part, and is at one that is not the last. */
static void cancels(struct job_timer *timer)
{
    if (ends == 0 && op.count > 0 && op.count < (PARTS - 1) * PART_BYTES) {
        count_at_cancel = op.count;
        ck_assert_ok(job_file_cancel(&op));
    }
    if (ends > 0 || count_at_cancel > 0)
        job_timer_close(timer, NULL);
}

START_TEST(a_cancelled_write_goes_no_further_than_what_the_disk_has_begun)
{
    int err = open_file("a", O_RDWR | O_CREAT | O_DIRECT);
    if (is_without_direct(err))
        return;
    ck_assert_int_eq(err, 0);
    unsigned cancelled = 0;
    for (unsigned i = 0; i < 20 || (cancelled == 0 && i < 500); i++) {   /* a write may be through before anybody looks */
        struct job_timer timer = {0};
        struct job_buf *buf = many_parts();
        count_at_cancel = 0;
        ends = 0;
        ck_assert_ok(job_file_write(&file, &op, &buf, 0, ended));
        if (i > 0) {   /* blocks that are there are written without a thread, and what the disk has begun is not interrupted */
            ck_assert_ok(job_timer_open(loop, &timer, cancels));
            ck_assert_ok(job_timer_start_repeating(&timer, 1, 20000));
        }
        run();
        ck_assert_int_eq(status_seen, count_at_cancel > 0 ? -ECANCELED : 0);
        if (count_at_cancel > 0)
            ck_assert_uint_le(count_seen, count_at_cancel + PART_BYTES);
        cancelled += count_at_cancel > 0;
    }
    if (cancelled == 0)
        fprintf(stderr, "not tested: each write was through before anybody looked\n");
    close_file();
}
END_TEST

START_TEST(appends_go_to_the_end)
{
    make_file("a", 100);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    for (int i = 0; i < 2; i++) {
        struct job_buf *buf = NULL;
        ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), 100, NULL, &buf));
        uint8_t *bytes = job_buf_room(buf, &(size_t){0});
        for (unsigned k = 0; k < 50; k++)
            bytes[k] = byte_at(100 + (unsigned)i * 50 + k);
        ck_assert_ok(job_buf_extend(buf, 50));
        ck_assert_ok(job_file_write(&file, &op, &buf, JOB_FILE_APPEND, ended));
        run();
        ck_assert_int_eq(status_seen, 0);
    }

    struct job_buf *none = NULL;
    ck_assert_ok(job_file_read(&file, &op, &none, 500, 0, ended));
    run();

    check_pattern(got, 0, 200);
    close_file();
}
END_TEST

START_TEST(the_current_position_moves_on)
{
    make_file("a", 100);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    struct job_buf *buf = pattern(30, false), *none = NULL;

    ck_assert_ok(job_file_write(&file, &op, &buf, JOB_FILE_CURRENT, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_ok(job_file_read(&file, &op, &none, 50, JOB_FILE_CURRENT, ended));
    run();

    check_pattern(got, 30, 50);
    ck_assert_int_eq(lseek(job_file_descriptor(&file), 0, SEEK_CUR), 80);
    close_file();
}
END_TEST

START_TEST(sync_truncate_allocate_advise_and_stat)
{
    struct statx status;
    make_file("a", 100);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    ck_assert_ok(job_file_truncate(&file, &op, 5000, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_ok(job_file_allocate(&file, &op, 0, 0, 10000, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_ok(job_file_advise(&file, &op, 0, 0, POSIX_FADV_SEQUENTIAL, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    for (int i = 0; i < 2; i++) {
        status_seen = 1;
        ck_assert_ok(job_file_sync(&file, &op, i == 0, ended));
        run();
        ck_assert_int_eq(status_seen, 0);
    }

    ck_assert_ok(job_file_stat(&file, &status));

    ck_assert_uint_eq(status.stx_size, 10000);
    close_file();
}
END_TEST

START_TEST(a_full_disk_is_an_error_that_says_how_much_was_written)
{
    ck_assert_int_eq(mkdir("full", 0700), 0);
    if (mount("tmpfs", "full", "tmpfs", 0, "size=64k") < 0)
        return;   /* not allowed here */
    ck_assert_int_eq(open_file("full/a", O_RDWR | O_CREAT), 0);
    struct job_buf *buf = pattern(100000, false);
    struct job_path path = at("full/b");

    ck_assert_ok(job_file_write(&file, &op, &buf, 0, ended));
    run();
    int status = status_seen;
    uint64_t count = count_seen;
    size_t len = job_buf_len(got);
    buf = job_buf_take(&got);
    ck_assert_ok(job_path_store(&file.handle, &op, &path, 0, &buf, ended));
    run();
    int store_status = status_seen;
    unsigned names = names_in("full");
    close_file();
    ck_assert_int_eq(umount2("full", MNT_DETACH), 0);

    ck_assert_int_eq(status, -ENOSPC);
    ck_assert_uint_le(count, 65536);
    ck_assert_uint_gt(count, 0);
    ck_assert_uint_eq(len, 100000);
    ck_assert_int_eq(store_status, -ENOSPC);
    ck_assert_uint_eq(names, 1);   /* no temporary file is left */
}
END_TEST

START_TEST(locks_are_seen_by_other_descriptors)
{
    make_file("a", 10);
    ck_assert_int_eq(open_file("a", O_RDWR), 0);
    int other = open("a", O_RDWR | O_CLOEXEC);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    ck_assert_int_eq(fcntl(other, F_OFD_SETLK, &range), 0);

    ck_assert_int_eq(job_file_lock(&file, JOB_FILE_LOCK_SHARED, 0, 0), -EAGAIN);
    close(other);
    ck_assert_int_eq(job_file_lock(&file, JOB_FILE_LOCK_EXCLUSIVE, 0, 0), 0);
    ck_assert_int_eq(job_file_lock(&file, JOB_FILE_UNLOCK, 0, 0), 0);

    close_file();
}
END_TEST

START_TEST(a_file_that_shrinks_while_it_is_read_ends_earlier)
{
    struct job_buf *none = NULL;
    make_file("a", 100000);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);
    ck_assert_int_eq(truncate("a", 500), 0);

    ck_assert_ok(job_file_read(&file, &op, &none, 100000, 0, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    check_pattern(got, 0, 500);
    ck_assert_int_eq(unlink("a"), 0);   /* and what has no name any more is still read */
    ck_assert_ok(job_file_read(&file, &op, &none, 100000, 100, ended));
    run();
    check_pattern(got, 100, 400);
    close_file();
}
END_TEST

START_TEST(a_pipe_is_read_in_turn_and_written_without_a_signal)
{
    int fds[2];
    struct job_buf *none = NULL;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_ok(job_file_adopt(loop, &file, fds[0]));
    ck_assert_int_eq(write(fds[1], "hello", 5), 5);

    ck_assert_ok(job_file_read(&file, &op, &none, 100, 0, ended));
    run();
    ck_assert_uint_eq(count_seen, 5);
    close(fds[1]);
    ck_assert_ok(job_file_read(&file, &op, &none, 100, 0, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, 0);
    close_file();

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    close(fds[0]);
    ck_assert_ok(job_file_adopt(loop, &file, fds[1]));
    struct job_buf *buf = pattern(10, false);
    ck_assert_ok(job_file_write(&file, &op, &buf, 0, ended));
    run();
    ck_assert_int_eq(status_seen, -EPIPE);
    close_file();
}
END_TEST

/* O_NONBLOCK belongs to all who have the pipe: another process that shares it may have set it. */

static int other_end;
static struct job_timer later;

static void writes(struct job_timer *timer)
{
    ck_assert_int_eq(write(other_end, "hello", 5), 5);
    job_timer_close(timer, NULL);
}

START_TEST(a_read_waits_for_a_pipe_that_does_not_block)
{
    int fds[2];
    struct job_buf *none = NULL;
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    other_end = fds[1];
    ck_assert_ok(job_file_adopt(loop, &file, fds[0]));
    ck_assert_ok(job_file_read(&file, &op, &none, 100, 0, ended));
    ck_assert_ok(job_timer_open(loop, &later, writes));
    ck_assert_ok(job_timer_start(&later, 20000000));

    run();

    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, 5);
    close(fds[1]);
    close_file();
}
END_TEST

enum { MUCH = 300000 };

static void *reads_much(void *arg)
{
    static char bytes[MUCH];
    ssize_t sum = 0, n = 1;
    for (; sum < MUCH && n > 0; sum += n)
        n = read(other_end, bytes, sizeof bytes);
    return arg;
}

static pthread_t reading;

static void begins_to_read(struct job_timer *timer)
{
    ck_assert_uint_eq(ends, 0);
    ck_assert_int_eq(pthread_create(&reading, NULL, reads_much, NULL), 0);
    job_timer_close(timer, NULL);
}

START_TEST(a_write_waits_for_a_full_pipe_that_does_not_block)
{
    int fds[2];
    ck_assert_int_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, 0), 0);
    other_end = fds[0];
    ck_assert_ok(job_file_adopt(loop, &file, fds[1]));
    struct job_buf *buf = pattern(MUCH, false);
    ck_assert_ok(job_file_write(&file, &op, &buf, 0, ended));
    ck_assert_ok(job_timer_open(loop, &later, begins_to_read));
    ck_assert_ok(job_timer_start(&later, 20000000));

    run();

    pthread_join(reading, NULL);
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, MUCH);
    close(fds[0]);
    close_file();
}
END_TEST

/* The mount of a memory file is in no name space, so the kernel says its kind in another way. */
START_TEST(a_file_of_a_local_file_system_is_read_by_the_ring)
{
    struct job_buf *none = NULL;
    make_file("a", 1000);
    int fd = open("a", O_RDONLY | O_CLOEXEC);
    if (_i == 1) {
        fd = memfd_create("a", MFD_CLOEXEC);
        ck_assert_int_eq(ftruncate(fd, 1000), 0);
    }
    ck_assert_ok(job_file_adopt(loop, &file, fd));

    ck_assert_ok(job_file_read(&file, &op, &none, 2000, 100, ended));
    ck_assert_uint_eq(loop->engine->in_flight, 1);
    run();

    ck_assert_uint_eq(count_seen, 900);
    close_file();
}
END_TEST

/* The ring would end such a read with EAGAIN where the disk must be waited for, or try it over and over. */
START_TEST(a_file_that_does_not_block_is_read_by_a_thread)
{
    struct job_buf *none = NULL;
    make_file("a", 1000);
    int fd = open("a", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ck_assert_ok(job_file_adopt(loop, &file, fd));

    ck_assert_ok(job_file_read(&file, &op, &none, 2000, 100, ended));
    ck_assert_uint_eq(loop->engine->in_flight, 0);
    run();

    ck_assert_uint_eq(count_seen, 900);
    check_pattern(got, 100, 900);
    ck_assert_int_eq(lseek(fd, 0, SEEK_CUR), 0);
    close_file();
}
END_TEST

int main(void)
{
    TCase *tcase;
    Suite *suite = file_suite("file", &tcase);
    tcase_add_test(tcase, what_was_written_is_read);
    tcase_add_test(tcase, a_read_beyond_the_end_is_short_and_one_behind_it_is_empty);
    tcase_add_test(tcase, a_read_goes_behind_what_the_buf_holds);
    tcase_add_test(tcase, what_is_in_memory_is_read_at_once);
    tcase_add_test(tcase, what_may_have_to_wait_is_not_read_at_once);
    tcase_add_test(tcase, many_segments_are_written_in_order);
    tcase_add_test(tcase, a_part_begins_where_the_one_before_it_ended);
    tcase_add_test(tcase, direct_reads_and_writes_go_by_aligned_bufs);
    tcase_add_test(tcase, a_direct_write_beyond_the_limit_of_the_process_is_an_error_and_ends_nothing);
    tcase_add_test(tcase, a_cancelled_write_goes_no_further_than_what_the_disk_has_begun);
    tcase_add_test(tcase, appends_go_to_the_end);
    tcase_add_test(tcase, the_current_position_moves_on);
    tcase_add_test(tcase, sync_truncate_allocate_advise_and_stat);
    tcase_add_test(tcase, a_full_disk_is_an_error_that_says_how_much_was_written);
    tcase_add_test(tcase, locks_are_seen_by_other_descriptors);
    tcase_add_test(tcase, a_file_that_shrinks_while_it_is_read_ends_earlier);
    tcase_add_test(tcase, a_pipe_is_read_in_turn_and_written_without_a_signal);
    tcase_add_test(tcase, a_read_waits_for_a_pipe_that_does_not_block);
    tcase_add_test(tcase, a_write_waits_for_a_full_pipe_that_does_not_block);
    tcase_add_loop_test(tcase, a_file_of_a_local_file_system_is_read_by_the_ring, 0, 2);
    tcase_add_test(tcase, a_file_that_does_not_block_is_read_by_a_thread);
    return fixture_run(suite);
}
