/* assert.h — invariants: cheap ones in every build, walks in checked builds, and marks at race windows.
 *
 * assert() stays on in release: a service that goes on after a broken invariant corrupts its users' data. It reports
 * through assert_failed(), which logs the text, and aborts. User errors are not asserts: they are errno.
 */
#ifndef JOB_BASE_ASSERT_H
#define JOB_BASE_ASSERT_H

#include <stdbool.h>
#include <stddef.h>

#undef assert
_Noreturn void assert_failed(const char *expression, const char *file, int line);

/* For an invariant whose breach is better told in words. */
_Noreturn void assert_failed_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define assert(expression)                                                                                             \
    (__builtin_expect(!!(expression), 1) ? (void)0 : assert_failed(#expression, __FILE__, __LINE__))

/* An invariant that costs more than O(1); only in checked builds. */
#ifdef JOB_CHECKED
#define assert_slow(expression) assert(expression)
#else
#define assert_slow(expression) ((void)sizeof(expression))
#endif

/* A line inside a race's window. Checked and simulated builds count how often it was reached; the test that explains the
 * line asserts that it was. Nothing in release. */
#if defined(JOB_CHECKED) || defined(JOB_SIM)
void mark_hit(const char *name);
unsigned long mark_count(const char *name);
void mark_reset(void);
#define JOB_MARK(name) mark_hit(#name)
#else
#define JOB_MARK(name) ((void)0)
#endif

#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
