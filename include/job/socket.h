/* socket.h — options of the sockets that listeners accept and streams connect. */
#ifndef JOB_SOCKET_H
#define JOB_SOCKET_H

#include <job/api.h>
#include <stdbool.h>
#include <stddef.h>

JOB_BEGIN_DECLS

/* Zero means the default. Those of TCP are ignored by Unix sockets. */
struct job_socket_options {
    bool delay;                    /* leave Nagle's algorithm on; the default is TCP_NODELAY, since sends of one turn go together anyway */
    bool keepalive;                /* ask an idle peer whether it is still there */
    unsigned keepalive_idle_s;     /* after so long; 0: 60 */
    unsigned keepalive_interval_s; /* and so often; 0: 10 */
    unsigned keepalive_count;      /* gone after so many without an answer; 0: 6 */
    size_t send_buffer_bytes;      /* 0: as the kernel sees fit */
    size_t receive_buffer_bytes;
};

JOB_END_DECLS

#endif
