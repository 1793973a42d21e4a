/* bits.c — lines that no window holds. */
static int a_function_with_a_long_name(int argument, int another_argument, int one_more, int the_fourth, int and_one_more_here);   /* refused */
static int short_one;   /* refused: this comment goes on and on although all that it says would fit into a third of the room that it takes ......... */
static const char *text = "the words of a message are not broken in two: whoever greps for them wants to find them, so they may go on";
