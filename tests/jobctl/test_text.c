/* test_text.c — any text becomes valid JSON, and figures are short and have their unit. */
#include "support/fixture.h"

#include <sys/mman.h>

#include "json.h"
#include "text.h"

START_TEST(any_text_becomes_one_json_string)
{
    struct random random = fixture_random("json");
    char command[256];
    int fd = memfd_create("json", MFD_CLOEXEC);
    struct json json = {.file = fdopen(fd, "w")};
    json_open(&json, NULL, '[');
    for (unsigned i = 0; i < 2000; i++) {
        char text[64];
        for (size_t at = 0; at < sizeof text; at++)
            text[at] = (char)(random_below(&random, 4) ? random_next(&random) : 0xe0 + random_below(&random, 32));
        text[sizeof text - 1] = '\0';
        json_text(&json, NULL, text);
    }
    json_open(&json, NULL, '{');
    json_number(&json, "number", UINT64_MAX);
    json_seconds(&json, "seconds", 1000000001);
    json_address(&json, "address", UINT64_MAX);
    json_bool(&json, "yes", true);
    json_text(&json, "\"", NULL);
    json_close(&json, '}');
    json_close(&json, ']');
    ck_assert_int_eq(fflush(json.file), 0);

    snprintf(command, sizeof command,
             "jq -e 'length == 2001 and .[2000].seconds == 1.000000001 and .[2000].yes' /proc/%d/fd/%d >/dev/null",
             (int)getpid(), fd);
    int status = system(command);
    ck_assert_int_eq(fclose(json.file), 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(figures_are_cut_and_carry_their_unit)
{
    static const struct { uint64_t value; const char *bytes, *duration; } rows[] = {
        {0, "0 B", "0 ns"}, {999, "999 B", "999 ns"}, {1023, "1023 B", "1.0 us"}, {1024, "1.0 KiB", "1.0 us"},
        {1536, "1.5 KiB", "1.5 us"}, {10240, "10 KiB", "10 us"}, {1048575, "1023 KiB", "1.0 ms"},
        {59999999999, "55 GiB", "59 s"}, {61000000000, "56 GiB", "1 min 1 s"}, {3661000000000, "3.3 TiB", "1 h 1 min"},
        {90000000000000, "81 TiB", "1 d 1 h"}, {UINT64_MAX, "15 EiB", "213503 d 23 h"},
    };
    text_figure text;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_str_eq(text_bytes(rows[i].value, text), rows[i].bytes);
        ck_assert_str_eq(text_duration(rows[i].value, text), rows[i].duration);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("jobctl/text");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, any_text_becomes_one_json_string);
    tcase_add_test(tcase, figures_are_cut_and_carry_their_unit);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
