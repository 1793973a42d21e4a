/* test_cgroup.c — in a container whose memory ends, a service hears -ENOMEM and lives.
 *
 * A memory cgroup of our own below the one that we are in, v1 or v2, removed afterwards. Where it cannot be made, or does not kill who
 * takes more than it allows, nothing can be shown and the test is skipped.
 */
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/fixture.h"

enum { SKIPPED = 77, MIB = 1 << 20, GROUP_MIB = 256, BLOCKS_MAX = 4 * GROUP_MIB };

static char group[PATH_MAX];   /* empty: none */

static bool write_file(const char *directory, const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    (void)snprintf(path, sizeof path, "%s/%s", directory, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = write(fd, text, strlen(text));
    (void)close(fd);
    return n == (ssize_t)strlen(text);
}

/* The lines "ID:CONTROLLERS:PATH" of /proc/self/cgroup: ours of v1's memory, or of v2, which has no controllers there. */
static bool own_path(bool is_v2, char *path, size_t size)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[PATH_MAX];
    bool is_found = false;
    while (file && !is_found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *where = strstr(line, is_v2 ? "0::" : ":memory:");
        is_found = where && (!is_v2 || where == line);
        if (is_found)
            (void)snprintf(path, size, "%s", strchr(where + 1, ':') + (is_v2 ? 2 : 1));
    }
    if (file)
        (void)fclose(file);
    return is_found;
}

/* Where it is mounted, v1 first: only one of the two has the controller. */
static bool mount_point(bool is_v2, char *point, size_t size)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    char line[PATH_MAX], where[1024], type[64], options[1024];
    bool is_found = false;
    while (mounts && !is_found && fgets(line, sizeof line, mounts)) {
        if (sscanf(line, "%*s %1023s %63s %1023s", where, type, options) != 3)
            continue;
        is_found = is_v2 ? strcmp(type, "cgroup2") == 0 : strcmp(type, "cgroup") == 0 && strstr(options, "memory");
        if (is_found)
            (void)snprintf(point, size, "%s", where);
    }
    if (mounts)
        (void)fclose(mounts);
    return is_found;
}

static void remove_group(void)
{
    while (group[0] != '\0' && rmdir(group) < 0 && errno == EBUSY)   /* the last process of it is reaped, but not yet off its list */
        (void)sched_yield();
    group[0] = '\0';
}

static bool make_group(bool is_v2)
{
    char point[1024], own[1024], parent[PATH_MAX], bytes[32];
    if (!mount_point(is_v2, point, sizeof point) || !own_path(is_v2, own, sizeof own))
        return false;
    (void)snprintf(parent, sizeof parent, "%s%s", point, strcmp(own, "/") == 0 ? "" : own);
    if (is_v2)
        (void)write_file(parent, "cgroup.subtree_control", "+memory");   /* perhaps it is on already */
    int len = snprintf(group, sizeof group, "%.2040s/job-test-%d", parent, (int)getpid());
    if (len < 0 || mkdir(group, 0755) < 0) {
        group[0] = '\0';
        return false;
    }
    (void)snprintf(bytes, sizeof bytes, "%lld", (long long)GROUP_MIB * MIB);
    if (write_file(group, is_v2 ? "memory.max" : "memory.limit_in_bytes", bytes)) {
        (void)write_file(group, is_v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", is_v2 ? "0" : bytes);   /* if there is swap */
        return true;
    }
    remove_group();
    return false;
}

/* How a child of the group ends. */
static int status_of(void (*work)(void))
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        if (!write_file(group, "cgroup.procs", "0"))
            _exit(SKIPPED);
        work();
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

static void takes_without_limit(void)
{
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        char *block = malloc(MIB);
        if (!block)
            _exit(SKIPPED);
        memset(block, 1, MIB);
        __asm__ volatile("" : : "r"(block) : "memory");   /* somebody might look at it */
    }
}

static bool is_killed(int status)
{
    return status != -1 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void nothing(struct job_stream *stream, struct job_buf **in)
{
    (void)stream;
    (void)in;
}

/* Bufs of all sizes, filled to the last byte, and regions in between, until both are refused. */
static void serve(void)
{
    static const struct job_stream_events events = {.data = nothing};
    static struct job_stream stream;
    static struct job_buf *bufs[100000];
    static struct job_region *regions[1000];
    struct job_runtime *runtime = fixture_runtime();
    struct job_arena_stats stats;
    struct job_loop *loop = NULL;
    struct job_pool *pool = NULL;
    unsigned buf_count = 0, region_count = 0;
    int fds[2], err = 0;

    job_arena_stats(job_runtime_arena(runtime), &stats);
    ck_assert_uint_eq(stats.limit_bytes, (uint64_t)GROUP_MIB * MIB / 4);
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_pool_open(runtime, &pool, NULL));
    fixture_pair(fds);
    ck_assert_ok(job_stream_adopt(loop, &stream, fds[1], &events));
    while (err == 0 && buf_count < 100000) {
        size_t room = (size_t)3000 << (buf_count % 11), len;
        err = job_buf_alloc(job_runtime_arena(runtime), room, NULL, &bufs[buf_count]);
        if (err < 0)
            break;
        void *bytes = job_buf_room(bufs[buf_count++], &len);
        memset(bytes, 1, len);
        if (buf_count % 16 == 0 && region_count < 1000) {
            err = job_region_open(runtime, MIB, &regions[region_count]);
            region_count += err == 0;
        }
    }
    ck_assert_int_eq(err, -ENOMEM);
    ck_assert_uint_gt(buf_count, 0);
    ck_assert_uint_gt(region_count, 0);

    while (buf_count > 0)
        job_buf_free(&bufs[--buf_count]);
    while (region_count > 0)
        job_region_release(&regions[--region_count]);
    ck_assert_ok(job_pool_close(&pool));
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    close(fds[0]);
    fixture_close(runtime);
}

START_TEST(a_service_with_the_default_limit_hears_ENOMEM_and_is_not_killed)
{
    int status = status_of(serve);
    ck_assert_msg(!is_killed(status), "it was killed for its memory");
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with status %#x", (unsigned)status);
}
END_TEST

int main(void)
{
    if (!make_group(false) && !make_group(true)) {
        fprintf(stderr, "skipped: a memory cgroup cannot be made here\n");
        return SKIPPED;
    }
    if (!is_killed(status_of(takes_without_limit))) {
        remove_group();
        fprintf(stderr, "skipped: who takes more than a cgroup allows is not killed here\n");
        return SKIPPED;
    }
    Suite *suite = suite_create("cgroup");
    TCase *tc = tcase_create("memory");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_service_with_the_default_limit_hears_ENOMEM_and_is_not_killed);
    suite_add_tcase(suite, tc);
    int result = fixture_run(suite);
    remove_group();
    return result;
}
