/* address.c — numeric addresses only: names are looked up elsewhere, never on a loop. */
#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

int address_parse(struct address *address, const char *text, uint16_t port)
{
    memset(address, 0, sizeof *address);
    if (!text)
        text = "127.0.0.1";
    if (inet_pton(AF_INET, text, &address->in.sin_addr) == 1) {
        address->in.sin_family = AF_INET;
        address->in.sin_port = htons(port);
        address->len = sizeof address->in;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &address->in6.sin6_addr) == 1) {
        address->in6.sin6_family = AF_INET6;
        address->in6.sin6_port = htons(port);
        address->len = sizeof address->in6;
        return 0;
    }
    return -EINVAL;
}

uint16_t address_port(const struct address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->in.sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->in6.sin6_port);
    return 0;
}
