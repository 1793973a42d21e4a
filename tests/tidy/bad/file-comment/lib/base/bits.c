static int first_line;   /* refused */
