/* test_gzserve_requests.c — a table of bytes and what they are answered with, however they are cut.
 *
 * An expectation is the statuses in order; "c" behind the last: that answer says Connection: close, and all that follows is ignored.
 */
#include "support/fixture.h"

#include "gzserve_drive.h"

#define GET "GET /fast HTTP/1.1\r\nHost: a\r\n\r\n"
#define HEAD_OF(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define WITH(lines) "GET /fast HTTP/1.1\r\nHost: a\r\n" lines "\r\n"
#define POST(target, lines) "POST " target " HTTP/1.1\r\nHost: a\r\n" lines "\r\n"

#define FILE_WITH(lines) "GET /alloca.h HTTP/1.1\r\nHost: a\r\n" lines "\r\n"   /* changed between OLD and NEW */
#define OLD "Fri, 01 Jan 1999 00:00:00 GMT"
#define NEW "Fri, 01 Jan 2100 00:00:00 GMT"

struct row {
    const char *bytes, *statuses;
};

static const struct row rows[] = {
    /* methods, targets, versions */
    {GET, "200"},
    {GET GET GET, "200 200 200"},
    {"\r\n\r\n" GET, "200"},
    {"HEAD /fast HTTP/1.1\r\nHost: a\r\n\r\n" GET, "200 200"},
    {"GET http://a/fast HTTP/1.1\r\nHost: a\r\n\r\n", "200"},
    {HEAD_OF("/fast?x=y"), "200"},
    {HEAD_OF("/f%61st"), "200"},
    {HEAD_OF("//fast"), "200"},
    {HEAD_OF("//%2E/x//../fast"), "200"},
    {HEAD_OF("/nowhere/../fast"), "200"},
    {HEAD_OF("/%2ffast"), "400c"},
    {HEAD_OF("/x%2F..%2Ffast"), "400c"},
    {HEAD_OF("/fast?x=%2f"), "200"},
    {HEAD_OF("/../.././fast"), "200"},
    {HEAD_OF("/fast/."), "404"},
    {HEAD_OF("/fast/x/.."), "404"},
    {HEAD_OF("/fast/..fast"), "404"},
    {HEAD_OF("/.."), "404"},
    {HEAD_OF("/fast%00"), "400c"},
    {HEAD_OF("/fast%"), "400c"},
    {HEAD_OF("/fast%4"), "400c"},
    {HEAD_OF("/%zz"), "400c"},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400c"},
    {"DELETE /fast HTTP/1.1\r\nHost: a\r\n\r\n", "501c"},
    {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "501c"},
    {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "501c"},
    {"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "501c"},
    {"GETS /fast HTTP/1.1\r\nHost: a\r\n\r\n", "501c"},
    {"get /fast HTTP/1.1\r\nHost: a\r\n\r\n", "501c"},
    {"\x16\x03\x01\x02", "400c"},
    {"GE\x01 /fast HTTP/1.1\r\n\r\n", "400c"},
    {"GET /fast HTTP/2.0\r\nHost: a\r\n\r\n", "505c"},
    {"GET /fast HTTP/0.9\r\nHost: a\r\n\r\n", "505c"},
    {"GET /fast\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.9\r\nHost: a\r\n\r\n", "200"},
    {"GET /fast HTTX/1.1\r\nHost: a\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.1 x\r\nHost: a\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.0\r\n\r\n" GET, "200c"},
    {"GET /fast HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET, "200 200"},
    {WITH("Connection: close\r\n") GET, "200c"},
    {WITH("Connection: Upgrade\r\nUpgrade: websocket\r\n") GET, "200 200"},
    /* paths and methods that do not go together */
    {POST("/fast", "Content-Length: 0\r\n") GET, "405 200"},
    {POST("/fast", "Content-Length: 3\r\n") "abc" GET, "405c"},
    {HEAD_OF("/gzip") GET, "405 200"},
    {HEAD_OF("/nowhere") GET, "404 200"},
    {HEAD_OF("/cpu?n=100") GET, "200 200"},
    {HEAD_OF("/cpu"), "400"},
    {HEAD_OF("/cpu?n="), "400"},
    {HEAD_OF("/cpu?n=1x"), "400"},
    {HEAD_OF("/cpu?n=-1"), "400"},
    {HEAD_OF("/cpu?n=5&n=6"), "400"},
    {HEAD_OF("/cpu?m=1&n=10"), "200"},
    {HEAD_OF("/cpu?n=10000001"), "400"},
    {HEAD_OF("/cpu?n=99999999999999999999999"), "400"},
    {POST("/xor", "Content-Length: 1\r\n") "a", "400"},
    {POST("/xor?k=256", "Content-Length: 1\r\n") "a", "400"},
    {POST("/xor?k=255", "Content-Length: 1\r\n") "a" GET, "200 200"},
    /* hosts */
    {"GET /fast HTTP/1.1\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.1\r\nHost: a b\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.1\r\nHost: a/b\r\n\r\n", "400c"},
    {"GET /fast HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200"},
    {"GET /fast HTTP/1.1\r\nhOST:a\t \r\n\r\n", "200"},
    /* heads */
    {WITH("X: y\r\n z\r\n"), "400c"},
    {WITH("X:\r\n y\r\n"), "400c"},
    {WITH("Transfer-Encoding:\r\n\tchunked\r\n"), "400c"},
    {WITH(" X: y\r\n"), "400c"},
    {WITH("X : y\r\n"), "400c"},
    {WITH(": y\r\n"), "400c"},
    {WITH("X\r\n"), "400c"},
    {WITH("X: a\001b\r\n"), "400c"},
    {WITH("X: a\rb\r\n"), "400c"},
    {WITH("X:\rYTransfer-Encoding: chunked\r\n"), "400c"},
    {WITH("X:\r\rY: z\r\n"), "400c"},
    {WITH("\rX: y\r\n"), "400c"},
    {WITH("X: y\r\r\n"), "400c"},
    {"GET /fast\r HTTP/1.1\r\nHost: a\r\n\r\n", "400c"},
    {"\rX\r\n" GET, "400c"},
    {"\r\r\n" GET, "400c"},
    {POST("/xor?k=0", "Content-Length: 3\r\n\rX: y\r\nTransfer-Encoding: chunked\r\n") "abc" GET, "400c"},
    {"GET /fast HTTP/1.1\r\nHost: a\r\n\rX\r\nContent-Length: 37\r\n\r\n" HEAD_OF("/cpu?n=10"), "400c"},
    {"GET /fast HTTP/1.1\nHost: a\n\n", "400c"},
    {"GET /fast HTTP/1.1\r\nHost: a\r\n\n", "400c"},
    {WITH("Expect: a cake\r\n"), "417c"},
    /* lengths */
    {POST("/gzip", "") GET, "411 200"},
    {POST("/gzip", "Content-Length: 5\r\n") "hello" GET, "200 200"},
    {POST("/gzip", "Content-Length: 0\r\n") GET, "200 200"},
    {POST("/gzip", "Content-Length: 5\r\nContent-Length: 5\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: 5\r\nContent-Length: 6\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: 5, 5\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: +5\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: -5\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: 0x5\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: 5 5\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length:\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: 99999999999999999999999\r\n") "hello", "400c"},
    {POST("/gzip", "Content-Length: 65537\r\n") "hello", "413c"},
    {POST("/gzip", "Content-Length: 5\r\n") "hell", "400c"},
    {WITH("Content-Length: 5\r\n") "hello" GET, "200 200"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n0\r\n\r\n" GET, "200 200"},
    {POST("/gzip", "Transfer-Encoding: CHUNKED\r\n") "5;a=b\r\nhello\r\n0\r\nX: y\r\nHost: z\r\n\r\n" GET, "200 200"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "0\r\n\r\n" GET, "200 200"},
    {WITH("Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n0\r\n\r\n" GET, "200 200"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5\r\nhello0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "g\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "-5\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "fffffffffffffffff\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5\r\nhel", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "0000000000000005\r\nhello\r\n0000\r\n\r\n" GET, "200 200"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "00000000000000005\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5 \t;a\r\nhello\r\n0\r\n\r\n" GET, "200 200"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5 zz\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5 \r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\n") "5;a\rb\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") "5\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") "5\r\nhello\r\n0\r\n\r\n", "400c"},
    {POST("/gzip", "Content-Length: 5\r\nTransfer-Encoding: identity\r\n") "hello", "400c"},
    {POST("/gzip", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") "0\r\n\r\n", "400c"},
    {POST("/gzip", "Transfer-Encoding: gzip, chunked\r\n") "0\r\n\r\n", "501c"},
    {POST("/gzip", "Transfer-Encoding: chunked, gzip\r\n") "0\r\n\r\n", "501c"},
    {POST("/gzip", "Transfer-Encoding: xchunked\r\n") "0\r\n\r\n", "501c"},
    {POST("/gzip", "Transfer-Encoding:\r\n") "0\r\n\r\n", "501c"},
    {"POST /gzip HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400c"},
    /* expectations */
    {POST("/gzip", "Content-Length: 5\r\nExpect: 100-continue\r\n") "hello" GET, "[100] 200 200"},
    {GET POST("/gzip", "Content-Length: 5\r\nExpect: 100-Continue\r\n") "hello", "200 [100] 200"},
    {POST("/gzip", "Content-Length: 65537\r\nExpect: 100-continue\r\n"), "413c"},
    {POST("/nowhere", "Content-Length: 5\r\nExpect: 100-continue\r\n"), "405c"},
    {"POST /gzip HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello", "200c"},
    {WITH("Expect: 100-continue\r\n"), "200"},
    /* conditions */
    {FILE_WITH("If-Modified-Since: " NEW "\r\n") GET, "304 200"},
    {FILE_WITH("If-Modified-Since: " OLD "\r\n") GET, "200 200"},
    {FILE_WITH("If-Modified-Since: " NEW "\r\nIf-Modified-Since: " NEW "\r\n"), "200"},
    {FILE_WITH("If-None-Match: \"x\"\r\nIf-Modified-Since: " NEW "\r\n"), "200"},
    {FILE_WITH("If-None-Match: *\r\n"), "304"},
    {FILE_WITH("If-None-Match: *\r\nIf-Modified-Since: " OLD "\r\n"), "304"},
    {FILE_WITH("If-Unmodified-Since: " OLD "\r\n") GET, "412 200"},
    {FILE_WITH("If-Unmodified-Since: " OLD "\r\nRange: bytes=0-0\r\n"), "412"},
    {FILE_WITH("If-Unmodified-Since: " NEW "\r\nRange: bytes=0-0\r\n"), "206"},
    {FILE_WITH("If-Unmodified-Since: yesterday\r\n"), "200"},
    {FILE_WITH("If-Unmodified-Since: " NEW "\r\nIf-None-Match: *\r\n"), "304"},
    {FILE_WITH("If-Unmodified-Since: " OLD "\r\nIf-None-Match: *\r\n"), "412"},
    {FILE_WITH("If-Match: \"q\"\r\n"), "412"},
    {FILE_WITH("If-Match: *\r\n"), "200"},
    {FILE_WITH("If-Match: *\r\nIf-Unmodified-Since: " OLD "\r\n"), "200"},
    {FILE_WITH("If-Match: \"q\"\r\nIf-None-Match: *\r\n"), "412"},
    {"GET /nowhere HTTP/1.1\r\nHost: a\r\nIf-Match: \"q\"\r\n\r\n", "404"},
    /* ends */
    {"", ""},
    {"\r\n", ""},
    {"G", "400c"},
    {GET "GET /fast HTTP/1.1\r\nHost", "200 400c"},
};

static struct drive drive;

static void open_drive(void)
{
    static const struct service_options options = {.root = "/usr/include", .workers = JOB_POOL_INLINE, .body_bytes_max = 65536};
    drive_open(&drive, &options);
}

static void close_drive(void)
{
    drive_close(&drive);
}

/* Reads drive.out as answers and writes their statuses. An answer to HEAD has no body, which only the request says. */
static void statuses_of(const char *bytes, char *out)
{
    const char *at = drive.out, *end = drive.out + drive.out_len;
    bool is_head = strncmp(bytes, "HEAD", 4) == 0;
    *out = '\0';
    while (at < end) {
        const char *body = strstr(at, "\r\n\r\n"), *length = strstr(at, "Content-Length: ");
        const char *close = strstr(at, "Connection: close");
        int status = 0;
        ck_assert_msg(body && sscanf(at, "HTTP/1.1 %d ", &status) == 1, "no answer: %s", at);
        body += 4;
        bool is_interim = status == 100;
        out += sprintf(out, "%s%s%d%s%s", out[0] == '\0' && at != drive.out ? " " : "", is_interim ? "[" : "", status,
                       is_interim ? "]" : "", close && close < body ? "c" : "");
        at = body + (is_interim || is_head ? 0 : length && length < body ? strtoul(length + 16, NULL, 10) : 0);
        is_head = false;
    }
    ck_assert_ptr_eq(at, end);
}

/* "100 Continue" may be left out when the body is here already. */
static bool agree(const char *wanted, const char *got)
{
    char without[256], *out = without;
    for (const char *at = wanted; *at; at++) {
        if (*at == '[')
            at += strlen("[100] ") - 1;
        else
            *out++ = *at;
    }
    *out = '\0';
    return strcmp(wanted, got) == 0 || strcmp(without, got) == 0;
}

static void assert_row(const struct row *row, const char *how, size_t at)
{
    char statuses[1024];
    drive_run(&drive, row->bytes, strlen(row->bytes));
    statuses_of(row->bytes, statuses);
    ck_assert_msg(agree(row->statuses, statuses), "wanted \"%s\", got \"%s\" (%s %zu):\n%s", row->statuses, statuses, how, at,
                  row->bytes);
}

START_TEST(each_request_is_answered_as_the_table_says)
{
    assert_row(&rows[_i], "whole", 0);
}
END_TEST

/* One thread reads the bytes: where they are cut is nothing that ThreadSanitizer looks at. */
#ifdef __SANITIZE_THREAD__
enum { CUT_STEP = 16 };
#else
enum { CUT_STEP = 1 };
#endif

START_TEST(a_cut_at_any_byte_changes_nothing)
{
    for (size_t cut = 1; cut < strlen(rows[_i].bytes); cut += CUT_STEP) {
        drive.first_len = cut;
        assert_row(&rows[_i], "cut at", cut);
    }
}
END_TEST

START_TEST(bytes_one_by_one_change_nothing)
{
    drive.piece_len = 1;

    assert_row(&rows[_i], "pieces of", 1);
}
END_TEST

START_TEST(a_body_that_nobody_wants_has_a_limit_as_well)
{
    static const char head[] = WITH("Transfer-Encoding: chunked\r\n"), end[] = "\r\n0\r\n\r\n" GET;
    char bytes[1024 + 65536], statuses[1024];

    for (unsigned len = 65536; len <= 65537; len++) {
        int begin = sprintf(bytes, "%s%x\r\n", head, len);
        memset(bytes + begin, 'x', len);
        strcpy(bytes + begin + len, end);
        drive_run(&drive, bytes, strlen(bytes));
        statuses_of(bytes, statuses);
        ck_assert_str_eq(statuses, len == 65536 ? "200 200" : "413c");
    }
}
END_TEST

START_TEST(a_body_that_waits_for_100_continue_gets_it)
{
    static const char head[] = POST("/gzip", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    drive.first_len = strlen(head);
    drive.awaited = "100 Continue\r\n\r\n";

    drive_run(&drive, POST("/gzip", "Content-Length: 5\r\nExpect: 100-continue\r\n") "hello", sizeof head - 1 + 5);

    ck_assert_ptr_eq(strstr(drive.out, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), drive.out);
}
END_TEST

START_TEST(it_gets_it_behind_the_answers_that_are_owed)
{
    static const char first[] = HEAD_OF("/cpu?n=1000") POST("/gzip", "Content-Length: 5\r\nExpect: 100-continue\r\n");
    char statuses[1024], bytes[1024];
    (void)snprintf(bytes, sizeof bytes, "%shello", first);
    drive.first_len = strlen(first);
    drive.awaited = "100 Continue\r\n\r\n";

    drive_run(&drive, bytes, strlen(bytes));

    statuses_of(bytes, statuses);
    ck_assert_str_eq(statuses, "200 [100] 200");
}
END_TEST

int main(void)
{
    const int count = (int)(sizeof rows / sizeof *rows);
    Suite *suite = suite_create("gzserve_requests");
    TCase *table = tcase_create("table");
    tcase_set_timeout(table, 60);
    tcase_add_checked_fixture(table, open_drive, close_drive);
    tcase_add_loop_test(table, each_request_is_answered_as_the_table_says, 0, count);
    tcase_add_loop_test(table, a_cut_at_any_byte_changes_nothing, 0, count);
    tcase_add_loop_test(table, bytes_one_by_one_change_nothing, 0, count);
    tcase_add_test(table, a_body_that_nobody_wants_has_a_limit_as_well);
    tcase_add_test(table, a_body_that_waits_for_100_continue_gets_it);
    tcase_add_test(table, it_gets_it_behind_the_answers_that_are_owed);
    suite_add_tcase(suite, table);
    return fixture_run(suite);
}
