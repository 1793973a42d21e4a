/* hunger.c — that a loop starves for a moment is how backpressure works; that it lasts is news, and somebody should hear it.
 *
 * Nobody runs while a loop starves and sleeps, so it sleeps no longer than until there is something to tell; once it is told, it sleeps
 * as ever. Told once each time, and no time more often than every HUNGER_TELL_S: a service that lives at its limit fills no log.
 */
#include "engine/hunger.h"

#include "memory/arena.h"

/* When this time may be told. */
static uint64_t due_ns(const struct hunger *hunger)
{
    uint64_t lasting = hunger->since_ns + HUNGER_AFTER_NS, again = hunger->told_ns + HUNGER_TELL_S * JOB_SECOND;
    return hunger->told_ns == 0 || lasting > again ? lasting : again;
}

static void tell_begin(const struct hunger *hunger, uint64_t now)
{
    struct job_arena *arena = hunger->arena;
    log_write(&arena->root->log, JOB_LOG_WARNING,
              "loop %s receives nothing since %llu ms: no memory in arena %s, %llu of %zu bytes are in use, %llu are reserved for tasks: "
              "raise the limit, or let fewer bufs wait",
              hunger->who, (unsigned long long)((now - hunger->since_ns) / 1000000), arena->name,
              (unsigned long long)load_relaxed(&arena->out), arena->limit,   /* snapshots: order nothing */
              (unsigned long long)load_relaxed(&arena->reserve));            /* as above */
}

static void tell_end(const struct hunger *hunger, uint64_t now)
{
    log_write(&hunger->arena->root->log, JOB_LOG_WARNING, "loop %s receives again after %llu ms without memory in arena %s",
              hunger->who, (unsigned long long)((now - hunger->since_ns) / 1000000), hunger->arena->name);
}

uint64_t hunger_look(struct hunger *hunger, bool is_starving)
{
    if (!is_starving && hunger->since_ns == 0)
        return TIME_NEVER;   /* the usual case asks no clock */
    uint64_t now = hunger->arena->root->now_ns();
    if (!is_starving) {
        if (hunger->is_told)
            tell_end(hunger, now);
        hunger->is_told = false;
        hunger->since_ns = 0;
        return TIME_NEVER;
    }
    if (hunger->since_ns == 0)
        hunger->since_ns = now;
    if (hunger->is_told)
        return TIME_NEVER;
    if (now < due_ns(hunger))
        return due_ns(hunger);
    tell_begin(hunger, now);
    hunger->is_told = true;
    hunger->told_ns = now;
    return TIME_NEVER;
}
