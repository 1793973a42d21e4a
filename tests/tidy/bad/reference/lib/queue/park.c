/* park.c — comments that lead nowhere. */
static void wake(struct park *park)
{
    store_release(&park->idle, 1);        /* refused: pairs with load_acquire in sleep_or_find */
    store_release(&park->idle, 2);        /* refused: pairs with fetch_add_seq_cst in doze */
    store_release(&park->idle, 3);        /* refused: pairs with the other one */
    store_release(&park->idle, 4);        /* pairs with load_acquire in doze */
    park->limit = 4;                      /* refused: see park_limit() */
    park->spin = 5;                       /* refused: docs/decisions/998 */
    park->spin = 5;                       /* refused: as in parking_lot.c */
    park->spin = 6;                       /* as in park.c, see doze() */
}

static void doze(struct park *park)
{
    if (load_acquire(&park->idle))        /* pairs with store_release in wake */
        return;
}
