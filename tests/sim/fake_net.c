/* fake_net.c — the kernel's side of one socket, and the engine of the loops that share it. It stands in for fake_engine.c, and by the
 * linker's --wrap for the calls that a stream makes on its descriptor.
 *
 * What a kernel may do in either order is drawn: a cancel before or after the data that have come, an end of an operation in this wait or
 * the next one, a receive that finds no memory first. Never the order on the wire, and never an operation that does not end.
 */
#include "sim/fake_net.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/sys.h"
#include "engine/engine.h"
#include "memory/buf.h"

enum { OPS_MAX = 4, ENGINES_MAX = 2, BYTES_MAX = 64 };

struct net_engine {
    struct engine base;
    struct job_arena *arena;
    uint64_t signals, woken;
    unsigned false_alarms;
    struct op *ops[OPS_MAX];
    bool is_submitted[OPS_MAX];
};

struct net net;
static struct net_engine *engines[ENGINES_MAX];

static bool is_on_socket(const struct net_engine *engine)
{
    return engine->base.in_flight > 0;   /* there is no other descriptor */
}

void net_open(void)
{
    net = (struct net){.is_unix = sim_random(2), .whims = 2};
}

void net_give(const struct job_loop *loop)
{
    assert(!net.holder && net.closed == 0);
    net.holder = loop->engine;
}

void net_take(const struct job_loop *loop)
{
    assert(net.holder == loop->engine && net.closed == 0);
    for (unsigned i = 0; i < ENGINES_MAX; i++) {
        if (engines[i])
            assert(!is_on_socket(engines[i]));
    }
    net.holder = NULL;
}

void net_send(unsigned len)
{
    sim_system_call();
    assert(net.end == NET_OPEN && net.sent + len <= BYTES_MAX);
    net.sent += len;
}

void net_end(enum net_end end)
{
    sim_system_call();
    if (net.closed)
        return;
    net.end = end;
    net.error_waits = end == NET_RESET;
}

bool net_is_closed(void *arg)
{
    (void)arg;
    return net.closed > 0;
}

static int socket_error(void)
{
    if (!net.error_waits)
        return 0;
    net.error_waits = false;
    return -ECONNRESET;
}

/* Something has come that ends it, or a part of it, by itself. */
static bool has_come(const struct op *op)
{
    switch (op->kind) {
    case OP_RECEIVE: return net.taken < net.sent || net.end != NET_OPEN || net.is_shut;
    case OP_POLL: return net.end == NET_RESET || (net.end == NET_ENDED && net.is_unix) || net.is_shut;
    case OP_SEND: return true;
    default: sim_fail("operation %u", op->kind);
    }
}

static bool is_ready(const struct op *op)
{
    return op->is_cancelled || has_come(op);
}

/* Which of both was first. */
static bool cancel_wins(const struct op *op)
{
    return op->is_cancelled && (!has_come(op) || sim_random(2));
}

static bool has_work(void *arg)
{
    const struct net_engine *engine = arg;
    bool has_some = engine->signals > 0;
    for (unsigned i = 0; i < OPS_MAX; i++)
        has_some = has_some || (engine->ops[i] && is_ready(engine->ops[i]));
    return has_some;
}

static struct job_buf *received(struct net_engine *engine)
{
    struct job_buf *buf = NULL;
    unsigned len = 1 + sim_random(net.sent - net.taken);
    int err = job_buf_alloc(engine->arena, 1, NULL, &buf);
    assert(err == 0);
    for (unsigned i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)net.taken++;
        err = job_buf_write(buf, &byte, 1);
        assert(err == 0);
    }
    return buf;
}

static void receive(struct net_engine *engine, const struct op *op, struct completion *completion)
{
    bool has_data = net.taken < net.sent && net.end != NET_RESET;   /* a reset drops what was not read */
    if (cancel_wins(op)) {
        completion->res = -ECANCELED;
    } else if (has_data && !op->is_cancelled && net.whims > 0 && sim_random(8) == 1) {
        net.whims--;
        JOB_MARK(socket_starves);
        completion->res = -ENOBUFS;
        completion->more = true;
    } else if (has_data) {
        if (op->is_cancelled)
            JOB_MARK(socket_cancels_behind_data);
        completion->buf = received(engine);
        completion->res = (int32_t)job_buf_len(completion->buf);
        completion->more = true;
    } else {
        completion->res = socket_error();
    }
}

static void send_some(const struct op *op, struct completion *completion)
{
    size_t len = job_buf_len(op->send.buf);
    if (net.end == NET_RESET || net.is_shut) {
        int err = socket_error();
        completion->res = err < 0 ? err : -EPIPE;
        return;
    }
    if (cancel_wins(op)) {
        completion->res = -ECANCELED;
        return;
    }
    len = 1 + sim_random((uint32_t)len);
    for (size_t i = 0; i < len; i++) {
        unsigned char byte;
        int err = job_buf_read(op->send.buf, i, &byte, 1);
        assert(err == 0 && byte == (unsigned char)net.heard);
        net.heard++;
    }
    completion->res = (int32_t)len;
}

static void complete(struct net_engine *engine, unsigned i, struct completion *completion)
{
    struct op *op = engine->ops[i];
    assert(op->fd == NET_FD && net.closed == 0);
    assert(net.holder == &engine->base);
    *completion = (struct completion){.op = op};
    if (op->kind == OP_RECEIVE)
        receive(engine, op, completion);
    else if (op->kind == OP_SEND)
        send_some(op, completion);
    else
        completion->res = cancel_wins(op) ? -ECANCELED : net.end == NET_RESET ? POLLERR | POLLHUP : POLLHUP;
    if (completion->more)
        return;
    engine->ops[i] = NULL;
    engine->base.in_flight--;
    op->state = OP_ENDED;
}

/* Only what was submitted; begins at any op. */
static unsigned complete_all(struct net_engine *engine, struct completion *ready, bool may_be_late)
{
    unsigned count = 0;
    unsigned first = engine->base.in_flight > 1 ? sim_random(OPS_MAX) : 0;
    for (unsigned j = 0; j < OPS_MAX; j++) {
        unsigned i = (first + j) % OPS_MAX;
        if (!engine->ops[i] || !is_ready(engine->ops[i]))
            continue;
        if (may_be_late && net.whims > 0 && sim_random(4) == 1) {
            net.whims--;
            JOB_MARK(socket_is_late);
            continue;
        }
        complete(engine, i, &ready[count++]);
    }
    return count;
}

static int net_engine_open(struct root *root, const struct engine_options *options, struct engine **out)
{
    struct net_engine *engine = alloc_zeroed(root, sizeof *engine);
    assert(engine);
    engine->base.type = &engine_ring;
    engine->base.root = root;
    engine->arena = options->arena;
    engine->false_alarms = 1;
    unsigned i = engines[0] ? 1 : 0;
    assert(!engines[i]);
    engines[i] = engine;
    *out = &engine->base;
    return 0;
}

static int net_start(struct engine *base, struct op *op)
{
    struct net_engine *engine = (struct net_engine *)base;
    assert(op->fd == NET_FD && net.closed == 0);
    assert(net.holder == base);   /* the one owner */
    assert(op->state == OP_IDLE);
    unsigned i = 0;
    while (engine->ops[i])
        i++;
    assert(i < OPS_MAX);
    op->is_cancelled = false;
    op->state = 1;
    engine->ops[i] = op;
    base->in_flight++;
    return 0;
}

static void net_cancel(struct engine *base, struct op *op)
{
    assert(base->type == &engine_ring);
    if (op->state != OP_IDLE && op->state != OP_ENDED)
        op->is_cancelled = true;
}

static int net_wait(struct engine *base, uint64_t deadline_ns, struct completion *ready, unsigned max)
{
    struct net_engine *engine = (struct net_engine *)base;
    assert(max >= OPS_MAX);
    sim_system_call();
    unsigned count = complete_all(engine, ready, true);
    if (count == 0 && deadline_ns > 0) {   /* no deadline is ever reached: a lost wake-up must hang */
        if (engine->false_alarms > 0 && sim_random(4) == 1)
            engine->false_alarms--;
        else
            sim_wait_until(has_work, engine);
        count = complete_all(engine, ready, false);
    }
    engine->woken += engine->signals;
    engine->signals = 0;
    return (int)count;
}

static void net_wake(struct engine *base)
{
    struct net_engine *engine = (struct net_engine *)base;
    sim_system_call();
    assert(base->type == &engine_ring);   /* freed memory is filled with something else */
    engine->signals++;
}

static uint64_t net_woken(struct engine *base)
{
    return ((struct net_engine *)base)->woken;
}

static unsigned net_close(struct engine *base)
{
    assert(base->in_flight == 0);
    for (unsigned i = 0; i < ENGINES_MAX; i++) {
        if (engines[i] == (struct net_engine *)base)
            engines[i] = NULL;
    }
    alloc_free(base->root, base);
    return 0;
}

static void net_each(struct engine *base, void (*fn)(struct op *op, void *arg), void *arg)
{
    struct net_engine *engine = (struct net_engine *)base;
    for (unsigned i = 0; i < OPS_MAX; i++) {
        if (engine->ops[i])
            fn(engine->ops[i], arg);
    }
}

const struct engine_type engine_ring = {
    .name = "fake net",
    .open = net_engine_open,
    .start = net_start,
    .cancel = net_cancel,
    .wait = net_wait,
    .wake = net_wake,
    .woken = net_woken,
    .close = net_close,
    .each = net_each,
};

/* A call on the descriptor by the thread of the loop that it is with. */
static void check_caller(int fd)
{
    sim_system_call();
    assert(fd == NET_FD && net.closed == 0);
    assert(net.holder && self()->loop && self()->loop->engine == net.holder);
}

int __wrap_sys_close(int fd);
int __wrap_sys_close(int fd)
{
    sim_system_call();
    if (fd != NET_FD)   /* of another kind of thing */
        return 0;
    assert(net.closed == 0);
    if (net.holder)
        assert(self()->loop && self()->loop->engine == net.holder);
    for (unsigned i = 0; i < ENGINES_MAX; i++) {
        if (engines[i])
            assert(!is_on_socket(engines[i]));   /* its number might be another's already */
    }
    net.closed++;
    net.holder = NULL;
    return 0;
}

int __wrap_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how)
{
    (void)how;
    check_caller(fd);
    net.is_shut = true;
    return 0;
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    (void)level, (void)name, (void)value, (void)len;
    check_caller(fd);
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    (void)level, (void)len;
    int found = 0;
    assert(fd == NET_FD && net.closed == 0);
    switch (name) {
    case SO_DOMAIN: found = net.is_unix ? AF_UNIX : AF_INET; break;
    case SO_TYPE: found = SOCK_STREAM; break;
    case SO_ERROR:
        check_caller(fd);
        found = -socket_error();
        break;
    default: sim_fail("getsockopt %d", name);
    }
    memcpy(value, &found, sizeof found);
    return 0;
}
