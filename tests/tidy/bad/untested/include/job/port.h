/* port.h — one call that a test makes, one that none makes. */
#ifndef JOB_PORT_H
#define JOB_PORT_H

#define JOB_API

/** Opens a port. Thread: any. */
JOB_API void job_port_open(void);

/** Closes a port. Thread: any. */
JOB_API void job_port_close(void);   /* refused */

#endif
