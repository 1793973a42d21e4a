/* begin_by_seed.c — makes an example a program on job::test as it is: before main() the kernel gets faults, by SEED and the arguments. */
#include <job/test.h>

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("SEED");
    struct job_test_options options = {.has_faults = true, .is_real_time = true};
    options.seed = text ? strtoull(text, NULL, 0) : 1;
    FILE *arguments = fopen("/proc/self/cmdline", "re");
    if (!arguments)
        abort();
    for (int c; (c = getc(arguments)) != EOF;)
        options.seed = (options.seed ^ (unsigned)c) * 1099511628211U;
    fclose(arguments);
    job_test_begin(&options);
}
