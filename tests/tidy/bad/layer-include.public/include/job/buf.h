/* buf.h — a public header that includes from the tree. */
#include "memory/buf.h"   /* refused */
struct job_buf;
