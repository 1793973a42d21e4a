/* string.c — a folder that is no layer. */
#include "base/bits.h"   /* refused */
