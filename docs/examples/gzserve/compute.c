/* compute.c — what takes long: each begins on the loop, computes on the pool, and answers on the loop again.
 *
 * The task owns the request's body meanwhile. Nobody else has a pointer to it, so nothing is copied and nothing is locked.
 */
#include "routes.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <string.h>

enum { CANCEL_EVERY = 1024, GZIP_LEVEL = 6 };

/* GET /cpu?n=N: how many primes there are below N. Slow on purpose: it stands for whatever your service computes. */

static bool is_prime(uint64_t number)
{
    if (number < 2 || number % 2 == 0)
        return number == 2;
    for (uint64_t divisor = 3; divisor * divisor <= number; divisor += 2) {
        if (number % divisor == 0)
            return false;
    }
    return true;
}

static void count_primes(struct exchange *exchange)
{
    for (uint64_t number = 2; number < exchange->number; number++) {
        exchange->result += is_prime(number);
        if (number % CANCEL_EVERY == 0 && job_task_is_cancelled(&exchange->task)) {   /* the client has gone */
            job_task_set_status(&exchange->task, -ECANCELED);
            return;
        }
    }
}

static void primes_counted(struct exchange *exchange, int status)
{
    if (status < 0) {
        exchange_refuse(exchange, exchange_status_of(status));
        return;
    }
    struct answer *answer = &exchange->answer;
    (void)snprintf(answer->note, sizeof answer->note, "%llu\n", (unsigned long long)exchange->result);
    exchange_answer_text(exchange, 200, "text/plain", answer->note);
}

void serve_cpu(struct exchange *exchange)
{
    if (request_number(&exchange->request, "n", exchange->service->options.cpu_max, &exchange->number))
        exchange_work(exchange, exchange->service->pool, count_primes, primes_counted);
    else
        exchange_refuse(exchange, 400);
}

/* The body that a task has made is the answer. */
static void body_made(struct exchange *exchange, int status, const char *type)
{
    if (status < 0)
        exchange_refuse(exchange, exchange_status_of(status));
    else
        exchange_answer_buf(exchange, 200, type, job_buf_len(exchange->task.buf), &exchange->task.buf);
}

/* POST /gzip: gzip members in a row are one gzip file, so each segment of the body becomes a member, and no byte of it is copied. */

static int add_member(struct libdeflate_compressor *compressor, const void *bytes, size_t len, struct job_buf *out)
{
    struct job_buf *member = NULL;
    size_t room = libdeflate_gzip_compress_bound(compressor, len);
    int err = job_buf_alloc(job_buf_arena(out), room, NULL, &member);
    if (err < 0)
        return err;
    void *at = job_buf_room(member, &room);
    err = job_buf_extend(member, libdeflate_gzip_compress(compressor, bytes, len, at, room));
    if (err == 0)
        err = job_buf_append(out, &member);
    job_buf_free(&member);   /* NULL, unless it could not be appended */
    return err;
}

static void compress(struct exchange *exchange)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
    struct job_arena *arena = job_runtime_arena(exchange->service->runtime);
    struct job_buf *out = NULL;
    int err = compressor ? job_buf_alloc(arena, 0, NULL, &out) : -ENOMEM;
    for (struct job_buf *in = exchange->task.buf; err == 0 && in; in = job_buf_next(in))
        err = add_member(compressor, job_buf_data(in), job_buf_segment_len(in), out);
    if (err == 0 && !exchange->task.buf)
        err = add_member(compressor, "", 0, out);   /* nothing, compressed, is a gzip file as well */
    if (compressor)
        libdeflate_free_compressor(compressor);
    job_buf_replace(&exchange->task.buf, &out);     /* the body goes back to its arena from here */
    job_task_set_status(&exchange->task, err);
}

static void compressed(struct exchange *exchange, int status)
{
    body_made(exchange, status, "application/gzip");
}

void serve_gzip(struct exchange *exchange)
{
    exchange_work(exchange, exchange->service->pool, compress, compressed);
}

/* POST /xor?k=K: the bytes that came in are changed where they lie, and go out again. */

/* Eight bytes at once. */
static void xor_bytes(uint8_t *bytes, size_t len, uint8_t key)
{
    uint64_t keys = key * UINT64_C(0x0101010101010101), word;
    size_t i = 0;
    for (; i + sizeof word <= len; i += sizeof word) {
        memcpy(&word, bytes + i, sizeof word);
        word ^= keys;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < len; i++)
        bytes[i] ^= key;
}

static void xor_body(struct exchange *exchange)
{
    for (struct job_buf *segment = exchange->task.buf; segment; segment = job_buf_next(segment))
        xor_bytes(job_buf_data(segment), job_buf_segment_len(segment), (uint8_t)exchange->number);
}

static void xored(struct exchange *exchange, int status)
{
    body_made(exchange, status, "application/octet-stream");
}

void serve_xor(struct exchange *exchange)
{
    if (!request_number(&exchange->request, "k", UINT8_MAX, &exchange->number))
        exchange_refuse(exchange, 400);
    else
        exchange_work(exchange, exchange->service->pool, xor_body, xored);
}
