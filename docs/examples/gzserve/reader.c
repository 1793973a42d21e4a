/* reader.c — collects a head, line by line, lets http_parser read it, and finds the end of the body.
 *
 * Debian builds http_parser lenient: a bare LF ends a line, a line that begins with a blank is more of the one before, names may have
 * blanks, any byte will do for the LF behind a CR: "X:\rYHost: a" is one field for some, and two for it. Who stands between us and the
 * client may see other requests in such bytes. So it is given whole heads only, whose lines are strict: CR and LF end them, and stand
 * nowhere else.
 */
#include "reader.h"

#include <string.h>

static enum reader_event fail(struct reader *reader, int status)
{
    reader->status = status;
    return READER_FAILED;
}

/* "GET /path HTTP/1.1" CR LF: the parser itself does not insist on the word HTTP. */
static bool is_request_line(const char *line, size_t len)
{
    static const char end[] = " HTTP/1.1\r\n";
    return len >= sizeof end - 1 && memcmp(line + len - (sizeof end - 1), end, strlen(" HTTP/")) == 0;
}

/* The last line of the head so far has ended. READER_HEAD: so has the head. */
static enum reader_event end_line(struct reader *reader)
{
    struct request *request = reader->request;
    const char *line = request->head + reader->line_begin;
    size_t len = request->head_len - reader->line_begin;
    bool is_first = reader->line_begin == 0;
    if (len < 2 || line[len - 2] != '\r' || memchr(line, '\r', len - 2))
        return fail(reader, 400);
    if (len == 2 && is_first) {   /* empty lines before a request are allowed */
        request->head_len = 0;
        return READER_MORE;
    }
    if (len == 2)
        return READER_HEAD;
    if (is_first ? !is_request_line(line, len) : line[0] == ' ' || line[0] == '\t')
        return fail(reader, 400);
    if (++reader->lines > HEAD_LINES_MAX)
        return fail(reader, 431);
    reader->line_begin = request->head_len;
    return READER_MORE;
}

static enum reader_event begin_body(struct reader *reader)
{
    struct request *request = reader->request;
    int status = request_parse(request);
    if (status != 0)
        return fail(reader, status);
    reader->state = request->is_chunked ? READING_CHUNKS : READING_LENGTH;
    reader->left = request->body_len;
    reader->chunks = (struct chunks){0};
    return READER_HEAD;
}

static enum reader_event read_head(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    struct request *request = reader->request;
    enum reader_event event = READER_MORE;
    while (event == READER_MORE && *used < len) {
        const char *from = bytes + *used, *lf = memchr(from, '\n', len - *used);
        size_t piece = lf ? (size_t)(lf - from) + 1 : len - *used;
        if (piece > HEAD_MAX - request->head_len)
            return fail(reader, reader->line_begin == 0 ? 414 : 431);
        memcpy(request->head + request->head_len, from, piece);
        request->head_len += piece;
        *used += piece;
        if (lf)
            event = end_line(reader);
    }
    return event == READER_HEAD ? begin_body(reader) : event;
}

static enum reader_event complete(struct reader *reader)
{
    *reader = (struct reader){.request = NULL};
    return READER_COMPLETE;
}

static enum reader_event read_length(struct reader *reader, size_t len, size_t *used)
{
    if (reader->left == 0)
        return complete(reader);
    reader->piece_len = *used = reader->left < len ? (size_t)reader->left : len;
    reader->left -= *used;
    return *used > 0 ? READER_BODY : READER_MORE;
}

static enum reader_event read_chunks(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    switch (chunks_feed(&reader->chunks, bytes, len, used, &reader->piece_len)) {
    case CHUNKS_DATA: return READER_BODY;
    case CHUNKS_END: return complete(reader);
    case CHUNKS_WRONG: return fail(reader, 400);
    default: return READER_MORE;
    }
}

enum reader_event reader_feed(struct reader *reader, const char *bytes, size_t len, size_t *used)
{
    *used = 0;
    switch (reader->state) {
    case READING_HEAD: return read_head(reader, bytes, len, used);
    case READING_LENGTH: return read_length(reader, len, used);
    case READING_CHUNKS: return read_chunks(reader, bytes, len, used);
    }
    return fail(reader, 400);
}
