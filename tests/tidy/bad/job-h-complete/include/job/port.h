/* port.h — a header that job.h does not have. */
struct job_port;
