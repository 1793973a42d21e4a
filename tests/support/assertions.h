/* assertions.h — check's assertions, which cost next to nothing when they hold.
 *
 * As check has them, each one that holds is written to a file, by a system call and under a lock, so that a test that dies later can say
 * behind which line. Half the time of all tests went there; and under ThreadSanitizer the lock put every thread that asserted something in
 * order with every other, and hid races. Here a thread notes its first NOTED_MAX lines, and none under that sanitizer:
 * behind these a test that dies is said to have been at an older line.
 */
#ifndef TESTS_SUPPORT_ASSERTIONS_H
#define TESTS_SUPPORT_ASSERTIONS_H

#include <check.h>

#ifndef __SANITIZE_THREAD__
/* Never inlined: there are thousands of assertions to compile. */
__attribute__((noinline, unused)) static void assertion_holds(const char *file, int line)
{
    enum { NOTED_MAX = 500 };
    static _Thread_local int last, noted;
    if (line == last || noted >= NOTED_MAX)
        return;
    last = line;
    noted++;
    _mark_point(file, line);
}
#else
#define assertion_holds(file, line) ((void)0)
#endif

/* All of check's other assertions are made of it. */
#undef ck_assert_msg
#define ck_assert_msg(expr, ...)                                                                                                           \
    ((expr) ? assertion_holds(__FILE__, __LINE__)                                                                                          \
            : _ck_assert_failed(__FILE__, __LINE__, "Assertion '" #expr "' failed", ##__VA_ARGS__))

#endif
