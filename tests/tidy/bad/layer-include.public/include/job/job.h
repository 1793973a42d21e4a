/* job.h — all. */
#include <job/buf.h>
struct job_buf;
