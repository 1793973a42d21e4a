/* test_gzserve_kernel.c — gzserve on job::test: a kernel that does what a seed says, and time that passes only when nobody works.
 *
 * SEED= repeats a run; ROUNDS= runs more.
 */
#include "support/fixture.h"

#include "gzserve_drive.h"
#include <job/test.h>

static const struct service_options options = {.root = "/usr/include", .workers = JOB_POOL_INLINE, .body_bytes_max = 65536,
                                               .head_timeout_ns = 3600000000000, .idle_timeout_ns = 3600000000000};

static const char requests[] = "GET /fast HTTP/1.1\r\nHost: a\r\n\r\n"
                               "POST /xor?k=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"
                               "GET /cpu?n=1000 HTTP/1.1\r\nHost: a\r\n\r\n"
                               "POST /gzip HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                               "GET /nowhere/at/all HTTP/1.0\r\n\r\n";

/* What was answered, without the lines that tell the time. */
static char *answers_of(const struct job_test_options *kernel, size_t piece_len, size_t len)
{
    static struct drive drive;
    job_test_begin(kernel);
    drive_open(&drive, &options);
    drive.piece_len = piece_len;
    drive_run(&drive, requests, len);
    char *answers = strdup(drive.out);
    drive_close(&drive);
    for (char *line; (line = strstr(answers, "Date: "));) {
        char *rest = strchr(line, '\n');   /* NULL: cut off within it */
        memmove(line, rest ? rest + 1 : "", rest ? strlen(rest + 1) + 1 : 1);
    }
    return answers;
}

/* Which of them come how often depends on the seed, and on how often the loop sleeps. */
static bool has_each_fault(const struct job_test_counts *counts)
{
    return counts->shortened > 0 && counts->late > 0 && counts->interrupted > 0;
}

START_TEST(whatever_the_kernel_does_the_answers_are_the_same)
{
    struct job_test_counts counts, sum = {0};
    uint64_t state = job_test_seed("gzserve_kernel");
    char *wanted = answers_of(NULL, 0, strlen(requests) - strlen("GET /nowhere/at/all HTTP/1.0\r\n\r\n"));

    for (unsigned i = 0; i < fixture_rounds("ROUNDS", 200) || !has_each_fault(&sum); i++) {
        struct job_test_options kernel = {.seed = job_test_random(&state), .has_faults = true};
        char *got = answers_of(&kernel, job_test_random(&state) % 64, strlen(requests) - strlen("GET /nowhere/at/all HTTP/1.0\r\n\r\n"));
        ck_assert_msg(strcmp(got, wanted) == 0, "kernel %llu: %s", (unsigned long long)kernel.seed, got);
        free(got);
        job_test_counts(&counts);
        sum.shortened += counts.shortened;
        sum.late += counts.late;
        sum.interrupted += counts.interrupted;
    }
    free(wanted);
}
END_TEST

START_TEST(a_kernel_that_ends_connections_leaves_nothing_behind)
{
    struct job_test_counts counts;
    uint64_t state = job_test_seed("gzserve_kernel"), failed = 0;

    for (unsigned i = 0; i < fixture_rounds("ROUNDS", 200) || failed == 0; i++) {
        struct job_test_options kernel = {.seed = job_test_random(&state), .has_faults = true, .has_failures = true};
        free(answers_of(&kernel, job_test_random(&state) % 64, strlen(requests)));   /* its close says what is left */
        job_test_counts(&counts);
        failed += counts.failed;
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

START_TEST(a_client_that_stalls_hears_408_after_an_hour_that_takes_no_time)
{
    static struct drive drive;
    char answer[4096] = "";
    int ends[2];
    job_test_begin(NULL);
    drive_open(&drive, &options);
    fixture_pair(ends);
    ck_assert_ok(conn_adopt(&drive.service, ends[1]));
    fixture_write(ends[0], "GET /fast HT", 12);
    uint64_t begin_ns = job_test_now();
    job_test_advance(1000);

    ck_assert_ok(job_loop_run(drive.service.loop));

    ck_assert_uint_ge(job_test_now() - begin_ns, options.head_timeout_ns);
    ck_assert_int_gt(recv(ends[0], answer, sizeof answer - 1, MSG_DONTWAIT), 0);
    ck_assert_msg(strstr(answer, "HTTP/1.1 408 ") == answer, "%s", answer);
    close(ends[0]);
    drive_close(&drive);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gzserve_kernel");
    TCase *kernel = tcase_create("kernel");
    tcase_set_timeout(kernel, 60);
    tcase_add_test(kernel, whatever_the_kernel_does_the_answers_are_the_same);
    tcase_add_test(kernel, a_kernel_that_ends_connections_leaves_nothing_behind);
    tcase_add_test(kernel, a_client_that_stalls_hears_408_after_an_hour_that_takes_no_time);
    suite_add_tcase(suite, kernel);
    return fixture_run(suite);
}
