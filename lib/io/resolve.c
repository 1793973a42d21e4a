/* resolve.c — getaddrinfo(3) on a thread, and a caller that need not wait for it.
 *
 * Nothing can interrupt getaddrinfo(3), and it may take half a minute. So what the thread works on is a *lookup*, a record of ours with
 * copies of the names, and the caller's request only points to it:
 *
 *      request:  idle ──▶ WAITING ──the task has ended, or time-out──▶ `done`
 *                   │         └──cancel──▶ ENDING ──end of the turn──▶ `done` (-ECANCELED)
 *                   └─ numeric ──────────▶ ENDING
 *      lookup:   made ──▶ a task of the handle ──its end, on the loop──▶ freed
 *
 * A request that ends early lets its lookup go (lookup->request is NULL), and nobody is told when that ends. Both are touched by the loop
 * alone but for what the task function writes, so there is nothing to race; and as the lookup is a task of the handle, close waits for it.
 */
#include "job/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bits.h"
#include "io/address.h"
#include "job/task.h"
#include "loop/deadline.h"
#include "loop/handle.h"

enum { HOST_MAX = 255, SERVICE_MAX = 32, PORT_MAX = 65535 };
enum { RESOLVE_IDLE, RESOLVE_WAITING, RESOLVE_ENDING };

struct lookup {
    struct job_task task;
    /* loop */
    struct root *root;
    struct job_resolve *request;     /* NULL: nobody waits */
    /* the task function, then the loop */
    struct job_address *addresses;
    size_t count;
    /* fixed */
    int family;
    bool is_passive, has_host;
    char host[HOST_MAX + 1];
    char service[SERVICE_MAX + 1];
};

_Static_assert(sizeof(((struct job_resolve *)0)->job_deadline) >= sizeof(struct deadline), "deadline fits");

static struct deadline *deadline_of(struct job_resolve *resolve)
{
    return (struct deadline *)resolve->job_deadline;
}

static int errno_of(int error)
{
    switch (error) {
    case EAI_NONAME: return -ENOENT;
    case EAI_NODATA:
    case EAI_ADDRFAMILY: return -EADDRNOTAVAIL;
    case EAI_SERVICE: return -EPROTONOSUPPORT;
    case EAI_AGAIN: return -EHOSTUNREACH;
    case EAI_FAIL: return -EREMOTEIO;
    case EAI_FAMILY: return -EAFNOSUPPORT;
    case EAI_MEMORY: return -ENOMEM;
    case EAI_SYSTEM: return errno > 0 ? -errno : -EIO;
    default: return -EINVAL;
    }
}

/* What is left out is neither IPv4 nor IPv6. */
static int keep(struct lookup *lookup, const struct addrinfo *found)
{
    size_t count = 0;
    for (const struct addrinfo *at = found; at && count < NAMES_ADDRESSES_MAX; at = at->ai_next)
        count++;
    lookup->addresses = alloc_zeroed(lookup->root, count * sizeof *lookup->addresses);
    if (!lookup->addresses)
        return -ENOMEM;
    for (const struct addrinfo *at = found; at && lookup->count < count; at = at->ai_next) {
        char *text = lookup->addresses[lookup->count].text;
        lookup->count += job_address_format(at->ai_addr, at->ai_addrlen, text, JOB_ADDRESS_TEXT) == 0;
    }
    return lookup->count > 0 ? 0 : -EADDRNOTAVAIL;
}

/* A pool thread. */
static void look_up(struct job_task *task)
{
    struct lookup *lookup = container_of(task, struct lookup, task);
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {
        .ai_family = lookup->family,
        .ai_socktype = SOCK_STREAM,   /* else each address comes once for every type */
        .ai_flags = lookup->is_passive ? AI_PASSIVE : 0,
    };
    int error = getaddrinfo(lookup->has_host ? lookup->host : NULL, lookup->service, &hints, &found);
    job_task_set_status(task, error ? errno_of(error) : keep(lookup, found));
    if (found)
        freeaddrinfo(found);
}

static void lookup_free(struct lookup *lookup)
{
    struct root *root = lookup->root;
    (void)job_task_fini(&lookup->task);   /* idle: it cannot fail */
    alloc_free(root, lookup->addresses);
    alloc_free(root, lookup);
}

/* The last touch of the request is `done`. */
static void end(struct job_resolve *resolve, int status, const struct job_address *addresses, size_t count)
{
    struct job_handle *handle = resolve->job_handle;
    struct job_loop *loop = handle->job_loop;
    deadline_clear(loop, deadline_of(resolve));
    resolve->job_state = RESOLVE_IDLE;
    LOOP_CALL(loop, resolve->job_done, (resolve, status, addresses, count));
    loop_let_go(loop);
    handle_release(handle);
}

static void looked_up(struct job_task *task, int status)
{
    struct lookup *lookup = container_of(task, struct lookup, task);
    struct job_resolve *resolve = lookup->request;
    bool has_found = status == 0;
    if (resolve)
        end(resolve, status, has_found ? lookup->addresses : NULL, has_found ? lookup->count : 0);
    lookup_free(lookup);
}

/* The thread may go on; what it finds is of no interest. */
static void let_lookup_go(struct job_resolve *resolve)
{
    struct lookup *lookup = resolve->job_lookup;
    lookup->request = NULL;
    (void)job_task_cancel(&lookup->task);   /* runs already: it ends by itself */
}

static void timed_out(struct deadline *deadline)
{
    struct job_resolve *resolve = (struct job_resolve *)((char *)deadline - offsetof(struct job_resolve, job_deadline));
    JOB_MARK(resolve_times_out);
    let_lookup_go(resolve);
    end(resolve, -ETIMEDOUT, NULL, 0);
}

static void deliver_ending(struct job_mail *mail)
{
    struct job_resolve *resolve = container_of(mail, struct job_resolve, job_mail);
    struct lookup *lookup = resolve->job_lookup;   /* a numeric address */
    end(resolve, resolve->job_status, lookup ? lookup->addresses : NULL, lookup ? lookup->count : 0);
    if (lookup)
        lookup_free(lookup);
}

static void end_later(struct job_resolve *resolve, int status)
{
    resolve->job_state = RESOLVE_ENDING;
    resolve->job_status = status;
    resolve->job_mail.job_deliver = deliver_ending;
    loop_defer_mail(resolve->job_handle->job_loop, &resolve->job_mail);
}

static bool is_text(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    return len > 0 && len <= max;
}

/* A number that getaddrinfo(3) would cut to 16 bits; or one with a space or a sign in front, which it takes as well. */
static bool is_no_port(const char *service)
{
    if (strchr(" \t\n\v\f\r+-", service[0]))
        return true;
    return service[strspn(service, "0123456789")] == '\0' && strtoul(service, NULL, 10) > UINT16_MAX;
}

static int check(struct job_handle *handle, const struct job_resolve *resolve,
                 const struct job_resolve_options *options, job_resolve_done_fn *done)
{
    if (!handle || !resolve || !options || !done || handle_state(handle) == HANDLE_NONE)
        return -EINVAL;
    if (!options->service || !is_text(options->service, SERVICE_MAX) || is_no_port(options->service))
        return -EINVAL;
    if (options->host && !is_text(options->host, HOST_MAX))
        return -EINVAL;
    if (options->family != AF_UNSPEC && options->family != AF_INET && options->family != AF_INET6)
        return -EINVAL;
    int err = handle_check(handle);
    if (err < 0)
        return err;
    return resolve->job_state == RESOLVE_IDLE ? 0 : -EBUSY;
}

static struct lookup *lookup_new(struct root *root, struct job_resolve *resolve,
                                 const struct job_resolve_options *options)
{
    struct lookup *lookup = alloc_zeroed(root, sizeof *lookup);
    if (!lookup)
        return NULL;
    (void)job_task_init(&lookup->task, root->names, look_up, looked_up);   /* the arguments are there */
    lookup->root = root;
    lookup->request = resolve;
    lookup->family = options->family;
    lookup->is_passive = options->is_passive;
    lookup->has_host = options->host != NULL;
    (void)snprintf(lookup->host, sizeof lookup->host, "%s", options->host ? options->host : "");
    (void)snprintf(lookup->service, sizeof lookup->service, "%s", options->service);
    return lookup;
}

/* A port in digits, or -1. */
static int port_of(const char *text)
{
    int port = 0;
    for (; *text >= '0' && *text <= '9' && port <= PORT_MAX; text++)
        port = port * 10 + (*text - '0');
    return *text == '\0' && port > 0 && port <= PORT_MAX ? port : -1;
}

/* True: digits alone, and the answer stands in the lookup. What this does not understand is for getaddrinfo(3). */
static bool is_numeric(struct lookup *lookup)
{
    struct address address;
    int port = port_of(lookup->service);
    if (port < 0 || !lookup->has_host || lookup->host[0] == '[' || address_parse(&address, lookup->host, port) < 0)
        return false;
    if (lookup->family != AF_UNSPEC && lookup->family != address.any.sa_family)
        return false;
    lookup->addresses = alloc_zeroed(lookup->root, sizeof *lookup->addresses);
    if (!lookup->addresses)
        return false;
    lookup->count = 1;
    int err = job_address_format(&address.any, address.len, lookup->addresses->text, JOB_ADDRESS_TEXT);
    assert(err == 0);   /* it has just been parsed */
    return true;
}

int job_resolve_start(struct job_handle *handle, struct job_resolve *resolve, const struct job_resolve_options *options,
                      job_resolve_done_fn *done)
{
    int err = check(handle, resolve, options, done);
    if (err < 0)
        return err;
    struct job_loop *loop = handle->job_loop;
    struct lookup *lookup = lookup_new(loop->root, resolve, options);
    if (!lookup)
        return -ENOMEM;
    bool is_done = is_numeric(lookup);
    err = is_done ? 0 : job_submit(loop->root->names, &lookup->task, handle);
    if (err < 0) {
        lookup_free(lookup);
        return err;
    }
    resolve->job_lookup = lookup;
    resolve->job_handle = handle;
    resolve->job_done = done;
    resolve->job_state = RESOLVE_WAITING;
    *deadline_of(resolve) = (struct deadline){.passed = timed_out};
    handle_hold(handle);
    loop_keep_alive(loop);
    uint64_t timeout_ns = options->timeout_ns ? options->timeout_ns : RESOLVE_TIMEOUT_DEFAULT_NS;
    if (is_done)
        end_later(resolve, 0);
    else
        deadline_set(loop, deadline_of(resolve), time_after(loop->root->now_ns(), timeout_ns));
    return 0;
}

int job_resolve_cancel(struct job_resolve *resolve)
{
    if (!resolve)
        return -EINVAL;
    if (resolve->job_state == RESOLVE_IDLE)
        return -ENOENT;
    if (loop_check_thread(resolve->job_handle->job_loop) < 0)
        return -EPERM;
    if (resolve->job_state == RESOLVE_WAITING) {
        deadline_clear(resolve->job_handle->job_loop, deadline_of(resolve));
        let_lookup_go(resolve);
        resolve->job_lookup = NULL;
        end_later(resolve, -ECANCELED);
    }
    return 0;
}
