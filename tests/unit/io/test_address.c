/* test_address.c — numeric addresses there and back, and nothing else. */
#include "io/address.h"

#include <arpa/inet.h>

#include "support/fixture.h"

static const struct {
    const char *text;
    int family;
} good[] = {
    {"127.0.0.1:80", AF_INET},        {"0.0.0.0:0", AF_INET},           {"255.255.255.255:65535", AF_INET},
    {"[::]:0", AF_INET6},             {"[::1]:8080", AF_INET6},         {"[fe80::1%lo]:80", AF_INET6},
    {"[::ffff:1.2.3.4]:1", AF_INET6}, {"unix:/run/service", AF_UNIX},   {"unix:relative:with:colons", AF_UNIX},
    {"unix:@abstract", AF_UNIX},
};

START_TEST(an_address_is_the_same_text_after_both_ways)
{
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct sockaddr_storage address;
        socklen_t len = 0;
        char text[JOB_ADDRESS_TEXT];
        ck_assert_msg(job_address_parse(good[i].text, &address, &len) == 0, "%s", good[i].text);
        ck_assert_int_eq(address.ss_family, good[i].family);
        ck_assert_ok(job_address_format((struct sockaddr *)&address, len, text, sizeof text));
        ck_assert_str_eq(text, good[i].text);
        ck_assert_ok(job_address_format((struct sockaddr *)&address, len, text, strlen(text) + 1));
        ck_assert_int_eq(job_address_format((struct sockaddr *)&address, len, text, strlen(text)), -ENOSPC);
    }
}
END_TEST

START_TEST(names_and_nonsense_are_refused)
{
    const char *const bad[] = {
        "", " ", ":", ":80", "localhost:80", "1.2.3:80", "1.2.3.4.5:80", "1.2.3.256:80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1",
        "127.0.0.1:+1", "127.0.0.1:65536", "127.0.0.1:99999999999999999999", "127.0.0.1:80x",
        "127.0.0.1: 80", " 127.0.0.1:80", "::1", "[::1]",
        "[::1]80", "[::1:80", "::1]:80", "[]:80", "[::g]:80", "[fe80::1%]:80", "[fe80::1%no-such-if]:80", "[1.2.3.4]:80", "unix:",
        "unix:@",
        "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:80"};
    struct sockaddr_storage address;
    socklen_t len;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(job_address_parse(bad[i], &address, &len) == -EINVAL, "%s", bad[i]);
    ck_assert_int_eq(job_address_parse(NULL, &address, &len), -EINVAL);
    ck_assert_int_eq(job_address_parse("1.2.3.4:5", NULL, &len), -EINVAL);
    ck_assert_int_eq(job_address_parse("1.2.3.4:5", &address, NULL), -EINVAL);
}
END_TEST

START_TEST(a_path_may_be_as_long_as_the_kernel_allows_and_no_longer)
{
    char text[200] = "unix:", back[JOB_ADDRESS_TEXT];
    struct sockaddr_storage address;
    socklen_t len;
    memset(text + 5, 'p', 107);
    ck_assert_ok(job_address_parse(text, &address, &len));
    ck_assert_ok(job_address_format((struct sockaddr *)&address, len, back, sizeof back));
    ck_assert_str_eq(back, text);
    text[5] = '@';
    ck_assert_ok(job_address_parse(text, &address, &len));
    ck_assert_ok(job_address_format((struct sockaddr *)&address, len, back, sizeof back));
    ck_assert_str_eq(back, text);
    text[5 + 107] = 'p';
    ck_assert_int_eq(job_address_parse(text, &address, &len), -EINVAL);
}
END_TEST

START_TEST(an_interface_without_a_name_is_a_number_of_any_size_there_and_back)
{
    static const uint32_t scopes[] = {1, 65535, 65536, 2000000000, UINT32_MAX};
    for (unsigned i = 0; i < sizeof scopes / sizeof scopes[0]; i++) {
        char text[JOB_ADDRESS_TEXT];
        struct sockaddr_storage address;
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_scope_id = scopes[i]};
        socklen_t len;
        ck_assert_int_eq(inet_pton(AF_INET6, "fe80::1", &in6.sin6_addr), 1);
        ck_assert_ok(job_address_format((struct sockaddr *)&in6, sizeof in6, text, sizeof text));
        ck_assert_msg(job_address_parse(text, &address, &len) == 0, "%s", text);
        ck_assert_uint_eq(((struct sockaddr_in6 *)&address)->sin6_scope_id, scopes[i]);
    }
    struct sockaddr_storage address;
    socklen_t len;
    ck_assert_int_eq(job_address_parse("[fe80::1%4294967296]:80", &address, &len), -EINVAL);
    ck_assert_int_eq(job_address_parse("[fe80::1%99999999999999999999]:80", &address, &len), -EINVAL);
}
END_TEST

START_TEST(what_has_no_text_is_refused)
{
    char text[JOB_ADDRESS_TEXT];
    struct sockaddr other = {.sa_family = AF_PACKET};
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = {0, 'a', 0, 'b'}};
    ck_assert_int_eq(job_address_format(&other, sizeof other, text, sizeof text), -EAFNOSUPPORT);
    ck_assert_int_eq(job_address_format((struct sockaddr *)&in, 3, text, sizeof text), -EINVAL);
    ck_assert_int_eq(job_address_format((struct sockaddr *)&in, 0, text, sizeof text), -EINVAL);
    ck_assert_int_eq(job_address_format((struct sockaddr *)&in, 4000, text, sizeof text), -EINVAL);
    ck_assert_int_eq(job_address_format(NULL, sizeof in, text, sizeof text), -EINVAL);
    ck_assert_int_eq(job_address_format((struct sockaddr *)&in, sizeof in, NULL, sizeof text), -EINVAL);
    ck_assert_int_eq(job_address_format((struct sockaddr *)&un, sizeof(sa_family_t) + 4, text, sizeof text), -EINVAL);
    ck_assert_ok(job_address_format((struct sockaddr *)&un, sizeof(sa_family_t), text, sizeof text));
    ck_assert_str_eq(text, "unix:");   /* a socket without a name */
}
END_TEST

START_TEST(a_port_may_stand_beside_the_address_but_not_twice)
{
    struct address address;
    const char *const without[] = {NULL, "127.0.0.1", "::1", "[::1]", "fe80::1%lo"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        ck_assert_int_eq(address_parse(&address, without[i], 65535), 0);
        ck_assert_uint_eq(address_port(&address), 65535);
    }
    ck_assert_int_eq(address_parse(&address, "127.0.0.1:80", 0), 0);
    ck_assert_uint_eq(address_port(&address), 80);
    ck_assert_int_eq(address_parse(&address, "127.0.0.1:80", 80), -EINVAL);
    ck_assert_int_eq(address_parse(&address, "[::1]:80", 80), -EINVAL);
    ck_assert_int_eq(address_parse(&address, "unix:path", 80), -EINVAL);
    ck_assert_int_eq(address_parse(&address, "unix:path", 0), 0);
    ck_assert_uint_eq(address_port(&address), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("address");
    TCase *tcase = tcase_create("address");
    tcase_add_test(tcase, an_address_is_the_same_text_after_both_ways);
    tcase_add_test(tcase, names_and_nonsense_are_refused);
    tcase_add_test(tcase, a_path_may_be_as_long_as_the_kernel_allows_and_no_longer);
    tcase_add_test(tcase, an_interface_without_a_name_is_a_number_of_any_size_there_and_back);
    tcase_add_test(tcase, what_has_no_text_is_refused);
    tcase_add_test(tcase, a_port_may_stand_beside_the_address_but_not_twice);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
