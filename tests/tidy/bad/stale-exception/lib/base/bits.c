/* bits.c — a file without fault. */
static int bits;
