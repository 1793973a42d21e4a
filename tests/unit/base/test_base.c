/* test_base.c — bits, lists, counted allocation, the log hook, feature names, errno texts. */
#include "base/alloc.h"
#include "base/bits.h"
#include "base/features.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/root.h"
#include "support/fixture.h"

#include <limits.h>

START_TEST(powers_of_two_around_every_bit)
{
    ck_assert(!is_power_of_two(0));
    ck_assert_uint_eq(power_of_two_at_least(0), 1);
    for (unsigned bit = 0; bit < 63; bit++) {
        size_t n = (size_t)1 << bit;
        ck_assert(is_power_of_two(n));
        ck_assert_uint_eq(power_of_two_at_least(n), n);
        if (bit > 1) {
            ck_assert(!is_power_of_two(n - 1));
            ck_assert(!is_power_of_two(n + 1));
            ck_assert_uint_eq(power_of_two_at_least(n - 1), n);
            ck_assert_uint_eq(power_of_two_at_least(n + 1), 2 * n);
        }
    }
    ck_assert_uint_eq(power_of_two_at_least((size_t)1 << 63), (size_t)1 << 63);
}
END_TEST

START_TEST(round_up_hits_multiples)
{
    for (size_t n = 0; n < 200; n++) {
        size_t up = round_up(n, 64);
        ck_assert_uint_eq(up % 64, 0);
        ck_assert(up >= n && up - n < 64);
    }
}
END_TEST

struct item {
    struct list node;
    int number;
};

static int number_of(struct list *node)
{
    return container_of(node, struct item, node)->number;
}

START_TEST(a_list_keeps_order_at_both_ends_and_through_a_splice)
{
    struct list a, b;
    struct item items[4];
    list_init(&a);
    list_init(&b);
    for (int i = 0; i < 4; i++) {
        list_init(&items[i].node);
        items[i].number = i;
    }
    ck_assert_ptr_null(list_first(&a));
    ck_assert_ptr_null(list_pop_front(&a));
    list_splice_back(&a, &b);
    ck_assert(list_is_empty(&a));

    list_push_back(&a, &items[1].node);
    list_push_front(&a, &items[0].node);
    list_push_back(&b, &items[2].node);
    list_push_back(&b, &items[3].node);
    list_splice_back(&a, &b);

    ck_assert(list_is_empty(&b));
    list_remove(&items[2].node);
    list_remove(&items[2].node); /* in no list: harmless */
    ck_assert_int_eq(number_of(list_pop_front(&a)), 0);
    ck_assert_int_eq(number_of(list_pop_front(&a)), 1);
    ck_assert_int_eq(number_of(list_pop_front(&a)), 3);
    ck_assert(list_is_empty(&a));
}
END_TEST

START_TEST(allocations_are_zeroed_aligned_and_counted)
{
    struct root root = {0};
    for (size_t bytes = 1; bytes < 5000; bytes += 333) {
        uint8_t *plain = alloc_zeroed(&root, bytes), *lines = alloc_lines(&root, bytes);
        ck_assert_uint_eq((uintptr_t)lines % CACHE_LINE, 0);
        for (size_t i = 0; i < bytes; i++)
            ck_assert(plain[i] == 0 && lines[i] == 0);
        ck_assert_uint_eq(load_relaxed(&root.allocations), 2); /* one thread */
        memset(plain, 0xFF, bytes);
        memset(lines, 0xFF, bytes);
        alloc_free(&root, plain);
        alloc_free(&root, lines);
        ck_assert_uint_eq(load_relaxed(&root.allocations), 0);
    }
    alloc_free(&root, NULL);
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);
    ck_assert_ptr_null(alloc_zeroed(&root, SIZE_MAX / 2));
    ck_assert_ptr_null(alloc_lines(&root, SIZE_MAX / 2));
    ck_assert_uint_eq(load_relaxed(&root.allocations), 0);
}
END_TEST

static char last_text[2 * LOG_TEXT_MAX];
static int last_level, calls;

static void hook(void *arg, enum job_log_level level, const char *text)
{
    ck_assert_ptr_eq(arg, &calls);
    snprintf(last_text, sizeof last_text, "%s", text);
    last_level = (int)level;
    calls++;
}

START_TEST(the_log_hook_gets_whole_lines_and_long_ones_are_cut)
{
    struct log log = {.hook = hook, .arg = &calls}, silent = {0};
    log_write(&silent, JOB_LOG_ERROR, "%s", "nobody hears");
    ck_assert_int_eq(calls, 0);

    log_write(&log, JOB_LOG_WARNING, "%d of %s", 3, "four");
    ck_assert_str_eq(last_text, "3 of four");
    ck_assert_int_eq(last_level, JOB_LOG_WARNING);

    char longer[2 * LOG_TEXT_MAX];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    log_write(&log, JOB_LOG_INFO, "%s", longer);
    ck_assert_uint_eq(strlen(last_text), LOG_TEXT_MAX - 1);
    ck_assert_int_eq(calls, 2);
}
END_TEST

START_TEST(each_feature_has_a_name_and_its_name_disables_it_alone)
{
    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        struct features features = {0};
        feature_found(&features, (enum feature)i);
        ck_assert(feature_is_on(&features, (enum feature)i));
        ck_assert_ptr_null(features_parse_disabled(&features, feature_name((enum feature)i)));
        ck_assert_uint_eq(features.disabled, 1U << i);
        ck_assert(!feature_is_on(&features, (enum feature)i));
    }
    ck_assert_ptr_null(feature_name(FEATURE_COUNT));
}
END_TEST

START_TEST(an_unknown_feature_is_reported_and_the_others_still_count)
{
    struct features features = {0};
    const char *list = "spin,,nonsense,copybreak,more";
    ck_assert_ptr_eq(features_parse_disabled(&features, list), list + 6);
    ck_assert_uint_eq(features.disabled, 1U << FEATURE_SPIN | 1U << FEATURE_COPYBREAK);

    features = (struct features){0};
    ck_assert_ptr_null(features_parse_disabled(&features, ""));
    ck_assert_ptr_null(features_parse_disabled(&features, ",,"));
    ck_assert_ptr_nonnull(features_parse_disabled(&features, "spi"));
    ck_assert_ptr_nonnull(features_parse_disabled(&features, "spins"));
    ck_assert_uint_eq(features.disabled, 0);
}
END_TEST

/* What the hook for standard error writes there. */
static void hear(void *arg, enum job_log_level level, const char *text, char *heard, size_t size)
{
    int fds[2], kept = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe(fds), 0);
    ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
    job_log_stderr(arg, level, text);
    ck_assert_int_ge(dup2(kept, STDERR_FILENO), 0);
    close(fds[1]);
    ssize_t len = read(fds[0], heard, size - 1);
    ck_assert_int_ge(len, 0);
    heard[len] = 0;
    close(fds[0]);
    close(kept);
}

START_TEST(the_hook_for_standard_error_writes_one_line_and_nothing_for_debug)
{
    char heard[2048], name[] = "service", *long_text = malloc(1500);
    hear(name, JOB_LOG_WARNING, "three bufs live", heard, sizeof heard);
    ck_assert_str_eq(heard, "service: warning: three bufs live\n");
    hear(NULL, JOB_LOG_ERROR, "bad", heard, sizeof heard);
    ck_assert_str_eq(heard, "libjob: error: bad\n");
    hear(NULL, JOB_LOG_DEBUG, "small talk", heard, sizeof heard);
    ck_assert_str_eq(heard, "");

    memset(long_text, 'x', 1499);
    long_text[1499] = 0;
    hear(NULL, JOB_LOG_INFO, long_text, heard, sizeof heard);
    free(long_text);

    ck_assert_uint_eq(strlen(heard), LOG_TEXT_MAX + 63);
    ck_assert_ptr_eq(strchr(heard, '\n'), heard + LOG_TEXT_MAX + 62);
}
END_TEST

START_TEST(every_errno_has_a_text_and_the_sign_does_not_matter)
{
    for (int err = 0; err < 200; err++) {
        const char *text = job_strerror(err);
        ck_assert_ptr_nonnull(text);
        ck_assert_uint_gt(strlen(text), 0);
        ck_assert_str_eq(text, job_strerror(-err));
    }
    ck_assert_str_eq(job_strerror(INT_MIN), "unknown error");
    ck_assert_str_eq(job_strerror(INT_MAX), "unknown error");
    ck_assert_ptr_nonnull(strstr(job_strerror(-EAGAIN), "room"));
    ck_assert_ptr_nonnull(strstr(job_strerror(-ENOMEM), "limit"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *tcase = tcase_create("base");
    tcase_set_timeout(tcase, 30);
    tcase_add_test(tcase, powers_of_two_around_every_bit);
    tcase_add_test(tcase, round_up_hits_multiples);
    tcase_add_test(tcase, a_list_keeps_order_at_both_ends_and_through_a_splice);
    tcase_add_test(tcase, allocations_are_zeroed_aligned_and_counted);
    tcase_add_test(tcase, the_log_hook_gets_whole_lines_and_long_ones_are_cut);
    tcase_add_test(tcase, the_hook_for_standard_error_writes_one_line_and_nothing_for_debug);
    tcase_add_test(tcase, each_feature_has_a_name_and_its_name_disables_it_alone);
    tcase_add_test(tcase, an_unknown_feature_is_reported_and_the_others_still_count);
    tcase_add_test(tcase, every_errno_has_a_text_and_the_sign_does_not_matter);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
