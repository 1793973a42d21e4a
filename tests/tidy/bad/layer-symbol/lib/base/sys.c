/* sys.c — declares what it may not include. */
int loop_turn(void);
int sys_wait(void);

int sys_wait(void)
{
    return loop_turn();
}
