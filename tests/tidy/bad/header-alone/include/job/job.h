/* job.h — all. */
#include <stddef.h>
#include <job/port.h>
