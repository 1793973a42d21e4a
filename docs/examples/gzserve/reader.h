/* reader.h — bytes of a connection in, requests out, however the bytes are cut.
 *
 * It knows nothing of sockets: the same bytes give the same requests and the same refusals, in one piece or in many.
 */
#ifndef GZSERVE_READER_H
#define GZSERVE_READER_H

#include "chunks.h"
#include "request.h"

enum reader_event {
    READER_MORE,       /* all bytes are used, and the request is not whole */
    READER_HEAD,       /* the head is whole and correct: `request` says what is asked; the body follows */
    READER_BODY,       /* a piece of the body: the last `piece_len` of the bytes that were used */
    READER_COMPLETE,   /* the next byte belongs to the next request */
    READER_FAILED,     /* refused with `status`: where the next request begins is not known */
};

enum reader_state { READING_HEAD, READING_LENGTH, READING_CHUNKS };

struct reader {
    struct request *request;    /* where to collect: empty before each request */
    enum reader_state state;
    int status;
    size_t line_begin;          /* in request->head: of the line that is being read */
    unsigned lines;
    size_t piece_len;
    uint64_t left;              /* of a body whose length is known */
    struct chunks chunks;
};

/* Reads up to the next event; begins zeroed. *used: how many bytes it has used, which may be none of many: READER_COMPLETE needs none.
 * Not to be called again after READER_FAILED, nor after a request that does not keep the connection alive. */
enum reader_event reader_feed(struct reader *reader, const char *bytes, size_t len, size_t *used);

/* A request has begun, and is not complete. */
static inline bool reader_has_begun(const struct reader *reader)
{
    return reader->state != READING_HEAD || (reader->request && reader->request->head_len > 0);
}

/* Nothing is missing of the request: the next event needs no byte. */
static inline bool reader_is_at_end(const struct reader *reader)
{
    return reader->state == READING_LENGTH && reader->left == 0;
}

#endif
