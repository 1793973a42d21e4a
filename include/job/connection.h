/* connection.h — a connection between two loops: what a stream becomes when it shall live on another one.
 *
 *      job_stream_detach(stream, detached)        the stream's loop: no `data` any more, what is in flight ends
 *      detached(stream, &connection)              its socket, and all bytes that were received and not yet told
 *      ── inside a message, or by any other way ──▶
 *      job_stream_attach(loop, stream, &connection, events)    another loop: those bytes first, then what the peer sends
 *
 * Nothing that the peer sends is lost, told twice or told out of order. A connection that nobody takes, or whose message nobody receives,
 * is closed: the peer sees an end.
 */
#ifndef JOB_CONNECTION_H
#define JOB_CONNECTION_H

#include <job/stream.h>

JOB_BEGIN_DECLS

struct job_connection;

/**
 * Begins to take a connection off its stream. `detached` comes later, never inside this call, when the operations have ended; meanwhile the
 * stream tells nothing and sends nothing (-EBUSY). After it the stream is closed without its socket: `closed` follows, and then the
 * memory is yours again.
 *
 * An end or a failure that comes meanwhile, or was told already, travels: the new stream tells `end`. Time-outs and marks do not travel.
 * A connection that was accepted does not count with its listener's limit any more.
 *
 * @param detached  *connection is the callee's if it stores NULL there; else it is closed
 * @return 0, or, and nothing has changed,
 *         -EBUSY      something is queued to be sent, a place is reserved, a notice is open, data of a known length is expected, it
 *                     connects or finishes, or waits for its program to start
 *         -EALREADY   it is being detached
 *         -EINVAL, -ENOMEM; -ECANCELED: closing; -EPERM: not the loop's thread; the errno with which the stream has failed
 * Thread: loop thread.
 * Shutdown: job_stream_close(), and a loop that closes, close the connection; `detached` does not come then.
 */
JOB_API int job_stream_detach(struct job_stream *stream,
                              void (*detached)(struct job_stream *stream, struct job_connection **connection));

/**
 * Makes a stream of it, which tells what was received already, and receives.
 *
 * @param connection  *connection becomes NULL on success; on error nothing changes
 * @param events      must outlive the stream; `data` is required
 * @return 0, or -EINVAL: an argument is NULL, or it is of another runtime; -ECANCELED: the loop is closing; -EPERM: not its thread
 * Thread: loop thread, or before start.
 */
JOB_API int job_stream_attach(struct job_loop *loop, struct job_stream *stream, struct job_connection **connection,
                              const struct job_stream_events *events);

/** Bytes that were received and not yet told. Thread: any that owns it. */
JOB_API size_t job_connection_waiting(const struct job_connection *connection);

/** Closes it; *connection becomes NULL. NULL is allowed. Thread: any that owns it. */
JOB_API void job_connection_close(struct job_connection **connection);

JOB_END_DECLS

#endif
