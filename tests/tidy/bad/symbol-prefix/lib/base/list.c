/* list.c — a symbol that would clash with a user's. */
int list_length(void);

int list_length(void)
{
    return 0;
}
