/* assert.c — how a broken invariant ends the process, and the counters behind JOB_MARK.
 *
 * The message goes to standard error by write(2): nothing that could allocate or lock is safe here.
 */
#include "base/assert.h"

#include "base/atomic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void assert_failed(const char *expression, const char *file, int line)
{
    assert_failed_text("assertion failed: %s (%s:%d)", expression, file, line);
}

_Noreturn void assert_failed_text(const char *format, ...)
{
    static const char prefix[] = "libjob: ";
    char text[512];
    va_list args;
    memcpy(text, prefix, sizeof prefix);
    va_start(args, format);
    (void)vsnprintf(text + sizeof prefix - 1, sizeof text - sizeof prefix, format, args);
    va_end(args);
    size_t len = strlen(text);
    text[len] = '\n';   /* over the zero: there is always room for one byte */
    (void)!write(STDERR_FILENO, text, len + 1);
    abort();
}

#if defined(JOB_CHECKED) || defined(JOB_SIM)

enum { MARKS_MAX = 128 };   /* more than the library has; a further name is not counted */

static struct mark {
    const char *name;
    unsigned long count;
} marks[MARKS_MAX];

/* Claims are by compare-and-swap on the name, so threads may meet here; the same name twice only splits its count, and
 * mark_count() adds the parts. */
static struct mark *mark_find(const char *name)
{
    for (unsigned i = 0; i < MARKS_MAX; i++) {
        const char *found = __atomic_load_n(&marks[i].name, __ATOMIC_ACQUIRE);
        if (!found && __atomic_compare_exchange_n(&marks[i].name, &found, name, false, __ATOMIC_ACQ_REL,
                                                  __ATOMIC_ACQUIRE))
            return &marks[i];
        if (found && strcmp(found, name) == 0)
            return &marks[i];
    }
    return NULL;
}

void mark_hit(const char *name)
{
    struct mark *mark = mark_find(name);
    if (mark)
        __atomic_fetch_add(&mark->count, 1, __ATOMIC_RELAXED);
}

unsigned long mark_count(const char *name)
{
    struct mark *mark = mark_find(name);
    return mark ? __atomic_load_n(&mark->count, __ATOMIC_RELAXED) : 0;
}

void mark_reset(void)
{
    for (unsigned i = 0; i < MARKS_MAX; i++)
        __atomic_store_n(&marks[i].count, 0, __ATOMIC_RELAXED);
}

#endif
