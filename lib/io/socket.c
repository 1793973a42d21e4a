/* socket.c — sockets with their options; and the file that a Unix socket leaves behind.
 *
 * A path outlives the process that bound it, and bind(2) then says EADDRINUSE for ever. Whether somebody still listens there only a
 * connect(2) can tell: refused means that nobody does, and the file is removed. Two that start at the same moment may both find a stale
 * one, and the second then removes the first one's: who fears that starts them by a supervisor that holds a lock.
 */
#include "io/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/sys.h"
#include "job/address.h"

static int set(int fd, int level, int name, unsigned value)
{
    int number = (int)value;
    return setsockopt(fd, level, name, &number, sizeof number) < 0 ? -errno : 0;
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
    return value ? value : otherwise;
}

static int set_keepalive(int fd, const struct job_socket_options *options)
{
    int err = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (err == 0)
        err = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, or_default(options->keepalive_idle_s, 60));
    if (err == 0)
        err = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, or_default(options->keepalive_interval_s, 10));
    if (err == 0)
        err = set(fd, IPPROTO_TCP, TCP_KEEPCNT, or_default(options->keepalive_count, 6));
    return err;
}

static int set_options(int fd, int family, const struct job_socket_options *options)
{
    int err = 0;
    if (options->send_buffer_bytes > INT32_MAX || options->receive_buffer_bytes > INT32_MAX)
        return -EINVAL;
    if (options->send_buffer_bytes > 0)
        err = set(fd, SOL_SOCKET, SO_SNDBUF, (unsigned)options->send_buffer_bytes);
    if (err == 0 && options->receive_buffer_bytes > 0)
        err = set(fd, SOL_SOCKET, SO_RCVBUF, (unsigned)options->receive_buffer_bytes);
    if (family == AF_UNIX)
        return err;
    if (err == 0 && !options->delay)
        err = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (err == 0 && options->keepalive)
        err = set_keepalive(fd, options);
    return err;
}

int socket_open(const struct address *address, const struct job_socket_options *options)
{
    int fd = sys_lifted(socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return fd;
    int err = set_options(fd, address->any.sa_family, options);
    if (err < 0) {
        (void)sys_close(fd);
        return err;
    }
    return fd;
}

static bool is_path(const struct address *address)
{
    return address->any.sa_family == AF_UNIX && address->un.sun_path[0] != '\0';
}

/* True: nobody listens on that socket, and its file is gone now. */
static bool remove_stale(const struct address *address)
{
    struct stat status;
    if (lstat(address->un.sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = sys_lifted(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return false;
    bool is_stale = connect(fd, &address->any, address->len) < 0 && errno == ECONNREFUSED;
    (void)sys_close(fd);
    return is_stale && unlink(address->un.sun_path) == 0;
}

static int bind_address(int fd, const struct address *address)
{
    if (bind(fd, &address->any, address->len) == 0)
        return 0;
    int err = -errno;
    if (err != -EADDRINUSE || !is_path(address) || !remove_stale(address))
        return err;
    return bind(fd, &address->any, address->len) < 0 ? -errno : 0;
}

int socket_listen(struct address *address, const struct job_socket_options *options, int backlog, bool reuse_port)
{
    int fd = socket_open(address, options);
    if (fd < 0)
        return fd;
    bool is_tcp = address->any.sa_family != AF_UNIX;
    int err = is_tcp ? set(fd, SOL_SOCKET, SO_REUSEADDR, 1) : 0;
    if (err == 0 && is_tcp && reuse_port)
        err = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (err == 0)
        err = bind_address(fd, address);
    if (err == 0 && listen(fd, backlog ? backlog : LISTEN_BACKLOG_DEFAULT) < 0) {
        err = -errno;
        if (is_path(address))
            (void)unlink(address->un.sun_path);   /* bound by us a moment ago */
    }
    address->len = sizeof address->un;
    if (err == 0 && getsockname(fd, &address->any, &address->len) < 0)
        err = -errno;
    if (err == 0)
        return fd;
    (void)sys_close(fd);
    return err;
}

/* The path as it was bound, and what stands there now. False: there is none. */
static bool find_path(int fd, struct address *address, struct stat *status)
{
    memset(address, 0, sizeof *address);
    address->len = sizeof address->un;
    if (getsockname(fd, &address->any, &address->len) < 0 || !is_path(address))
        return false;
    return lstat(address->un.sun_path, status) == 0;
}

void socket_path_note(int fd, struct socket_path *path)
{
    struct address address;
    struct stat status;
    *path = (struct socket_path){0};
    if (find_path(fd, &address, &status))
        *path = (struct socket_path){.device = status.st_dev, .inode = status.st_ino};
}

void socket_path_remove(int fd, const struct socket_path *path)
{
    struct address address;
    struct stat status;
    if (path->inode == 0 || !find_path(fd, &address, &status))
        return;
    if (status.st_dev == path->device && status.st_ino == path->inode)
        (void)unlink(address.un.sun_path);
}

int socket_text(int fd, bool is_peer, char *text, size_t size)
{
    struct address address = {.len = sizeof address.un};
    int rc = is_peer ? getpeername(fd, &address.any, &address.len) : getsockname(fd, &address.any, &address.len);
    return rc < 0 ? -errno : job_address_format(&address.any, address.len, text, size);
}
