/* socket.h — sockets with their options, before anybody owns them. */
#ifndef JOB_IO_SOCKET_H
#define JOB_IO_SOCKET_H

#include <stdint.h>

#include "io/address.h"
#include "job/socket.h"

/* A new socket for the address, non-blocking and close-on-exec, or a negative errno. */
int socket_open(const struct address *address, const struct job_socket_options *options);

/* A listening one. What is accepted from it has its options: the kernel copies them. */
int socket_listen(struct address *address, const struct job_socket_options *options, int backlog, bool reuse_port);

/* A Unix path that a listener has bound, so that nobody else's is removed. */
struct socket_path {
    uint64_t device, inode;      /* 0: none */
};

_Static_assert(sizeof(struct socket_path) == 2 * sizeof(uint64_t), "it fits into a listener");

void socket_path_note(int fd, struct socket_path *path);
void socket_path_remove(int fd, const struct socket_path *path);

/* The address of this end, or of the other one, as text. 0 or a negative errno. */
int socket_text(int fd, bool is_peer, char *text, size_t size);

#endif
