/* cache.c — a thread-local variable of its own. */
static _Thread_local struct cache *mine;   /* refused */
extern __thread int old_style;             /* refused */
