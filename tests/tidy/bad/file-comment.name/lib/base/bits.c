/* Bits and bytes: no name of the file (refused). */
static int first_line;
