/* test_idle.c — what an idle connection costs in this process's memory, measured with as many as descriptors can be
 * had. */
#include "support/fixture.h"

#include <sys/resource.h>

enum { WANTED = 20000, COST_MAX = 1024 };

static struct job_loop *loop;
static unsigned closed_count, data_count;

static void on_data(struct job_stream *stream, struct job_buf **in)
{
    (void)stream, (void)in;
    data_count++;
}

static void on_end(struct job_stream *stream, int status)
{
    (void)status;
    job_stream_close(stream);
}

static void on_closed(struct job_stream *stream)
{
    (void)stream;
    closed_count++;
}

static const struct job_stream_events events = {.data = on_data, .end = on_end, .closed = on_closed};

static unsigned connections(void)
{
    struct rlimit limit = {2 * WANTED + 100, 2 * WANTED + 100};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) { /* not root: what the hard limit allows */
        ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
        limit.rlim_cur = limit.rlim_max;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    }
    size_t most = (limit.rlim_cur - 100) / 2;
    return (unsigned)(most < WANTED ? most : WANTED);
}

static size_t resident_bytes(void)
{
    size_t size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%zu %zu", &size, &resident), 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static unsigned wanted_ops;

/* Runs the loop until the kernel has as many receives. */
static void look(struct job_call *call)
{
    struct job_loop_stats stats;
    job_loop_stats(loop, &stats);
    if (stats.ops >= wanted_ops)
        job_loop_stop(loop);
    else
        (void)job_loop_call(loop, call); /* cannot fail: it has begun */
}

static void settle(unsigned ops)
{
    static struct job_call call = {.run = look};
    wanted_ops = ops;
    ck_assert_ok(job_loop_call(loop, &call));
    ck_assert_int_eq(job_loop_run(loop), 1);
}

START_TEST(an_idle_connection_costs_at_most_a_kibibyte)
{
    unsigned count = connections();
    struct job_runtime *runtime = fixture_runtime();
    struct job_stream *streams = calloc(count + 1, sizeof *streams);
    int(*fds)[2] = calloc(count + 1, sizeof *fds);
    memset(fds, 0xFF, (count + 1) * sizeof *fds); /* the test's own memory is not counted */
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    fixture_pair(fds[count]);
    ck_assert_ok(job_stream_adopt(loop, &streams[count], fds[count][1], &events));
    fixture_write(fds[count][0], "warm", 4);
    settle(1);
    size_t before = resident_bytes();

    for (unsigned i = 0; i < count; i++) {
        fixture_pair(fds[i]);
        ck_assert_ok(job_stream_adopt(loop, &streams[i], fds[i][1], &events));
    }
    settle(count + 1);

    size_t after = resident_bytes(), cost = (after - before) / count;
    printf("%u idle connections: %zu bytes each, of which the caller's struct is %zu\n", count, cost, sizeof *streams);
    ck_assert_uint_le(cost, COST_MAX);
    for (unsigned i = 0; i <= count; i++)
        close(fds[i][0]);
    while (closed_count <= count)
        ck_assert_int_ge(job_loop_run(loop), 0);
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
    free(streams);
    free(fds);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("idle");
    TCase *tcase = tcase_create("idle");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, an_idle_connection_costs_at_most_a_kibibyte);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
