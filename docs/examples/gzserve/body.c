/* body.c — memory is charged as it comes, not as it is promised: who sends a length and then nothing holds nothing.
 *
 * Bodies, and answers as large, take at most a share of the memory, all together: else each could wait with half a body for memory that the
 * others hold. Who does not get any is refused, and never waits, so somebody goes on always.
 *
 * What is copied is charged with the room behind it: one byte takes 4 KiB, and 16 KiB and a byte take 64 KiB. What is kept where it was
 * received is charged with its length, and may lie in a slot of twice that size.
 */
#include "body.h"
#include "routes.h"

enum { COPY_MAX = 32768 };   /* smaller pieces are copied: half of what we receive into */

/* The last that was taken may have gone over the limit, by its room. */
static size_t room_of(const struct service *service)
{
    return service->body_bytes < service->body_bytes_max ? service->body_bytes_max - service->body_bytes : 0;
}

static void charge(struct exchange *exchange, size_t bytes)
{
    exchange->service->body_bytes += bytes;
    exchange->charged_bytes += bytes;
}

/* With the room behind its bytes, which nobody else has. */
static size_t cost(const struct job_buf *buf)
{
    size_t room;
    (void)job_buf_room(buf, &room);
    return job_buf_len(buf) + room;
}

int body_check(const struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    if (request->body_len > exchange->service->options.body_bytes_max)
        return 413;
    if (!exchange->route->takes_body)
        return 0;
    if (!request->is_chunked && request->counts[HEADER_CONTENT_LENGTH] == 0)
        return 411;
    return request->body_len <= room_of(exchange->service) ? 0 : 503;   /* why should it send what would be refused */
}

static int copy(struct exchange *exchange, struct job_buf **in, size_t len)
{
    int err = 0;
    size_t before = exchange->body ? cost(exchange->body) : 0;
    if (!exchange->body)
        err = job_buf_alloc(job_runtime_arena(exchange->service->runtime), len, NULL, &exchange->body);
    if (err == 0)
        err = job_buf_write(exchange->body, job_buf_data(*in), len);
    if (err == 0)
        charge(exchange, cost(exchange->body) - before);
    (void)job_buf_consume(in, len);
    return err;
}

/* A large piece leaves *in as it is; a small one is copied: it must not hold the whole slot that it lies in. */
static int collect(struct exchange *exchange, struct job_buf **in, size_t len)
{
    struct job_buf *rest = NULL;
    if (len < COPY_MAX)
        return copy(exchange, in, len);
    int err = job_buf_split(in, len, &rest);
    charge(exchange, len);
    if (err == 0 && exchange->body)
        err = job_buf_append(exchange->body, in);
    else if (err == 0)
        exchange->body = job_buf_take(in);
    job_buf_free(in);   /* NULL, unless something failed */
    *in = rest;
    return err;
}

int body_take(struct exchange *exchange, struct job_buf **in, size_t len)
{
    struct service *service = exchange->service;
    if (len > service->options.body_bytes_max - exchange->body_len)
        return 413;
    exchange->body_len += len;
    if (!exchange->route->takes_body) {
        (void)job_buf_consume(in, len);
        return 0;
    }
    if (len > room_of(service))
        return 503;
    return collect(exchange, in, len) < 0 ? 503 : 0;
}
