/* connection.c — what travels of a stream: made before it leaves, closed if nobody attaches it. How it leaves is in stream_detach.c. */
#include "io/connection.h"

#include "base/alloc.h"
#include "base/sys.h"

struct job_connection *connection_new(struct root *root)
{
    struct job_connection *connection = alloc_zeroed(root, sizeof *connection);
    if (!connection)
        return NULL;
    connection->root = root;
    connection->fd = -1;
    return connection;
}

void connection_free(struct job_connection *connection)
{
    assert(connection->fd < 0 && !connection->waiting);
    alloc_free(connection->root, connection);
}

size_t job_connection_waiting(const struct job_connection *connection)
{
    return connection ? job_buf_len(connection->waiting) : 0;
}

void job_connection_close(struct job_connection **pointer)
{
    struct job_connection *connection = pointer ? *pointer : NULL;
    if (!connection)
        return;
    *pointer = NULL;
    job_buf_free(&connection->waiting);
    (void)sys_close(connection->fd);
    (void)fetch_sub_relaxed(&connection->root->fds, 1);   /* ledger: orders nothing */
    connection->fd = -1;
    connection_free(connection);
}
