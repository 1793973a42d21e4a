/* bits.c — work that was not done. */
static int bits;   /* TODO: count them (refused) */
