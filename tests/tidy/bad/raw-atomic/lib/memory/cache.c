/* cache.c — accesses that the checker does not see. */
static void count(struct cache *cache)
{
    __atomic_fetch_add(&cache->count, 1, __ATOMIC_RELAXED);   /* refused */
    __sync_synchronize();                                     /* refused */
    _Atomic int count = 0;                                    /* refused */
    volatile int other = count;                               /* refused */
    __asm__ volatile("" ::: "memory");
}
