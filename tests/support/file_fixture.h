/* file_fixture.h — what the tests of files share: a loop, a file, an op, a directory of their own, and bytes that say where they stand.
 *
 * Header only: each test is one program.
 */
#ifndef TESTS_SUPPORT_FILE_FIXTURE_H
#define TESTS_SUPPORT_FILE_FIXTURE_H

#include <dirent.h>
#include <sys/stat.h>

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

static inline void never(struct job_timer *timer)
{
    (void)timer;
    ck_abort_msg("fired");
}

static inline void setup(void)
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

static inline void teardown(void)
{
    char command[128];
    job_buf_free(&got);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
    ck_assert_int_eq(chdir("/"), 0);
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(system(command), 0);
}

static inline void run(void)
{
    ck_assert_int_eq(job_loop_run(loop), 0);
}

static inline void opened(struct job_file *of, int status)
{
    ck_assert_ptr_eq(of, &file);
    status_seen = status;
    opens++;
}

static inline void ended(struct job_file_op *of, int status, struct job_buf **buf)
{
    status_seen = status;
    count_seen = of->count;
    ends++;
    job_buf_free(&got);
    got = job_buf_take(buf);
}

static inline void closed(struct job_file *of)
{
    ck_assert_ptr_eq(of, &file);
    closes++;
}

static inline struct job_path at(const char *name)
{
    return (struct job_path){.name = name};
}

static inline int open_file(const char *name, int flags)
{
    struct job_file_options options = {.path = at(name), .flags = flags, .mode = 0600};
    status_seen = 1;
    ck_assert_ok(job_file_open(loop, &file, &options, opened));
    run();
    ck_assert_int_ne(status_seen, 1);
    return status_seen;
}

/* Of an open with O_DIRECT: the file system has none, which is said. */
static inline bool is_without_direct(int err)
{
    if (err == -EINVAL)
        fprintf(stderr, "not tested: this file system has no O_DIRECT\n");
    return err == -EINVAL;
}

static inline void close_file(void)
{
    unsigned before = closes;
    job_file_close(&file, closed);
    run();
    ck_assert_uint_eq(closes, before + 1);
}

static inline uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 2654435761U >> 13);
}

static inline struct job_buf *pattern(size_t len, bool is_aligned)
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

static inline void make_file(const char *name, size_t len)
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

static inline void check_pattern(const struct job_buf *buf, uint64_t from, size_t len)
{
    ck_assert_uint_eq(job_buf_len(buf), len);
    uint64_t offset = from;
    for (const struct job_buf *segment = buf; segment; segment = job_buf_next(segment)) {
        const uint8_t *bytes = job_buf_data(segment);
        for (size_t i = 0; i < job_buf_segment_len(segment); i++, offset++)
            if (bytes[i] != byte_at(offset))
                ck_abort_msg("byte %llu", (unsigned long long)offset);
    }
}

static inline unsigned names_in(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static inline Suite *file_suite(const char *name, TCase **tcase)
{
    Suite *suite = suite_create(name);
    *tcase = tcase_create(name);
    tcase_add_checked_fixture(*tcase, setup, teardown);
    tcase_set_timeout(*tcase, 60);
    suite_add_tcase(suite, *tcase);
    return suite;
}

#endif
