/* address.h — numeric addresses to socket addresses and back. */
#ifndef JOB_IO_ADDRESS_H
#define JOB_IO_ADDRESS_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    };
    socklen_t len;
};

/* A numeric IPv4 or IPv6 address; NULL: 127.0.0.1. 0, or -EINVAL. */
int address_parse(struct address *address, const char *text, uint16_t port);

/* The port of an IPv4 or IPv6 address; 0 for others. */
uint16_t address_port(const struct address *address);

#endif
