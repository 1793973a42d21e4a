/* conform.h — what a scenario is made of.
 *
 * A body is given a runtime, a loop and dice. It must end by itself whatever the kernel does, leave nothing open, and, when there were no
 * faults, have an outcome that depends on the seed alone: it says it with tell().
 */
#ifndef TESTS_CONFORM_CONFORM_H
#define TESTS_CONFORM_CONFORM_H

#include "support/world.h"

enum { PUMPS_MAX = 5000, OUTCOME_MAX = 1024 };

struct scenario {
    const char *body;
    uint64_t seed;
    struct random dice;
    bool is_faulty;              /* the kernel misbehaves */
    bool may_break;              /* and breaks connections */
    struct job_runtime *runtime;
    struct job_loop *loop;
    struct job_pool *pool;       /* threads on the real kernel, inline on the fake one */
    struct job_timer pump;       /* acts for the peers, while there is something left to do */
    bool (*act)(struct scenario *scenario);   /* returns false when all is done */
    unsigned pumps;
    void *state;
    char outcome[OUTCOME_MAX];
};

/* Fails the test and names body and seed. */
#define must(scenario, condition)                                                                                      \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            ck_abort_msg("%s: %s SEED=%llu", #condition, (scenario)->body, (unsigned long long)(scenario)->seed);        \
    } while (0)

#define must_ok(scenario, call)                                                                                        \
    do {                                                                                                               \
        int must_result = (call);                                                                                      \
        if (must_result < 0)                                                                                           \
            ck_abort_msg("%s: %s: %s SEED=%llu", #call, job_strerror(must_result), (scenario)->body,                     \
                         (unsigned long long)(scenario)->seed);                                                        \
    } while (0)

/* Adds to the outcome. */
void tell(struct scenario *scenario, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs the loop to its end, calling `act` now and then. */
void run(struct scenario *scenario, void *state, bool (*act)(struct scenario *scenario));

static inline unsigned below(struct scenario *scenario, unsigned bound)
{
    return (unsigned)random_below(&scenario->dice, bound);
}

/* The byte at an offset of stream `key`. */
static inline uint8_t pattern_byte(uint64_t key, uint64_t offset)
{
    return (uint8_t)((offset * 2654435761U ^ key * 40503U) >> 11);
}

/* A socket at the other end: sends its pattern and verifies what comes back. */
struct peer {
    int fd;
    uint64_t key;
    uint64_t to_send, sent, received;
    uint64_t key_received;       /* the pattern that is expected */
    bool is_shut, has_end, is_broken;
    bool keeps_open;             /* does not shut down when all is sent */
};

void peer_open(struct peer *peer, int fd, uint64_t key, uint64_t to_send);
/* Sends and receives a little, never blocks. */
void peer_act(struct scenario *scenario, struct peer *peer);
bool peer_is_done(const struct peer *peer);
void peer_close(struct peer *peer);

/* Verifies a buf against a pattern that goes on at *offset. */
void verify(struct scenario *scenario, const struct job_buf *buf, uint64_t key, uint64_t *offset);
/* A buf of `len` bytes of the pattern from *offset on. */
struct job_buf *make(struct scenario *scenario, uint64_t key, uint64_t *offset, size_t len);

/* bodies */
void echo(struct scenario *scenario);
void echo_with_tasks(struct scenario *scenario);
void echo_with_pauses(struct scenario *scenario);
void echo_with_moves(struct scenario *scenario);
void cancel_races(struct scenario *scenario);
void half_close(struct scenario *scenario);
void peer_gone(struct scenario *scenario);
void close_in_each_state(struct scenario *scenario);
void tasks_end_before_closed(struct scenario *scenario);
void accepting(struct scenario *scenario);
void closing_a_listener(struct scenario *scenario);
void out_of_descriptors(struct scenario *scenario);
void starving(struct scenario *scenario);
void timers(struct scenario *scenario);
void signals(struct scenario *scenario);
void many_small_ops(struct scenario *scenario);
void files(struct scenario *scenario);
void flows(struct scenario *scenario);

#endif
