/* test_load_now.c — job_path_load_now(): a whole file if it is in memory, by any thread; what it refuses, and that nothing is left then. */
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/atomic.h"
#include "support/file_fixture.h"

/* What is in memory may be refused for a moment: whoever changes a directory above makes the kernel look again, at leisure. */
static int load_at(const struct job_path *path, size_t limit)
{
    int err = -EAGAIN;
    for (unsigned i = 0; i < 1000 && err == -EAGAIN; i++) {
        job_buf_free(&got);
        err = job_path_load_now(job_runtime_arena(runtime), path, limit, &got);
    }
    return err;
}

static int load_now(const char *name, size_t limit)
{
    struct job_path path = at(name);
    return load_at(&path, limit);
}

/* Nothing may be left of a call that failed. -EAGAIN: the kernel may want to look at a wrong name at leisure. */
static void assert_refused(int expected, const char *name, size_t limit)
{
    int before = fixture_descriptors();
    int err = load_now(name, limit);
    ck_assert_msg(err == expected || err == -EAGAIN, "%s: %s", name, job_strerror(err));
    ck_assert_ptr_null(got);
    ck_assert_int_eq(fixture_descriptors(), before);
}

START_TEST(a_file_in_memory_is_loaded_whole_at_once)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 60000, 65536, 65537, 3000000};
    int before = fixture_descriptors();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file("a", sizes[i]);

        ck_assert_ok(load_now("a", 3000000));

        check_pattern(got, 0, sizes[i]);
        ck_assert_uint_eq(job_buf_segments(got), 1);
    }
    ck_assert_int_eq(fixture_descriptors(), before);
}
END_TEST

START_TEST(the_limit_is_the_largest_file_that_is_loaded)
{
    make_file("empty", 0);
    make_file("a", 4096);

    ck_assert_ok(load_now("empty", 0));
    check_pattern(got, 0, 0);
    ck_assert_ok(load_now("a", 4096));
    check_pattern(got, 0, 4096);
    ck_assert_int_eq(load_now("a", 4095), -EFBIG);
    ck_assert_int_eq(load_now("a", 0), -EFBIG);
    ck_assert_ok(load_now("a", (size_t)1 << 30));
    ck_assert_int_eq(load_now("a", ((size_t)1 << 30) + 1), -EINVAL);
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(what_is_no_regular_file_is_left_to_a_thread)
{
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_int_eq(mkfifo("fifo", 0600), 0);

    assert_refused(-EAGAIN, "d", 1000);
    assert_refused(-EAGAIN, "fifo", 1000);
    assert_refused(-EAGAIN, "/dev/null", 1000);
    assert_refused(-EAGAIN, "/proc/self/status", 100000);
}
END_TEST

START_TEST(what_is_wrong_with_a_name_is_told_or_left_to_a_thread)
{
    static char name[5000];
    memset(name, 'n', sizeof name - 1);
    make_file("a", 10);

    assert_refused(-ENOENT, "missing", 1000);
    assert_refused(-ENOTDIR, "a/b", 1000);
    assert_refused(-ENAMETOOLONG, name, 1000);
    assert_refused(-ENOENT, "", 1000);
}
END_TEST

START_TEST(links_and_parents_are_followed_unless_resolve_forbids_it)
{
    struct job_path path = {.directory = &file, .name = "a"};
    struct timespec used[2] = {{.tv_sec = time(NULL) + 60}, {.tv_nsec = UTIME_OMIT}};
    ck_assert_int_eq(mkdir("d", 0700), 0);
    make_file("b", 20);
    make_file("d/a", 10);
    ck_assert_int_eq(symlink("a", "d/link"), 0);
    ck_assert_int_eq(utimensat(AT_FDCWD, "d/link", used, AT_SYMLINK_NOFOLLOW), 0);   /* to note the use of a link may sleep */
    ck_assert_int_eq(load_at(&path, 100), -EINVAL);   /* the directory was never opened */
    ck_assert_int_eq(open_file("d", O_RDONLY | O_DIRECTORY), 0);

    ck_assert_ok(load_at(&path, 100));
    check_pattern(got, 0, 10);
    path.name = "../b";
    ck_assert_ok(load_at(&path, 100));
    check_pattern(got, 0, 20);
    path.resolve = RESOLVE_BENEATH;
    int err = load_at(&path, 100);
    ck_assert(err == -EXDEV || err == -EAGAIN);
    path.name = "link";
    ck_assert_ok(load_at(&path, 100));
    check_pattern(got, 0, 10);
    path.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    err = load_at(&path, 100);
    ck_assert(err == -ELOOP || err == -EAGAIN);
    path.resolve = UINT64_MAX;
    ck_assert_int_eq(load_at(&path, 100), -EINVAL);

    ck_assert_ptr_null(got);
    close_file();
    path.resolve = 0;
    ck_assert_int_eq(load_at(&path, 100), -EINVAL);   /* nor is it any more */
}
END_TEST

/* How many of its pages are in memory. */
static unsigned resident(const char *name, size_t len)
{
    unsigned char pages[256];
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    void *mapped = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(mapped, MAP_FAILED);
    ck_assert_int_eq(mincore(mapped, len, pages), 0);
    unsigned count = 0;
    for (size_t i = 0; i < (len + 4095) / 4096; i++)
        count += pages[i] & 1;
    munmap(mapped, len);
    close(fd);
    return count;
}

static void forget(const char *name, off_t from)
{
    int fd = open(name, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(fsync(fd), 0);
    ck_assert_int_eq(posix_fadvise(fd, from, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

/* As far as the file system of the test forgets anything; and a fast disk may have read it before the kernel looks again. */
START_TEST(a_file_that_is_not_all_in_memory_is_refused_as_a_whole)
{
    enum { LEN = 200000, TIMES = 10, TIMES_MAX = 300 };
    struct job_path path = at("a");
    unsigned empty = 0, refused = 0, times = 0;
    for (unsigned i = 0; i < TIMES || (refused == 0 && i < TIMES_MAX); i++) {
        times++;
        make_file("a", LEN);
        forget("a", i % 2 * 100 * 1024);   /* all of it, or its end */
        empty += resident("a", LEN) == 0;
        job_buf_free(&got);

        int err = job_path_load_now(job_runtime_arena(runtime), &path, LEN, &got);

        ck_assert(err == 0 || err == -EAGAIN);
        refused += err != 0;
        if (err == 0)
            check_pattern(got, 0, LEN);
        else
            ck_assert_ptr_null(got);
        ck_assert_ok(job_path_load(&home.handle, &op, &path, LEN, ended));   /* the way that remains */
        run();
        check_pattern(got, 0, LEN);
        ck_assert_ok(load_now("a", LEN));
        check_pattern(got, 0, LEN);
    }
    ck_assert(refused > 0 || empty < times / 2);
}
END_TEST

START_TEST(without_memory_or_descriptors_it_fails_and_keeps_neither)
{
    struct job_arena *small = NULL;
    struct job_path path = at("a");
    struct rlimit limit, none;
    make_file("a", 100000);
    ck_assert_ok(job_arena_open(runtime, &small, &(struct job_arena_options){.limit_bytes = 65536}));
    ck_assert_int_eq(job_path_load_now(small, &path, 100000, &got), -ENOMEM);
    ck_assert_ptr_null(got);
    ck_assert_ok(job_arena_close(&small));   /* nothing of it is used */

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    close(next);
    none = limit;
    none.rlim_cur = (rlim_t)next;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    ck_assert_int_eq(load_now("a", 100000), -EMFILE);
    ck_assert_ptr_null(got);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);

    ck_assert_ok(load_now("a", 100000));
    check_pattern(got, 0, 100000);
}
END_TEST

enum { LOADERS = 4, LOADS = 200 };

struct loader {
    struct job_task task;
    unsigned loaded, refused;
};

static atomic_u32 is_over;

/* The bytes that a file has had at some moment, or a beginning of them. */
static void load_many(struct job_task *task)
{
    struct loader *loader = job_container_of(task, struct loader, task);
    struct job_path path = at("a");
    for (unsigned i = 0; i < LOADS; i++) {
        struct job_buf *buf = NULL;
        int err = job_path_load_now(job_runtime_arena(runtime), &path, 70000, &buf);
        if (err == 0)
            check_pattern(buf, 0, job_buf_len(buf));
        else if (err != -EAGAIN && err != -EFBIG)
            ck_abort_msg("%s", job_strerror(err));
        loader->loaded += err == 0;
        loader->refused += err != 0;
        job_buf_free(&buf);
    }
}

static void had_loaded(struct job_task *task, int status)
{
    (void)task;
    ck_assert_int_eq(status, 0);
    ends++;
}

static void *change_size(void *unused)
{
    static uint8_t bytes[90000];
    int fd = open("a", O_WRONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = byte_at(i);
    for (unsigned i = 0; load_relaxed(&is_over) == 0; i++) {
        size_t len = i % 8 == 7 ? sizeof bytes : 8192 * (i % 8);
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        ck_assert_int_eq(pwrite(fd, bytes, len, 0), (ssize_t)len);
    }
    close(fd);
    return unused;
}

START_TEST(tasks_load_a_file_that_grows_and_shrinks_meanwhile)
{
    static struct loader loaders[LOADERS];
    struct job_pool *pool = NULL;
    pthread_t changer;
    make_file("a", 8192);
    ck_assert_ok(job_pool_open(runtime, &pool, &(struct job_pool_options){.workers = LOADERS}));
    ck_assert_int_eq(pthread_create(&changer, NULL, change_size, NULL), 0);
    for (unsigned i = 0; i < LOADERS; i++) {
        ck_assert_ok(job_task_init(&loaders[i].task, pool, load_many, had_loaded));
        ck_assert_ok(job_submit(pool, &loaders[i].task, &home.handle));
    }

    run();
    store_relaxed(&is_over, 1);   /* orders nothing */
    ck_assert_int_eq(pthread_join(changer, NULL), 0);

    ck_assert_uint_eq(ends, LOADERS);
    for (unsigned i = 0; i < LOADERS; i++) {
        ck_assert_uint_eq(loaders[i].loaded + loaders[i].refused, LOADS);
        ck_assert_ok(job_task_fini(&loaders[i].task));
    }
    ck_assert_ok(load_now("a", 100000));   /* at last it stays as it is */
    check_pattern(got, 0, job_buf_len(got));
    ck_assert_ok(job_pool_close(&pool));
}
END_TEST

int main(void)
{
    TCase *tcase;
    Suite *suite = file_suite("load now", &tcase);
    tcase_add_test(tcase, a_file_in_memory_is_loaded_whole_at_once);
    tcase_add_test(tcase, the_limit_is_the_largest_file_that_is_loaded);
    tcase_add_test(tcase, what_is_no_regular_file_is_left_to_a_thread);
    tcase_add_test(tcase, what_is_wrong_with_a_name_is_told_or_left_to_a_thread);
    tcase_add_test(tcase, links_and_parents_are_followed_unless_resolve_forbids_it);
    tcase_add_test(tcase, a_file_that_is_not_all_in_memory_is_refused_as_a_whole);
    tcase_add_test(tcase, without_memory_or_descriptors_it_fails_and_keeps_neither);
    tcase_add_test(tcase, tasks_load_a_file_that_grows_and_shrinks_meanwhile);
    return fixture_run(suite);
}
