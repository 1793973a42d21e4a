/* port.h — a function that does not say who may call it. */
#define JOB_API

struct job_port;

/** Closes a port. */
JOB_API void job_port_close(struct job_port *port);   /* refused */

/** Starts a port. Thread: any. */
JOB_API void job_port_start(struct job_port *port);
