/* park.c — a relaxed access without a word. */

static uint32_t idle(struct park *park)
{
    return load_relaxed(&park->idle);
}
