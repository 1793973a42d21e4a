/* port.h — names that would clash with a user's. */
#define JOB_API
#define PORT_MAX 4   /* refused */

/** Closes a port. Thread: any. */
JOB_API void port_close(void);   /* refused */
