/* turn.c — what a layer on the left may not call. */
int loop_turn(void);

int loop_turn(void)
{
    return 0;
}
