/* test_address.c — numeric addresses, and nothing else. */
#include "io/address.h"

#include "support/fixture.h"

START_TEST(numeric_addresses_are_parsed_and_keep_their_port)
{
    const char *const good[] = {NULL, "127.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "fe80::1", "::ffff:1.2.3.4"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct address address;
        ck_assert_msg(address_parse(&address, good[i], 65535) == 0, "%s", good[i]);
        ck_assert_uint_eq(address_port(&address), 65535);
        bool is_v6 = good[i] && strchr(good[i], ':');
        ck_assert_int_eq(address.any.sa_family, is_v6 ? AF_INET6 : AF_INET);
        ck_assert_uint_eq(address.len, is_v6 ? sizeof address.in6 : sizeof address.in);
    }
}
END_TEST

START_TEST(names_and_nonsense_are_refused)
{
    const char *const bad[] = {"", " ", "localhost", "1.2.3", "1.2.3.4.5", "1.2.3.256", "127.0.0.1:80", "[::1]", ":::", "::g", "0x7f.1",
                               "127.0.0.1 ", "fe80::1%lo"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address address;
        ck_assert_msg(address_parse(&address, bad[i], 1) == -EINVAL, "%s", bad[i]);
    }
    struct address local = {.any.sa_family = AF_UNIX};
    ck_assert_uint_eq(address_port(&local), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("address");
    TCase *tcase = tcase_create("address");
    tcase_add_test(tcase, numeric_addresses_are_parsed_and_keep_their_port);
    tcase_add_test(tcase, names_and_nonsense_are_refused);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
