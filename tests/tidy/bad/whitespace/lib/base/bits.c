/* bits.c — what an editor leaves behind. */
static int first;   /* refused */ 
	static int second;   /* refused */
