/* test_path.c — what is done with names: load, store, list, link, rename, unlink, mkdir; names that lead elsewhere. */
#include <limits.h>
#include <linux/openat2.h>
#include <sys/resource.h>

#include "support/file_fixture.h"

START_TEST(a_path_is_held_beneath_its_directory_when_asked)
{
    struct job_file inside = {0};
    struct job_file_options options = {.path = {.directory = &file, .name = "../b", .resolve = RESOLVE_BENEATH}};
    ck_assert_int_eq(mkdir("d", 0700), 0);
    make_file("b", 10);
    make_file("d/c", 10);
    ck_assert_int_eq(open_file("d", O_RDONLY | O_DIRECTORY), 0);

    ck_assert_ok(job_file_open(loop, &inside, &options, (void (*)(struct job_file *, int))(uintptr_t)opened));
    job_file_close(&inside, NULL);   /* `opened` expects the other one, and is not called any more */
    run();
    options.path.name = "c";
    ck_assert_ok(job_path_load(&file.handle, &op, &options.path, 100, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    check_pattern(got, 0, 10);
    options.path.name = "../b";
    ck_assert_ok(job_path_load(&file.handle, &op, &options.path, 100, ended));
    run();

    ck_assert_int_eq(status_seen, -EXDEV);
    close_file();
}
END_TEST

START_TEST(a_file_is_loaded_whole_whatever_its_size)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, 65537, 3000000};
    struct job_path path = at("a");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file("a", sizes[i]);

        ck_assert_ok(job_path_load(&home.handle, &op, &path, 3000000, ended));
        ck_assert_int_eq(job_path_load(&home.handle, &op, &path, 3000000, ended), -EBUSY);
        run();

        ck_assert_int_eq(status_seen, 0);
        ck_assert_uint_eq(count_seen, sizes[i]);
        check_pattern(got, 0, sizes[i]);
        ck_assert_uint_eq(job_buf_segments(got), 1);
    }
    ck_assert_ok(job_path_load(&home.handle, &op, &path, 2999999, ended));
    run();
    ck_assert_int_eq(status_seen, -EFBIG);
    ck_assert_ptr_null(got);
    path = at("/proc/self/status");   /* says that it is empty */
    ck_assert_ok(job_path_load(&home.handle, &op, &path, 100000, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_uint_gt(job_buf_len(got), 100);
    path = at(".");
    ck_assert_ok(job_path_load(&home.handle, &op, &path, 100, ended));
    run();
    ck_assert_int_eq(status_seen, -EISDIR);
}
END_TEST

static mode_t umask_now(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

START_TEST(a_store_replaces_the_file_or_leaves_it_and_nothing_beside_it)
{
    struct job_path path = at("a");
    struct stat status;
    make_file("a", 7);
    struct job_buf *buf = pattern(70000, false);

    ck_assert_ok(job_path_store(&home.handle, &op, &path, 0, &buf, ended));
    ck_assert_ptr_null(buf);
    run();
    ck_assert_int_eq(status_seen, 0);
    check_pattern(got, 0, 70000);
    ck_assert_int_eq(stat("a", &status), 0);
    ck_assert_int_eq(status.st_size, 70000);
    ck_assert_uint_eq(status.st_mode & 0777, 0666 & ~umask_now());
    ck_assert_int_eq(mkdir("d", 0700), 0);
    path = at("d");
    buf = job_buf_take(&got);
    ck_assert_ok(job_path_store(&home.handle, &op, &path, 0, &buf, ended));
    run();

    ck_assert_int_eq(status_seen, -EISDIR);   /* a directory cannot be replaced by a file */
    ck_assert_uint_eq(names_in("."), 2);
    check_pattern(got, 0, 70000);
}
END_TEST

START_TEST(a_store_into_a_directory_that_cannot_be_synced_is_refused_before_the_file_is_replaced)
{
    static const uid_t nobody = 65534;
    bool is_root = geteuid() == 0;   /* who may read all */
    ck_assert_int_eq(mkdir("sub", 0700), 0);
    make_file("sub/a", 1000);
    if (is_root) {
        ck_assert_int_eq(chown(".", nobody, (gid_t)-1), 0);
        ck_assert_int_eq(chown("sub", nobody, (gid_t)-1), 0);
        ck_assert_int_eq(seteuid(nobody), 0);
    }
    ck_assert_int_eq(chmod("sub", 0300), 0);
    struct job_buf *buf = pattern(2000, false);
    struct job_path path = at("sub/a");

    ck_assert_ok(job_path_store(&home.handle, &op, &path, 0, &buf, ended));
    run();

    ck_assert_int_eq(status_seen, -EACCES);
    ck_assert_int_eq(chmod("sub", 0700), 0);
    struct stat status;
    ck_assert_int_eq(stat("sub/a", &status), 0);
    ck_assert_int_eq(status.st_size, 1000);
    ck_assert_uint_eq(names_in("sub"), 1);
    if (is_root)
        ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

/* As long as the kernel allows, with its directory and without. */
static struct rlimit limit_before;
static int hoard[64], hoarded;

/* Of descriptors only number 0 is free, and so many above 2. */
static void leave_descriptors(int above)
{
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    int highest = dup(1);
    struct rlimit low = {(rlim_t)highest + 8, limit_before.rlim_max};
    close(highest);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (hoarded = 0; (hoard[hoarded] = dup(1)) >= 0; hoarded++)
        ck_assert_int_lt(hoarded, 60);
    while (above-- > 0)
        close(hoard[--hoarded]);
    close(0);
}

static void free_descriptors(void)
{
    ck_assert_int_lt(fcntl(0, F_GETFD), 0);   /* nothing of ours has got it */
    while (hoarded > 0)
        close(hoard[--hoarded]);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

START_TEST(what_is_refused_for_want_of_a_descriptor_above_2_has_changed_no_file)
{
    static const int flags[] = {O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT, O_RDWR | O_TRUNC};
    static const char *const names[] = {"b", "b", "a"};
    struct stat status;
    make_file("a", 7);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);   /* the loop has all that it needs */
    close_file();
    leave_descriptors(0);

    int err = open_file(names[_i], flags[_i]);

    free_descriptors();
    ck_assert_int_eq(err, -EMFILE);
    close_file();
    ck_assert_uint_eq(names_in("."), 1);
    ck_assert_int_eq(stat("a", &status), 0);
    ck_assert_int_eq(status.st_size, 7);
    ck_assert_int_eq(open_file(names[_i], flags[_i]), 0);
    ck_assert_int_gt(job_file_descriptor(&file), 2);
    ck_assert_int_eq(fcntl(job_file_descriptor(&file), F_GETFD), FD_CLOEXEC);
    ck_assert_int_lt(fcntl(0, F_GETFD), 0);
    close_file();
}
END_TEST

START_TEST(a_store_that_is_refused_for_want_of_a_descriptor_above_2_leaves_nothing_beside_the_file)
{
    struct job_path path = at("a");
    struct job_buf *buf = pattern(100, false);
    make_file("a", 7);
    ck_assert_int_eq(open_file("a", O_RDONLY), 0);   /* as above */
    close_file();
    leave_descriptors(1);   /* for the directory */

    ck_assert_ok(job_path_store(&home.handle, &op, &path, 0, &buf, ended));
    run();

    free_descriptors();
    ck_assert_int_eq(status_seen, -EMFILE);
    ck_assert_uint_eq(names_in("."), 1);
}
END_TEST

START_TEST(the_longest_names_are_stored_and_loaded)
{
    enum { NAME_BYTES = 255, DEPTH = 15, PATH_BYTES = DEPTH * (NAME_BYTES + 1) + NAME_BYTES };
    static char name[PATH_MAX];
    struct job_path path = {.name = name};
    struct job_buf *buf = pattern(1000, false);
    size_t len = 0;
    for (unsigned depth = 0; depth <= DEPTH; depth++) {
        memset(name + len, 'n', NAME_BYTES);
        len += NAME_BYTES;
        name[len] = '\0';

        ck_assert_ok(job_path_store(&home.handle, &op, &path, 0, &buf, ended));
        run();
        ck_assert_int_eq(status_seen, 0);
        job_buf_free(&got);
        ck_assert_ok(job_path_load(&home.handle, &op, &path, 1000, ended));
        run();
        ck_assert_int_eq(status_seen, 0);
        check_pattern(got, 0, 1000);

        ck_assert_int_eq(unlink(name), 0);
        ck_assert_int_eq(mkdir(name, 0700), 0);
        ck_assert_uint_eq(names_in(name), 0);
        name[len++] = '/';
        buf = job_buf_take(&got);
    }
    job_buf_free(&buf);
    ck_assert_uint_eq(len, PATH_BYTES + 1);
}
END_TEST

START_TEST(a_directory_lists_every_name_once)
{
    struct job_path path = at("d");
    enum { NAMES = 3000, SEGMENTS_MAX = 5 };   /* more than one segment, and not one for each 64 KiB */
    static bool seen[NAMES];
    char name[200];
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_ok(job_path_list(&home.handle, &op, &path, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_ptr_null(job_entry_next(got, NULL));
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "d/%u-%0*d", i, (int)(i % 180) + 1, 0);
        int fd = open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        if (fd < 0)
            ck_abort_msg("%s: %s", name, strerror(errno));
        close(fd);
    }

    ck_assert_ok(job_path_list(&home.handle, &op, &path, ended));
    run();

    ck_assert_int_eq(status_seen, 0);
    unsigned count = 0;
    for (const struct job_entry *entry = NULL; (entry = job_entry_next(got, entry));) {
        unsigned long number = strtoul(entry->name, NULL, 10);
        if (number >= NAMES || seen[number])
            ck_abort_msg("%s", entry->name);
        seen[number] = true;
        count++;
    }
    ck_assert_uint_eq(count, NAMES);
    ck_assert_uint_gt(job_buf_segments(got), 1);
    ck_assert_uint_le(job_buf_segments(got), SEGMENTS_MAX);
    ck_assert_ptr_null(job_entry_next(NULL, NULL));
}
END_TEST

START_TEST(names_are_made_moved_and_removed)
{
    struct job_path a = at("a"), b = at("b"), c = at("c"), d = at("d");
    struct statx status;
    struct stat plain;
    char link[10] = "";
    make_file("a", 10);
#define DO(call) do { status_seen = 1; ck_assert_ok(call); run(); } while (0)
    DO(job_path_link(&home.handle, &op, &a, &b, ended));
    ck_assert_int_eq(status_seen, 0);
    ck_assert_int_eq(stat("b", &plain), 0);
    ck_assert_uint_eq(plain.st_nlink, 2);
    DO(job_path_symlink(&home.handle, &op, "a", &c, ended));
    ck_assert_int_eq(status_seen, 0);
    ck_assert_int_eq(readlink("c", link, sizeof link), 1);
    ck_assert_str_eq(link, "a");
    DO(job_path_stat(&home.handle, &op, &c, AT_SYMLINK_NOFOLLOW, &status, ended));
    ck_assert_int_eq(status_seen, 0);
    ck_assert(S_ISLNK(status.stx_mode));
    DO(job_path_rename(&home.handle, &op, &b, &d, 0, ended));
    ck_assert_int_eq(status_seen, 0);
    ck_assert_int_eq(access("b", F_OK), -1);
    DO(job_path_unlink(&home.handle, &op, &d, false, ended));
    ck_assert_int_eq(status_seen, 0);
    DO(job_path_mkdir(&home.handle, &op, &d, 0700, ended));
    ck_assert_int_eq(status_seen, 0);
    DO(job_path_unlink(&home.handle, &op, &d, false, ended));
    ck_assert_int_eq(status_seen, -EISDIR);
    DO(job_path_unlink(&home.handle, &op, &d, true, ended));
    ck_assert_int_eq(status_seen, 0);
    DO(job_path_unlink(&home.handle, &op, &d, true, ended));
    ck_assert_int_eq(status_seen, -ENOENT);
}
END_TEST

int main(void)
{
    TCase *tcase;
    Suite *suite = file_suite("path", &tcase);
    tcase_add_test(tcase, a_path_is_held_beneath_its_directory_when_asked);
    tcase_add_test(tcase, a_file_is_loaded_whole_whatever_its_size);
    tcase_add_test(tcase, a_store_replaces_the_file_or_leaves_it_and_nothing_beside_it);
    tcase_add_test(tcase, a_store_into_a_directory_that_cannot_be_synced_is_refused_before_the_file_is_replaced);
    tcase_add_loop_test(tcase, what_is_refused_for_want_of_a_descriptor_above_2_has_changed_no_file, 0, 3);
    tcase_add_test(tcase, a_store_that_is_refused_for_want_of_a_descriptor_above_2_leaves_nothing_beside_the_file);
    tcase_add_test(tcase, the_longest_names_are_stored_and_loaded);
    tcase_add_test(tcase, a_directory_lists_every_name_once);
    tcase_add_test(tcase, names_are_made_moved_and_removed);
    return fixture_run(suite);
}
