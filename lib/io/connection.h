/* connection.h — what travels of a stream. */
#ifndef JOB_IO_CONNECTION_H
#define JOB_IO_CONNECTION_H

#include "base/root.h"
#include "job/connection.h"

struct job_connection {
    struct root *root;
    int fd;
    int error;                   /* with which it has failed; nothing is received or sent any more */
    bool has_ended, is_shut;     /* the peer's end has come; ours was sent */
    struct job_buf *waiting;     /* received, not yet told */
};

struct job_connection *connection_new(struct root *root);   /* NULL: no memory */
void connection_free(struct job_connection *connection);    /* of which nothing is left */

#endif
