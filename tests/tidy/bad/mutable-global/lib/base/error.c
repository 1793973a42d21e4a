/* error.c — state that two runtimes in one process would share. */
int error_last(void);
void error_set(int err);
static int last;

int error_last(void)
{
    return last;
}

void error_set(int err)
{
    last = err;
}
