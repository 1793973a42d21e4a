/* job.h — all. */
#include <job/port.h>
