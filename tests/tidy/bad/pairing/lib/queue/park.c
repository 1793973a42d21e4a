/* park.c — accesses that do not say why they are right. */
static void wake(struct park *park)
{
    store_release(&park->is_awake, 1);   /* refused */
    if (exchange_seq_cst(&park->tokens,  /* refused */
                         park->count))
        return;

    uint32_t idle = load_acquire(&park->idle);   /* pairs with store_release in wake_up */
    if (!cas_acq_rel(&park->idle, &idle,
                     0))                         /* pairs with itself */
        return;
    /* Pairs with itself. */
    fence_seq_cst();
}

static void wake_up(struct park *park)
{
    store_release(&park->idle, 1);   /* pairs with load_acquire in wake */
}
