/* port.h — what a port does for an rpc. */
#ifndef JOB_MESSAGE_PORT_H
#define JOB_MESSAGE_PORT_H

#include "message/box.h"

/* job_port_post(), of a call or an answer. */
int port_post(struct job_port *port, const struct job_post *post, const struct stamp *stamp);

/* `writable` will come: the port waits for room at its peer. */
bool port_awaits_room(const struct job_port *port);

#endif
