/* address.c — numeric addresses only: names are looked up elsewhere, never on a loop. */
#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "job/address.h"

static const char unix_prefix[] = "unix:";

enum { HOST_MAX = INET6_ADDRSTRLEN + 1 + IF_NAMESIZE, PORT_MAX = 65535 };

static int parse_unix(struct address *address, const char *path)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof address->un.sun_path || (path[0] == '@' && len == 1))
        return -EINVAL;
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, path, len + 1);
    size_t with_end = len + 1;
    if (path[0] == '@') {   /* an abstract name has no end: its length says it */
        address->un.sun_path[0] = '\0';
        with_end = len;
    }
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + with_end);
    return 0;
}

/* Digits alone, to the end of the text. -EINVAL: no number, or above `max`. */
static int64_t parse_number(const char *text, uint32_t max)
{
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return -EINVAL;
    unsigned long number = strtoul(text, &end, 10);
    return *end == '\0' && number <= max ? (int64_t)number : -EINVAL;
}

static int parse_port(const char *text)
{
    return (int)parse_number(text, PORT_MAX);
}

static int parse_in(struct address *address, const char *host, int port)
{
    if (inet_pton(AF_INET, host, &address->in.sin_addr) != 1)
        return -EINVAL;
    address->in.sin_family = AF_INET;
    address->in.sin_port = htons((uint16_t)port);
    address->len = sizeof address->in;
    return 0;
}

/* With the interface of a link-local address behind a percent sign: by name or by number. */
static int parse_in6(struct address *address, char *host, int port)
{
    char *scope = strchr(host, '%');
    if (scope) {
        *scope++ = '\0';
        int64_t number = parse_number(scope, UINT32_MAX);
        address->in6.sin6_scope_id = number > 0 ? (unsigned)number : if_nametoindex(scope);
        if (address->in6.sin6_scope_id == 0)
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, host, &address->in6.sin6_addr) != 1)
        return -EINVAL;
    address->in6.sin6_family = AF_INET6;
    address->in6.sin6_port = htons((uint16_t)port);
    address->len = sizeof address->in6;
    return 0;
}

/* Splits "host:port" and "[host]:port". *port stays as it is when there is none. The copy of the host is what parse_in6() may cut. */
static int split(const char *text, char *host, int *port, bool *is_in6)
{
    const char *begin = text, *end = strchr(text, ':');
    *is_in6 = text[0] == '[' || (end && strchr(end + 1, ':'));
    if (text[0] == '[') {
        begin = text + 1;
        end = strchr(begin, ']');
        if (!end || (end[1] != '\0' && end[1] != ':'))
            return -EINVAL;
    } else if (*is_in6 || !end) {
        end = text + strlen(text);
    }
    const char *behind = *end == ']' ? end + 1 : end;
    if (*behind == ':') {
        if (*port > 0)
            return -EINVAL;   /* two ports */
        *port = parse_port(behind + 1);
    }
    size_t len = (size_t)(end - begin);
    if (*port < 0 || len >= HOST_MAX)
        return -EINVAL;
    memcpy(host, begin, len);
    host[len] = '\0';
    return 0;
}

int address_parse(struct address *address, const char *text, int port)
{
    char host[HOST_MAX];
    bool is_in6;
    memset(address, 0, sizeof *address);
    if (!text)
        text = "127.0.0.1";
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0)
        return port > 0 ? -EINVAL : parse_unix(address, text + sizeof unix_prefix - 1);
    if (split(text, host, &port, &is_in6) < 0)
        return -EINVAL;
    return is_in6 ? parse_in6(address, host, port) : parse_in(address, host, port);
}

uint16_t address_port(const struct address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->in.sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->in6.sin6_port);
    return 0;
}

int job_address_parse(const char *text, struct sockaddr_storage *storage, socklen_t *len)
{
    struct address address;
    if (!text || !storage || !len)
        return -EINVAL;
    int err = address_parse(&address, text, ADDRESS_PORT_NEEDED);
    if (err < 0)
        return err;
    memset(storage, 0, sizeof *storage);
    memcpy(storage, &address.any, address.len);
    *len = address.len;
    return 0;
}

static int format_in(const struct address *address, char *text, size_t size)
{
    char host[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &address->in.sin_addr, host, sizeof host);   /* it fits */
    return snprintf(text, size, "%s:%u", host, address_port(address));
}

static int format_in6(const struct address *address, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
    unsigned scope = address->in6.sin6_scope_id;
    (void)inet_ntop(AF_INET6, &address->in6.sin6_addr, host, sizeof host);
    if (scope == 0)
        return snprintf(text, size, "[%s]:%u", host, address_port(address));
    if (if_indextoname(scope, name))
        return snprintf(text, size, "[%s%%%s]:%u", host, name, address_port(address));
    return snprintf(text, size, "[%s%%%u]:%u", host, scope, address_port(address));
}

/* A path ends at its length or at its first zero byte; an abstract name with zero bytes inside has no text. */
static int format_unix(const struct address *address, char *text, size_t size)
{
    size_t len = address->len - offsetof(struct sockaddr_un, sun_path);
    const char *path = address->un.sun_path;
    if (len == 0)
        return snprintf(text, size, "%s", unix_prefix);
    if (path[0] != '\0')
        return snprintf(text, size, "%s%.*s", unix_prefix, (int)strnlen(path, len), path);
    if (len == 1 || memchr(path + 1, '\0', len - 1))
        return -EINVAL;
    return snprintf(text, size, "%s@%.*s", unix_prefix, (int)(len - 1), path + 1);
}

int job_address_format(const struct sockaddr *any, socklen_t len, char *text, size_t size)
{
    struct address address = {.len = len};
    if (!any || !text || len < sizeof any->sa_family || len > sizeof(struct sockaddr_un))
        return -EINVAL;
    memcpy(&address.any, any, len);
    int written;
    if (address.any.sa_family == AF_INET)
        written = len >= sizeof address.in ? format_in(&address, text, size) : -EINVAL;
    else if (address.any.sa_family == AF_INET6)
        written = len >= sizeof address.in6 ? format_in6(&address, text, size) : -EINVAL;
    else if (address.any.sa_family == AF_UNIX)
        written = format_unix(&address, text, size);
    else
        return -EAFNOSUPPORT;
    if (written < 0)
        return -EINVAL;
    return (size_t)written < size ? 0 : -ENOSPC;
}
