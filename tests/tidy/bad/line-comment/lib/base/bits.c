/* bits.c — another comment style. */
static int bits;   // refused
static const char *address = "http://not.a.comment";
