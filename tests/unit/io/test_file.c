/* test_file.c — files and paths on a real file system: what is read is what was written, by every way; ends, errors, cancel, close. */
#include <dirent.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/fixture.h"

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_file file;
static struct job_file_op op;
static struct job_timer home;   /* what requests of paths belong to; never armed */
static char directory[64];
static int status_seen;
static uint64_t count_seen;
static unsigned ends, opens, closes;
static struct job_buf *got;

static void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("fired");
}

static void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_timer_open(loop, &home, never));
    (void)snprintf(directory, sizeof directory, "/tmp/test_file.%*s", 6, "");
    memset(strchr(directory, ' '), 'X', 6);   /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
    file = (struct job_file){0};
    op = (struct job_file_op){0};
    status_seen = 1;
    ends = opens = closes = 0;
    got = NULL;
}

static void teardown(void)
{
    char command[128];
    job_buf_free(&got);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
    ck_assert_int_eq(chdir("/"), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static void run(void)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
}

static void opened(struct job_file *of, int status)
{
    ck_assert_ptr_eq(of, &file);
    status_seen = status;
    opens++;
}

static void ended(struct job_file_op *of, int status, struct job_buf **buf)
{
    status_seen = status;
    count_seen = of->count;
    ends++;
    job_buf_free(&got);
    got = job_buf_take(buf);
}

static void closed(struct job_file *of)
{
    ck_assert_ptr_eq(of, &file);
    closes++;
}

static struct job_path at(const char *name)
{
    return (struct job_path){.name = name};
}

static int open_file(const char *name, int flags)
{
    struct job_file_options options = {.path = at(name), .flags = flags, .mode = 0600};
    status_seen = 1;
    ck_assert_ok(job_file_open(loop, &file, &options, opened));
    run();
    ck_assert_int_ne(status_seen, 1);
    return status_seen;
}

static void close_file(void)
{
    unsigned before = closes;
    job_file_close(&file, closed);
    run();
    ck_assert_uint_eq(closes, before + 1);
}

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761U >> 13);
}

static struct job_buf *pattern(size_t len, bool is_aligned)
{
    struct job_buf *buf = NULL;
    struct job_buf_options options = {.page_aligned = is_aligned};
    ck_assert_ok(job_buf_alloc(job_runtime_arena(runtime), len, &options, &buf));
    uint8_t *bytes = job_buf_room(buf, &(size_t){0});
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
    ck_assert_ok(job_buf_extend(buf, len));
    return buf;
}

static void make_file(const char *name, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    uint8_t *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    free(bytes);
    close(fd);
}

static void check_pattern(const struct job_buf *buf, uint64_t from, size_t len)
{
    ck_assert_uint_eq(job_buf_len(buf), len);
    uint64_t offset = from;
    for (const struct job_buf *segment = buf; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++, offset++)
            if (bytes[i] != byte_at(offset))   /* not an assert of check's: each writes to a pipe also when it holds */
                ck_abort_msg("byte %llu", (unsigned long long)offset);
    }
}

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

START_TEST(direct_reads_and_writes_go_by_aligned_bufs)
{
    int err = open_file("a", O_RDWR | O_CREAT | O_DIRECT);
    if (err == -EINVAL)
        return;   /* a file system without O_DIRECT */
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

static unsigned names_in(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
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

START_TEST(a_directory_lists_every_name_once)
{
    struct job_path path = at("d");
    enum { NAMES = 3000 };   /* more than one segment */
    static bool seen[NAMES];
    char name[200];
    ck_assert_int_eq(mkdir("d", 0700), 0);
    ck_assert_ok(job_path_list(&home.handle, &op, &path, ended));
    run();
    ck_assert_int_eq(status_seen, 0);
    ck_assert_ptr_null(job_entry_next(got, NULL));
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "d/%u-%0*d", i, (int)(i % 100) + 1, 0);
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
    Suite *suite = suite_create("file");
    TCase *tcase = tcase_create("file");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_was_written_is_read);
    tcase_add_test(tcase, a_read_beyond_the_end_is_short_and_one_behind_it_is_empty);
    tcase_add_test(tcase, a_read_goes_behind_what_the_buf_holds);
    tcase_add_test(tcase, many_segments_are_written_in_order);
    tcase_add_test(tcase, direct_reads_and_writes_go_by_aligned_bufs);
    tcase_add_test(tcase, appends_go_to_the_end);
    tcase_add_test(tcase, the_current_position_moves_on);
    tcase_add_test(tcase, sync_truncate_allocate_advise_and_stat);
    tcase_add_test(tcase, an_open_that_fails_tells_why_and_is_closed_as_any_other);
    tcase_add_test(tcase, a_path_is_held_beneath_its_directory_when_asked);
    tcase_add_test(tcase, a_file_is_loaded_whole_whatever_its_size);
    tcase_add_test(tcase, a_store_replaces_the_file_or_leaves_it_and_nothing_beside_it);
    tcase_add_test(tcase, a_full_disk_is_an_error_that_says_how_much_was_written);
    tcase_add_test(tcase, a_directory_lists_every_name_once);
    tcase_add_test(tcase, names_are_made_moved_and_removed);
    tcase_add_test(tcase, locks_are_seen_by_other_descriptors);
    tcase_add_test(tcase, a_file_that_shrinks_while_it_is_read_ends_earlier);
    tcase_add_test(tcase, a_pipe_is_read_in_turn_and_written_without_a_signal);
    tcase_add_test(tcase, closing_ends_every_request_once_and_then_the_file);
    tcase_add_test(tcase, closing_while_the_open_is_under_way_leaks_no_descriptor);
    tcase_add_test(tcase, a_fifo_without_a_writer_does_not_stop_the_loop);
    tcase_add_test(tcase, bad_arguments_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
