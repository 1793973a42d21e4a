/* address.h — numeric addresses to socket addresses and back. */
#ifndef JOB_IO_ADDRESS_H
#define JOB_IO_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len;
};

enum { ADDRESS_PORT_NEEDED = -1 };

/* Text as in job/address.h. `port` is for one without, and such an IPv6 address may stand without brackets. NULL: 127.0.0.1. 0 or -EINVAL:
 * also when both say a port. */
int address_parse(struct address *address, const char *text, int port);

/* The port of an IPv4 or IPv6 address; 0 for others. */
uint16_t address_port(const struct address *address);

#endif
