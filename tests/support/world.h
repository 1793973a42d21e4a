/* world.h — the same test body above the real kernel and above the fake one (lib/testkit/fake_kernel.h).
 *
 * Above the fake one, in virtual time, a scenario is a function of its seed, and a sleep that nothing can end stops the program.
 */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include "base/root.h"
#include "support/fixture.h"

#ifdef TEST_FAKE_KERNEL
#include "testkit/fake_kernel.h"
#include "testkit/virtual_clock.h"

enum { WORLD_IS_FAKE = 1 };

static inline void world_begin(const struct fake_options *options)
{
    fake_kernel_start(options);
}

static inline void world_clock(struct job_runtime *runtime)
{
    ((struct root *)runtime)->now_ns = virtual_clock_now_ns;   /* its first member */
}
#else
enum { WORLD_IS_FAKE = 0 };
#endif

#endif
