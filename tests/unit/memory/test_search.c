/* test_search.c — bytes found and seen across segments: every place in every small chain, against plain arrays. */
#include "support/memory.h"

enum { LEN_MAX = 7, NEEDLE_MAX = 4 };

static struct root root;
static struct job_arena *arena;

static void set_up(void)
{
    arena = memory_arena(memory_root(&root), 16 << 20);
}

static void tear_down(void)
{
    memory_close(&root, arena);
}

/* A segment behind each byte whose bit is set; `cuts` may leave segments empty at both ends. */
static struct job_buf *chain(const char *bytes, unsigned cuts)
{
    struct job_buf *buf = memory_buf(arena, 1, 0), *rest[LEN_MAX + 1] = {NULL};
    size_t len = strlen(bytes);
    ck_assert_ok(job_buf_write(buf, bytes, len));
    for (size_t at = len + 1; at-- > 0;) {
        if (cuts & 1U << at)
            ck_assert_ok(job_buf_split(&buf, at, &rest[at]));
    }
    for (size_t at = 0; at <= len; at++) {
        if (!rest[at])
            continue;
        ck_assert_ok(job_buf_freeze(at % 2 ? buf : rest[at])); /* else they would grow together again */
        ck_assert_ok(job_buf_append(buf, &rest[at]));
    }
    ck_assert_uint_eq(job_buf_len(buf), len);
    return buf;
}

static void compare_find(const struct job_buf *buf, const char *bytes, const char *needle, size_t from)
{
    size_t at = SIZE_MAX, len = strlen(bytes);
    const char *hit = strstr(bytes + from, needle);
    int err = job_buf_find(buf, from, needle, strlen(needle), &at);
    ck_assert(err == (hit ? 0 : -ENOENT));
    if (hit) {
        ck_assert(at == (size_t)(hit - bytes));
        return;
    }
    ck_assert(at >= from); /* no place begins before it, whatever is appended */
    ck_assert(at <= len);
    for (size_t place = from; place < at; place++)
        ck_assert(strncmp(bytes + place, needle, len - place) != 0);
}

/* A string of two letters for each number. */
static size_t spell(unsigned number, char *bytes)
{
    size_t len = 0;
    for (; number > 1; number >>= 1)
        bytes[len++] = number & 1 ? 'a' : 'b';
    bytes[len] = '\0';
    return len;
}

static void find_all_in(unsigned string)
{
    char bytes[LEN_MAX + 1], needle[NEEDLE_MAX + 1];
    size_t len = spell(string, bytes);
    for (unsigned cuts = 0; cuts < 1U << (len + 1); cuts++) {
        struct job_buf *buf = chain(bytes, cuts);
        for (unsigned number = 1; number < 1U << (NEEDLE_MAX + 1); number++) {
            (void)spell(number, needle);
            for (size_t from = 0; from <= len; from++)
                compare_find(buf, bytes, needle, from);
        }
        job_buf_free(&buf);
    }
}

START_TEST(every_needle_is_found_where_it_is_in_every_small_chain)
{
    for (unsigned string = 1; string < 1U << 6; string++)
        find_all_in(string);
}
END_TEST

START_TEST(a_peek_shows_the_bytes_of_every_place_in_every_small_chain)
{
    static const char bytes[] = "abcdefg";
    for (unsigned cuts = 0; cuts < 1U << (LEN_MAX + 1); cuts++) {
        struct job_buf *buf = chain(bytes, cuts);
        for (size_t from = 0; from <= LEN_MAX; from++) {
            for (size_t n = 0; n <= LEN_MAX - from; n++) {
                char scratch[LEN_MAX];
                const void *seen = job_buf_peek(buf, from, n, scratch), *direct = job_buf_peek(buf, from, n, NULL);
                ck_assert_ptr_nonnull(seen);
                ck_assert_mem_eq(seen, bytes + from, n);
                ck_assert(seen == scratch ? direct == NULL : direct == seen);
            }
        }
        job_buf_free(&buf);
    }
    ck_assert_uint_eq(load_relaxed(&root.copied_bytes), 0);
}
END_TEST

START_TEST(a_search_goes_on_where_it_ended_when_more_has_come)
{
    struct job_buf *buf = memory_buf(arena, 1, 0), *more = memory_buf(arena, 5000, 0);
    size_t at;
    ck_assert_ok(job_buf_write(buf, "GET / HTTP/1.1\r\n\r", 17));
    ck_assert_int_eq(job_buf_find(buf, 0, "\r\n\r\n", 4, &at), -ENOENT);
    ck_assert_uint_eq(at, 14);
    ck_assert_ok(job_buf_write(more, "\nbody", 5));
    ck_assert_ok(job_buf_freeze(more));
    ck_assert_ok(job_buf_append(buf, &more));
    ck_assert_ok(job_buf_find(buf, at, "\r\n\r\n", 4, &at));
    ck_assert_uint_eq(at, 14);
    job_buf_free(&buf);
}
END_TEST

START_TEST(bad_input_finds_nothing)
{
    struct job_buf *buf = memory_buf(arena, 10, 5);
    size_t at = 77;
    ck_assert_int_eq(job_buf_find(NULL, 0, "x", 1, &at), -EINVAL);
    ck_assert_int_eq(job_buf_find(buf, 6, "x", 1, &at), -EINVAL);
    ck_assert_int_eq(job_buf_find(buf, 0, NULL, 1, &at), -EINVAL);
    ck_assert_uint_eq(at, 77);
    ck_assert_int_eq(job_buf_find(buf, 0, "\1\2", SIZE_MAX, NULL), -ENOENT);
    ck_assert_int_eq(job_buf_find(buf, 5, NULL, 0, &at), 0); /* nothing is everywhere */
    ck_assert_uint_eq(at, 5);
    ck_assert_ptr_null(job_buf_peek(NULL, 0, 0, NULL));
    ck_assert_ptr_null(job_buf_peek(buf, 6, 0, NULL));
    ck_assert_ptr_null(job_buf_peek(buf, 1, 5, NULL));
    ck_assert_ptr_null(job_buf_peek(buf, 1, SIZE_MAX, NULL));
    ck_assert_ptr_nonnull(job_buf_peek(buf, 5, 0, NULL));
    job_buf_free(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("search");
    TCase *tcase = tcase_create("search");
    tcase_set_timeout(tcase, 30);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, every_needle_is_found_where_it_is_in_every_small_chain);
    tcase_add_test(tcase, a_peek_shows_the_bytes_of_every_place_in_every_small_chain);
    tcase_add_test(tcase, a_search_goes_on_where_it_ended_when_more_has_come);
    tcase_add_test(tcase, bad_input_finds_nothing);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
