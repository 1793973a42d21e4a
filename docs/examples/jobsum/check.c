/* check.c — reads a file of checksums, line by line, and makes a sum of each.
 *
 * Three forms are known: "digest, blank, blank or star, name", as sha256sum writes it; "digest, blank, name", as BSD's -r; and
 * "SHA256 (name) = digest". The second is taken only as long as no line of the first was seen: a name that begins with a blank could
 * otherwise stand for another file. A backslash in front says that the name is escaped.
 */
#include "jobsum.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 60000, HEX = 2 * DIGEST_BYTES, LINE_MIN = HEX + 2 };

struct lines {
    struct jobsum *jobsum;
    struct check *check;
    struct job_file file;
    struct job_file_op op;
    char *text;               /* read, and not yet taken: from `at` to `len` */
    size_t at, len, capacity;
    size_t searched;          /* up to there the line has no end */
    uint64_t number;
    bool is_standard_input, is_reading, has_end;
    bool is_unopened;         /* for want of descriptors, at `tried_at` of jobsum->given_back */
    uint64_t tried_at;
    bool is_left;             /* lines_close() was called */
};

static void closed(struct job_file *file)
{
    struct lines *lines = job_container_of(file, struct lines, file);
    free(lines->text);
    free(lines);
}

static void fail(struct lines *lines, const char *why)
{
    char *quoted = name_quoted(lines->check->name);
    message_add(lines->jobsum, true, "%s: %s", quoted, why);
    free(quoted);
    lines->has_end = lines->check->is_broken = true;
    lines->len = lines->at;
}

static void was_read(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct lines *lines = job_container_of(op, struct lines, op);
    lines->is_reading = false;
    if (lines->is_left)
        return;
    if (status < 0) {
        fail(lines, "read error");
    } else if (op->count == 0) {
        lines->has_end = true;
    } else {
        if (lines->len > lines->at && lines->at > 0)
            memmove(lines->text, lines->text + lines->at, lines->len - lines->at);
        lines->len -= lines->at;
        lines->searched = lines->len;
        lines->at = 0;
        if (lines->len + op->count + 1 > lines->capacity) {
            lines->capacity = 2 * (lines->len + op->count + 1);
            lines->text = realloc(lines->text, lines->capacity);
            if (!lines->text)
                abort();
        }
        (void)job_buf_read(*buf, 0, lines->text + lines->len, op->count);
        lines->len += op->count;
    }
    jobsum_pump(lines->jobsum);
}

/* True: a sum that is in flight may have what is missing. */
static bool may_wait(const struct lines *lines, int err)
{
    return is_shortage(err) && sums_may_wait(lines->jobsum, 0);
}

static enum next read_more(struct lines *lines)
{
    struct job_buf *none = NULL;
    int err = job_file_read(&lines->file, &lines->op, &none, READ_BYTES, JOB_FILE_CURRENT, was_read);
    lines->is_reading = err == 0;
    if (err == 0 || may_wait(lines, err))
        return NEXT_WAIT;
    fail(lines, strerror(-err));
    return NEXT_SUM;   /* a message says so */
}

static void was_refused(struct job_file *file)
{
    struct lines *lines = job_container_of(file, struct lines, file);
    lines->file = (struct job_file){0};   /* to be opened anew */
    lines->is_reading = false;
    lines->is_unopened = true;
    jobsum_pump(lines->jobsum);
}

static void opened(struct job_file *file, int status)
{
    struct lines *lines = job_container_of(file, struct lines, file);
    bool is_late = lines->tried_at != lines->jobsum->given_back;
    if (status < 0 && (may_wait(lines, status) || (is_shortage(status) && is_late))) {
        job_file_close(file, was_refused);
        return;
    }
    lines->is_reading = false;
    if (status < 0)
        fail(lines, strerror(-status));
    jobsum_pump(lines->jobsum);
}

static void open_lines(struct lines *lines)
{
    struct job_file_options options = {.path = {.name = lines->check->name}, .flags = O_RDONLY | O_NOCTTY};
    lines->tried_at = lines->jobsum->given_back;
    int err = lines->is_standard_input ? standard_input(lines->jobsum, &lines->file)
                                       : job_file_open(lines->jobsum->loop, &lines->file, &options, opened);
    lines->is_reading = err == 0 && !lines->is_standard_input;
    lines->is_unopened = err < 0 && may_wait(lines, err);
    if (err < 0 && !lines->is_unopened)
        fail(lines, strerror(-err));
}

struct lines *lines_open(struct jobsum *jobsum, const char *name)
{
    struct lines *lines = allocate(sizeof *lines);
    lines->jobsum = jobsum;
    lines->is_standard_input = strcmp(name, "-") == 0;
    lines->check = allocate(sizeof *lines->check);
    lines->check->name = lines->is_standard_input ? copy_of("standard input", 14) : copy_of(name, strlen(name));
    open_lines(lines);
    return lines;
}

void lines_close(struct lines *lines)
{
    if (!lines)
        return;
    lines->is_left = true;
    sum_add(lines->jobsum, SUM_CHECK_END, NULL)->check = lines->check;   /* which is freed with it */
    if (job_handle_loop(&lines->file.handle))
        job_file_close(&lines->file, closed);
    else
        closed(&lines->file);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Exactly one digest, and what follows it must be `end`. */
static bool parse_digest(const char *hex, char end, uint8_t digest[DIGEST_BYTES])
{
    for (unsigned i = 0; i < HEX; i++) {
        if (!isxdigit((unsigned char)hex[i]))
            return false;
        int value = isdigit((unsigned char)hex[i]) ? hex[i] - '0' : tolower((unsigned char)hex[i]) - 'a' + 10;
        digest[i / 2] = (uint8_t)(i % 2 ? digest[i / 2] | value : value << 4);
    }
    return hex[HEX] == end || (end == ' ' && hex[HEX] == '\t');
}

/* What follows "SHA256 (": the name ends at the last parenthesis. */
static char *parse_tagged(char *text, size_t len, bool is_escaped, uint8_t digest[DIGEST_BYTES])
{
    char *end = memrchr(text, ')', len);
    if (!end)
        return NULL;
    len = (size_t)(end - text);
    *end++ = '\0';
    while (is_blank(*end))
        end++;
    if (*end++ != '=')
        return NULL;
    while (is_blank(*end))
        end++;
    if (is_escaped && !name_unescape(text, len))
        return NULL;
    return parse_digest(end, '\0', digest) ? text : NULL;
}

/* The name, or NULL: not a line of checksums. The line ends with a 0, and may hold others. */
static char *parse(struct lines *lines, char *line, size_t len, uint8_t digest[DIGEST_BYTES])
{
    static const char tag[] = "SHA256";
    const char *end = line + len;
    while (is_blank(*line))
        line++;
    bool is_escaped = *line == '\\';
    char *text = line + is_escaped;
    if (strncmp(text, tag, sizeof tag - 1) == 0) {
        text += sizeof tag - 1;
        text += *text == ' ';
        return *text == '(' ? parse_tagged(text + 1, (size_t)(end - text) - 1, is_escaped, digest) : NULL;
    }
    if (end - text < LINE_MIN || !parse_digest(text, ' ', digest))
        return NULL;
    char *name = text + HEX + 1;
    if (end - name == 1 || (*name != ' ' && *name != '*')) {
        if (lines->jobsum->form == FORM_STANDARD)
            return NULL;
        lines->jobsum->form = FORM_REVERSED;
    } else if (lines->jobsum->form != FORM_REVERSED) {
        lines->jobsum->form = FORM_STANDARD;
        name++;
    }
    return is_escaped && !name_unescape(name, (size_t)(end - name)) ? NULL : name;
}

static enum next take(struct lines *lines, char *line, size_t len)
{
    uint8_t digest[DIGEST_BYTES];
    lines->number++;
    if (len > 0 && line[len - 1] == '\r')
        line[--len] = '\0';
    if (len == 0 || *line == '#')
        return lines_next(lines);
    struct check *check = lines->check;
    char *name = parse(lines, line, len, digest);
    if (name && !(lines->is_standard_input && strcmp(name, "-") == 0)) {
        check->proper++;
        struct sum *sum = sum_add(lines->jobsum, SUM_FILE, copy_of(name, strlen(name)));
        sum->check = check;
        memcpy(sum->expected, digest, DIGEST_BYTES);
        return NEXT_SUM;
    }
    check->improper++;
    if (!lines->jobsum->options->warns)
        return lines_next(lines);
    char *quoted = name_quoted(check->name);
    message_add(lines->jobsum, false, "%s: %llu: improperly formatted SHA256 checksum line", quoted,
                (unsigned long long)lines->number);
    free(quoted);
    return NEXT_SUM;
}

enum next lines_next(struct lines *lines)
{
    if (lines->is_unopened && (lines->tried_at != lines->jobsum->given_back || !sums_may_wait(lines->jobsum, 0)))
        open_lines(lines);
    if (lines->is_reading || lines->is_unopened)
        return NEXT_WAIT;
    size_t from = lines->searched > lines->at ? lines->searched : lines->at;
    char *begin = lines->text + lines->at;
    char *end = lines->len > from ? memchr(lines->text + from, '\n', lines->len - from) : NULL;
    if (end) {
        *end = '\0';
        lines->at += (size_t)(end - begin) + 1;
        return take(lines, begin, (size_t)(end - begin));
    }
    if (lines->has_end && lines->len > lines->at) {   /* the last line has no end */
        lines->text[lines->len] = '\0';
        size_t len = lines->len - lines->at;
        lines->at = lines->len;
        return take(lines, begin, len);
    }
    if (lines->has_end)
        return NEXT_END;
    return read_more(lines);
}
