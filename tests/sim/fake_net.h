/* fake_net.h — one connected socket, the peer behind it, and an engine that does its operations: for scenarios of streams.
 *
 * As the ring does, the engine looks at the socket on the thread that waits, and only there. The n-th byte of either direction has the
 * value n, so order, loss and doubling are seen at each end. The scenario says which loop the socket is with; whoever else touches it, and
 * whoever takes it away or closes it under an operation, is stopped.
 */
#ifndef TESTS_SIM_FAKE_NET_H
#define TESTS_SIM_FAKE_NET_H

#include "loop/loop.h"
#include "sim/sim.h"

enum { NET_FD = 1000 };

enum net_end { NET_OPEN, NET_ENDED, NET_RESET };

struct net {
    const struct engine *holder;   /* of the loop that it is with; NULL: it travels, or is nobody's */
    bool is_unix;                  /* a poll tells the peer's end as well */
    unsigned closed;               /* close(2) */
    /* from the peer */
    unsigned sent, taken;          /* bytes */
    enum net_end end;
    bool error_waits;              /* the reset is told once */
    /* to the peer */
    unsigned heard;
    bool is_shut;
    unsigned whims;                /* so many completions may come later than they could, or without memory first */
};

extern struct net net;

void net_open(void);                      /* with nobody */
void net_give(const struct job_loop *loop);
void net_take(const struct job_loop *loop);   /* asserts that it was with that loop, and that no operation is left on it */

/* The peer's side: what follows the end of the socket is ignored. */
void net_send(unsigned len);
void net_end(enum net_end end);
bool net_is_closed(void *arg);

#endif
