/* body.h — what bodies may take: of one request, and all together. */
#ifndef GZSERVE_BODY_H
#define GZSERVE_BODY_H

#include "exchange.h"

/* The head is whole. 0, or the status with which the body that it announces is refused. */
int body_check(const struct exchange *exchange);

/* A piece of the body is the first `len` bytes of *in: takes them, or throws them away where nobody wants a body. 0, or a status. */
int body_take(struct exchange *exchange, struct job_buf **in, size_t len);

#endif
