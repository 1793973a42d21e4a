/* bits.c — a file that shouts. */

/* ---- counting -------------- refused */
static int bits;
