/* request.c — what a head means, and which heads are refused.
 *
 * Two readers of one request must agree where it ends and whom it is for, else one smuggles a request past the other. So whatever
 * two might read differently is refused: a length beside chunks, two hosts, a path with a NUL or a "%2F" in it.
 */
#include "request.h"
#include "path.h"

#include <string.h>
#include <strings.h>

static const char *const names[HEADERS] = {
    [HEADER_HOST] = "host",
    [HEADER_CONTENT_LENGTH] = "content-length",
    [HEADER_TRANSFER_ENCODING] = "transfer-encoding",
    [HEADER_EXPECT] = "expect",
    [HEADER_RANGE] = "range",
    [HEADER_IF_RANGE] = "if-range",
    [HEADER_IF_MATCH] = "if-match",
    [HEADER_IF_NONE_MATCH] = "if-none-match",
    [HEADER_IF_MODIFIED_SINCE] = "if-modified-since",
    [HEADER_IF_UNMODIFIED_SINCE] = "if-unmodified-since",
};

void request_reset(struct request *request)
{
    memset(request, 0, offsetof(struct request, head));   /* texts are as long as their lengths say */
}

/* "/path?query", or "http://host/path?query", as a proxy is asked. */
static int check_target(struct request *request)
{
    struct http_parser_url url;
    if (request->target_len > TARGET_MAX)
        return 414;
    http_parser_url_init(&url);
    if (http_parser_parse_url(request->target, request->target_len, 0, &url) != 0)
        return 400;
    request->query = "";
    if (url.field_set & 1 << UF_QUERY) {
        char *query = request->target + url.field_data[UF_QUERY].off;
        query[url.field_data[UF_QUERY].len] = '\0';
        request->query = query;
    }
    if (!(url.field_set & 1 << UF_PATH)) {
        request->path = "/";
        return 0;
    }
    char *path = request->target + url.field_data[UF_PATH].off;
    path[url.field_data[UF_PATH].len] = '\0';
    request->path = path;
    return path_clean(path) ? 0 : 400;
}

/* Names, IPv4, [IPv6], each with a port: anything else in a Host is not one. */
static bool is_host(const char *host)
{
    return strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=%:[]") == strlen(host);
}

static int check_host(const struct request *request)
{
    const char *host = request->values[HEADER_HOST];
    if (request->counts[HEADER_HOST] > 1 || (!host && request->minor > 0))
        return 400;
    return !host || is_host(host) ? 0 : 400;
}

/* How long the body is. The parser has refused a length that is not a number, and one beside chunks. */
static int check_length(struct request *request)
{
    const char *encoding = request->values[HEADER_TRANSFER_ENCODING];
    const char *length = request->values[HEADER_CONTENT_LENGTH];
    if (request->counts[HEADER_CONTENT_LENGTH] > 1 || (length && (encoding || *length == '\0')))
        return 400;
    if (!encoding)
        return 0;
    if (request->counts[HEADER_TRANSFER_ENCODING] > 1 || request->minor == 0)
        return 400;
    request->is_chunked = strcasecmp(encoding, "chunked") == 0;
    request->body_len = 0;
    return request->is_chunked ? 0 : 501;
}

static int check_expect(struct request *request)
{
    const char *expect = request->values[HEADER_EXPECT];
    if (!expect || request->minor == 0)   /* HTTP/1.0 does not know it: to be ignored */
        return 0;
    request->expects_continue = strcasecmp(expect, "100-continue") == 0;
    return request->expects_continue ? 0 : 417;
}

static int check(struct request *request)
{
    int status = check_length(request);
    if (status == 0)
        status = check_host(request);
    if (status == 0 && request->method != HTTP_GET && request->method != HTTP_HEAD && request->method != HTTP_POST)
        return 501;
    if (status == 0)
        status = check_target(request);
    if (status == 0)
        status = check_expect(request);
    return status;
}

/* What http_parser tells. The head is in one piece, so each text is told in one piece. */

static int on_url(http_parser *parser, const char *at, size_t len)
{
    struct request *request = parser->data;
    request->target = request->head + (at - request->head);   /* ours to write, unlike `at` */
    request->target_len = len;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)at[i] <= ' ' || at[i] == 0x7f)
            return -1;
    }
    return 0;
}

static bool is_token(const char *text, size_t len)
{
    static const char characters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0' || !strchr(characters, text[i]))
            return false;
    }
    return len > 0;
}

static int on_name(http_parser *parser, const char *at, size_t len)
{
    struct request *request = parser->data;
    enum header header = 0;
    while (header < HEADERS && (strlen(names[header]) != len || strncasecmp(names[header], at, len) != 0))
        header++;
    request->header = header;
    return is_token(at, len) ? 0 : -1;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
    struct request *request = parser->data;
    if (request->header == HEADERS)
        return 0;
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    request->values[request->header] = at;
    request->counts[request->header]++;
    request->ends[request->header] = (size_t)(at + len - request->head);
    return 0;
}

/* Ends the parsing: what follows the head is not http_parser's to read. */
static int on_head(http_parser *parser)
{
    struct request *request = parser->data;
    request->method = (enum http_method)parser->method;
    request->minor = parser->http_minor;
    request->keeps_alive = http_should_keep_alive(parser) != 0;
    request->body_len = parser->content_length == UINT64_MAX ? 0 : parser->content_length;   /* UINT64_MAX: none was sent */
    request->is_head_read = true;
    return -1;
}

/* A word and a blank are a method that nobody implements here; anything else is not HTTP. */
static int status_of_method(const struct request *request)
{
    const char *blank = memchr(request->head, ' ', request->head_len);
    return blank && is_token(request->head, (size_t)(blank - request->head)) ? 501 : 400;
}

int request_parse(struct request *request)
{
    static const http_parser_settings settings = {
        .on_url = on_url,
        .on_header_field = on_name,
        .on_header_value = on_value,
        .on_headers_complete = on_head,
    };
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = request;
    (void)http_parser_execute(&parser, &settings, request->head, request->head_len);
    if (parser.http_errno == HPE_INVALID_METHOD)
        return status_of_method(request);
    if (!request->is_head_read)
        return 400;
    if (parser.http_major != 1)
        return 505;
    for (enum header header = 0; header < HEADERS; header++) {
        if (request->values[header])
            request->head[request->ends[header]] = '\0';   /* was a blank, or the end of the line */
    }
    return check(request);
}

/* All of `text` up to `end`. */
static bool parse_number(const char *text, const char *end, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    if (text == end)
        return false;
    for (; text < end; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *number = value;
    return true;
}

bool request_number(const struct request *request, const char *name, uint64_t max, uint64_t *number)
{
    size_t name_len = strlen(name);
    unsigned found = 0;
    bool is_number = false;
    for (const char *at = request->query; *at;) {
        const char *end = strchrnul(at, '&');
        if (strncmp(at, name, name_len) == 0 && at[name_len] == '=') {
            found++;
            is_number = parse_number(at + name_len + 1, end, max, number);
        }
        at = *end ? end + 1 : end;
    }
    return found == 1 && is_number;
}
