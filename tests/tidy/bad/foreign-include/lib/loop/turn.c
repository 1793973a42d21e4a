/* turn.c — a loop that knows the ring. */
#include <liburing.h>      /* refused */
#include <ck_stack.h>      /* refused */
#include <assert.h>        /* refused */
#include <stdatomic.h>     /* refused */
