/* lane.c — a queue that knows of the loop. */
#include "queue/lane.h"
#include "loop/loop.h"   /* refused */
#include "lane.h"        /* refused */
