/* test_load_large.c — a whole file that is as large as one buf can be. In a program of its own, since 1 GiB takes seconds. */
#include "support/file_fixture.h"

START_TEST(a_file_as_large_as_a_buf_can_be_is_loaded)
{
    static const off_t most = 1 << 30;
    if (FIXTURE_SLOWER > 1) {
        fprintf(stderr, "not tested: a sanitizer takes several times the memory\n");
        return;
    }
    make_file("a", 0);
    ck_assert_int_eq(truncate("a", most), 0);
    struct job_path path = at("a");
    for (off_t more = 0; more <= 1; more++) {
        ck_assert_int_eq(truncate("a", most + more), 0);
        ck_assert_ok(job_path_load(&home.handle, &op, &path, (size_t)most, ended));
        run();
        if (status_seen == -ENOMEM) {
            fprintf(stderr, "not tested: too little memory\n");
            return;
        }
        ck_assert_int_eq(status_seen, more ? -EFBIG : 0);
        ck_assert_uint_eq(job_buf_len(got), more ? 0 : (size_t)most);
        job_buf_free(&got);
    }
}
END_TEST

int main(void)
{
    TCase *tcase;
    Suite *suite = file_suite("load large", &tcase);
    tcase_add_test(tcase, a_file_as_large_as_a_buf_can_be_is_loaded);
    return fixture_run(suite);
}
