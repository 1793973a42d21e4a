/* job.h — all but one. */
struct job_loop;
