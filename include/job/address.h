/* address.h — where to listen and where to connect: text, numeric only.
 *
 *      1.2.3.4:80     [::1]:80     [fe80::1%eth0]:80     unix:/run/service     unix:@abstract
 *
 * Names are not looked up here: job_resolve_start() does, and makes such text of what it finds.
 */
#ifndef JOB_ADDRESS_H
#define JOB_ADDRESS_H

#include <job/api.h>
#include <stddef.h>
#include <sys/socket.h>

JOB_BEGIN_DECLS

enum { JOB_ADDRESS_TEXT = 128 };   /* any address as text, with its end */

/**
 * @param len  receives the length of *address
 * @return 0, or -EINVAL: NULL, no numeric address, a port that is missing or above 65535, a path that is empty or too long (107 bytes),
 *         or no such interface. Thread: any
 */
JOB_API int job_address_parse(const char *text, struct sockaddr_storage *address, socklen_t *len);

/**
 * The other way: what job_address_parse() takes again. A Unix socket without a name is "unix:".
 *
 * @return 0, or -EINVAL: NULL, or a length that does not fit the family; -EAFNOSUPPORT: not IPv4, IPv6 or Unix; -ENOSPC: `size` is too
 *         small (JOB_ADDRESS_TEXT never is). Thread: any
 */
JOB_API int job_address_format(const struct sockaddr *address, socklen_t len, char *text, size_t size);

JOB_END_DECLS

#endif
