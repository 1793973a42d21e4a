/* job.h — all, and hidden from C++. */
#ifndef __cplusplus
#include <job/port.h>
#endif
