/* chunks.h — takes the data out of a chunked body. */
#ifndef GZSERVE_CHUNKS_H
#define GZSERVE_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

enum {
    CHUNK_LINES_MAX = 4096,   /* bytes of extensions and trailers: nobody here reads them */
    CHUNK_DIGITS_MAX = 16,    /* of a size, also when they are zeros */
};

enum chunks_event { CHUNKS_MORE, CHUNKS_DATA, CHUNKS_END, CHUNKS_WRONG };

struct chunks {
    unsigned state;
    unsigned digits;      /* of the chunk's size */
    unsigned ignored;     /* bytes of extensions and trailers */
    uint64_t left;        /* of the chunk */
};

/* Begins zeroed. Uses bytes up to the next event; CHUNKS_DATA: the last *data_len of these are data. */
enum chunks_event chunks_feed(struct chunks *chunks, const char *bytes, size_t len, size_t *used, size_t *data_len);

#endif
