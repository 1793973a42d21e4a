/* job.h — all. */
#include <job/engine.h>
