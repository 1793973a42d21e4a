/* test_remote.c — files that a server gives, here a process of the test by FUSE: the loop does not wait, each byte comes once. */
#include <sys/syscall.h>

#include "support/file_fixture.h"
#include "support/fuse.h"

static char mounted[32], name[40];
static struct job_path path = {.name = name};

static bool make_place(char *where, size_t size)
{
    (void)snprintf(where, size, "/tmp/test_remote.%*s", 6, "");
    memset(strchr(where, ' '), 'X', 6);   /* what mkdtemp(3) wants */
    return mkdtemp(where) != NULL;
}

/* The server is a child of a process that has one thread still. */
static void remote_setup(void)
{
    ck_assert(make_place(mounted, sizeof mounted));
    (void)snprintf(name, sizeof name, "%s/a", mounted);
    ck_assert(fuse_mount(mounted));
    for (unsigned i = 0; i < FUSE_LEN; i++)
        fuse_seen->bytes[i] = (char)byte_at(i);
    setup();
    fuse_seen->loop = (pid_t)syscall(SYS_gettid);
}

static void remote_teardown(void)
{
    teardown();
    fuse_unmount(mounted);
    ck_assert_int_eq(rmdir(mounted), 0);
}

/* Where nobody may mount anything there is nothing to be tested. */
static bool is_possible(void)
{
    pid_t child = fork();
    if (child == 0) {
        char where[32];
        bool is_mounted = make_place(where, sizeof where) && fuse_mount(where);
        if (is_mounted)
            fuse_unmount(where);
        (void)rmdir(where);
        _exit(is_mounted ? 0 : 77);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The kernel has the name in memory from here on, so an open can be tried at once. */
static void open_twice(void)
{
    ck_assert_int_eq(open_file(path.name, O_RDONLY), 0);
    close_file();
    ck_assert_int_eq(open_file(path.name, O_RDONLY), 0);
    ck_assert_uint_eq(fuse_seen->calls[FUSE_OPEN], 2);
}

START_TEST(a_read_has_each_byte_once_and_ends_where_the_server_says)
{
    struct job_buf *none = NULL;
    if (_i == 0)
        open_twice();
    else
        ck_assert_ok(job_file_adopt(loop, &file, open(path.name, O_RDONLY | O_CLOEXEC)));

    ck_assert_ok(job_file_read(&file, &op, &none, FUSE_SIZE, 0, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(count_seen, FUSE_LEN);
    check_pattern(got, 0, FUSE_LEN);
    close_file();
}
END_TEST

static struct job_reader reader;
static uint64_t told;

static void data(struct job_reader *of, struct job_buf **in)
{
    (void)of;
    check_pattern(*in, told, job_buf_len(*in));
    told += job_buf_len(*in);
}

static void end(struct job_reader *of, int status)
{
    (void)of;
    status_seen = status;
}

static const struct job_reader_events events = {data, end};

/* Kernels from 6.8 on, unless a container's rules forbid it. */
static bool is_kind_told(void)
{
    uint64_t request[3] = {24, UINT64_MAX};
    (void)syscall(457, request, NULL, 0, 0);   /* statmount(2), of no mount */
    if (errno != ENOENT)
        fprintf(stderr, "not tested: without statmount(2) the loop has to ask\n");
    return errno == ENOENT;
}

START_TEST(the_loop_waits_for_no_server)
{
    struct statx status;
    struct job_buf *buf = NULL;
    if (!is_kind_told())
        return;
    open_twice();

    ck_assert_ok(job_file_stat(&file, &status));
    ck_assert_uint_eq(status.stx_size, FUSE_SIZE);
    ck_assert_ok(job_reader_start(&reader, &file, NULL, &events));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(told, FUSE_LEN);
    ck_assert_ok(job_path_load(&home.handle, &op, &path, FUSE_SIZE, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    check_pattern(got, 0, FUSE_LEN);
    ck_assert_int_eq(job_path_load_now(job_runtime_arena(runtime), &path, FUSE_SIZE, &buf), -EAGAIN);
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), FUSE_SIZE, NULL, &buf));
    ck_assert_int_eq(job_file_read_now(&file, buf, FUSE_SIZE, 0), -EAGAIN);
    job_buf_free(&buf);
    int another = fcntl(job_file_descriptor(&file), F_DUPFD_CLOEXEC, 0);
    ck_assert_uint_eq(fuse_asked_by_loop(), 0);
    close_file();
    ck_assert_ok(job_file_adopt(loop, &file, another));
    close_file();
    ck_assert_uint_eq(fuse_asked_by_loop(), 0);
    ck_assert_uint_eq(fuse_seen->calls[FUSE_FLUSH], 4);   /* two opens, the load, and the other descriptor */
}
END_TEST

START_TEST(who_wants_to_know_what_the_server_says_asks_by_a_thread)
{
    struct statx status;
    struct job_path of_file = {.directory = &file, .name = ""};
    ck_assert_int_eq(open_file(path.name, O_RDONLY), 0);
    unsigned before = fuse_seen->calls[FUSE_GETATTR];

    ck_assert_ok(job_file_stat(&file, &status));
    ck_assert_uint_eq(fuse_seen->calls[FUSE_GETATTR], before);
    ck_assert_ok(job_path_stat(&home.handle, &op, &of_file, AT_EMPTY_PATH, &status, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_eq(fuse_seen->calls[FUSE_GETATTR], before + 1);
    ck_assert_uint_eq(fuse_seen->from_loop[FUSE_GETATTR], 0);
    close_file();
}
END_TEST

int main(void)
{
    TCase *tcase;
    if (!is_possible()) {
        fprintf(stderr, "not tested: no FUSE, or nothing may be mounted here\n");
        return 77;
    }
    Suite *suite = suite_create("remote");
    tcase = tcase_create("remote");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, remote_setup, remote_teardown);
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, a_read_has_each_byte_once_and_ends_where_the_server_says, 0, 2);
    tcase_add_test(tcase, the_loop_waits_for_no_server);
    tcase_add_test(tcase, who_wants_to_know_what_the_server_says_asks_by_a_thread);
    return fixture_run(suite);
}
