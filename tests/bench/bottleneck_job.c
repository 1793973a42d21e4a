/* bottleneck_job.c — measures the example gzpipe: compression on the pool, or with --inline on the loop. */
#include "bottleneck.h"

static void serve(bool is_inline)
{
    (void)execl(JOB_GZPIPE, "gzpipe", is_inline ? "--inline" : NULL, (char *)NULL);
    perror(JOB_GZPIPE);
}

int main(int argc, char **argv)
{
    return bottleneck_main(argc, argv, serve);
}
