/* resolve.h — names of hosts and services become addresses, without a loop that waits for a name server.
 *
 * getaddrinfo(3) runs on threads of the runtime's own, at most 16, so that names which nobody answers take none from files. What it
 * finds is text, as job_stream_connect() takes it.
 */
#ifndef JOB_RESOLVE_H
#define JOB_RESOLVE_H

#include <job/address.h>
#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_resolve;

/* One address with its port, such as "[2001:db8::1]:443". */
struct job_address {
    char text[JOB_ADDRESS_TEXT];
};

/* The end of a request, on the loop, once. The request is idle again: it may be used anew, or freed. `addresses` are there when status
 * is 0: at least one, at most 64, best first (RFC 6724), valid until this returns. Else it is
 *      -ENOENT           there is no such host
 *      -EADDRNOTAVAIL    the host has no address of that family
 *      -EAFNOSUPPORT     this machine has no such family
 *      -EPROTONOSUPPORT  the service is not known
 *      -EHOSTUNREACH     no name server has answered; it may be different later
 *      -EREMOTEIO        a name server says that it cannot
 *      -ETIMEDOUT, -ECANCELED; -ENOMEM; or a negative errno of the system */
typedef void job_resolve_done_fn(struct job_resolve *resolve, int status, const struct job_address *addresses,
                                 size_t count);

/* One request. The caller supplies the memory, which may hold anything but a request in flight: zero it once. */
struct job_resolve {
    void *data;          /* yours; not touched by the library */

    /* The library's. */
    void *job_lookup;
    struct job_handle *job_handle;
    job_resolve_done_fn *job_done;
    struct job_mail job_mail;
    uint64_t job_deadline[8];
    int32_t job_status;
    uint32_t job_state;
    uint64_t job_reserved[2];
};

struct job_resolve_options {
    const char *host;    /* a name, also one of /etc/hosts, or a numeric address, without brackets; at most 255 bytes. NULL: this
                            machine, as seen from itself; with `is_passive`: all addresses that one can listen on */
    const char *service; /* a port's number, or a name of /etc/services; at most 32 bytes. Required */
    int family;          /* 0: any; AF_INET, AF_INET6 */
    bool is_passive;     /* for job_listener_open() */
    uint64_t timeout_ns; /* 0: 30 s */
};

/**
 * Looks a host and a service up. A numeric address needs no thread.
 *
 * @param handle   whose loop is told, and which waits: its `closed` comes after `done`, and closing it cancels what has not begun. A call
 *                 that has begun ends by itself, at the latest when resolv.conf(5) says (`timeout`, `attempts`): so long it holds up
 *                 `closed`, also after `done` has said -ETIMEDOUT or -ECANCELED
 * @param resolve  stays until `done`
 * @param options  copied
 * @param done     required
 * @return 0, or -EINVAL: an argument is NULL, or a text is empty or too long, or a port above 65535, or the family is another; -EBUSY: the
 *         request is in flight; -ECANCELED: the handle is closing; -EAGAIN: 4096 requests of this loop wait already; -ENOMEM; -EPERM: not
 *         the loop's thread; nothing changes on error
 * Thread: loop thread of the handle, or before start.
 */
JOB_API int job_resolve_start(struct job_handle *handle, struct job_resolve *resolve,
                              const struct job_resolve_options *options, job_resolve_done_fn *done);

/**
 * Asks that a request end now. `done` comes at the end of the turn, with -ECANCELED, even if a thread is still at it.
 *
 * @return 0, also when it is about to end; -ENOENT: it is idle; -EINVAL: NULL; -EPERM: not the loop's thread
 * Thread: loop thread of the handle.
 */
JOB_API int job_resolve_cancel(struct job_resolve *resolve);

JOB_END_DECLS

#endif
