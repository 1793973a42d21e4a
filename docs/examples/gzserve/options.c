/* options.c — the command line: what is not understood is refused, not guessed. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: gzserve --root DIR --listen ADDR:PORT [--workers N | --inline] [options]\n"
    "\n"
    "  --root DIR            files to serve\n"
    "  --listen ADDR:PORT    such as 127.0.0.1:8080, [::1]:8080; port 0: the kernel chooses\n"
    "  --workers N           threads that compute; default: one a CPU\n"
    "  --inline              compute on the loop's own thread, to see what that costs\n"
    "  --queue N             tasks that may wait for a worker (1024)\n"
    "  --queue-timeout S     seconds that one may wait until its client hears 503 (10)\n"
    "  --memory BYTES        for all that is received, computed and sent; default: a quarter of what there is\n"
    "  --body-max BYTES      of one request (16 MiB)\n"
    "  --connections N       at once; further ones wait (10000, at most half of the descriptors)\n"
    "  --head-timeout S      for a whole head (10)\n"
    "  --body-timeout S      for each 16 KiB of a body (10)\n"
    "  --body-rate BYTES     a second, that the whole of a body must come with (16384)\n"
    "  --send-timeout S      that a client may take nothing of its answer (10)\n"
    "  --idle-timeout S      between two requests (60)\n"
    "\n"
    "SIGTERM, SIGINT: serves who is here, then exits. A second one ends it at once.\n";

/* "ADDR:PORT", or "[ADDR]:PORT". Cuts the text in two. */
static bool parse_listen(char *text, struct service_options *options)
{
    char *colon = strrchr(text, ':'), *end;
    if (!colon || colon == text)
        return false;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port > UINT16_MAX)
        return false;
    *colon = '\0';
    options->port = (uint16_t)port;
    if (text[0] == '[') {
        if (colon[-1] != ']')
            return false;
        colon[-1] = '\0';
        text++;
    } else if (strpbrk(text, ":]")) {
        return false;
    }
    options->address = text;
    return *text != '\0';
}

static bool parse_count(const char *text, size_t max, size_t *count)
{
    char *end;
    errno = 0;
    *count = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *count > 0 && *count <= max;
}

static bool parse_unsigned(const char *text, unsigned max, unsigned *number)
{
    size_t count;
    bool is_right = parse_count(text, max, &count);
    *number = is_right ? (unsigned)count : 0;
    return is_right;
}

static bool parse_seconds(const char *text, uint64_t *ns)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds > 0.0 && seconds < 1e6))
        return false;
    *ns = (uint64_t)(seconds * 1e9) + 1;
    return true;
}

static bool parse_one(struct service_options *options, int option, char *text)
{
    switch (option) {
    case 'r': options->root = text; return true;
    case 'l': return parse_listen(text, options);
    case 'I': options->workers = JOB_POOL_INLINE; return true;
    case 'w': return parse_unsigned(text, 1024, &options->workers);
    case 'q': return parse_unsigned(text, 1 << 24, &options->queue_limit);
    case 'c': return parse_unsigned(text, 1 << 24, &options->connections_max);
    case 'm': return parse_count(text, SIZE_MAX, &options->memory_bytes);
    case 'b': return parse_count(text, 1 << 30, &options->body_bytes_max);
    case 'Q': return parse_seconds(text, &options->queue_timeout_ns);
    case 'R': return parse_count(text, 1 << 30, &options->body_rate);
    case 'H': return parse_seconds(text, &options->head_timeout_ns);
    case 'B': return parse_seconds(text, &options->body_timeout_ns);
    case 'S': return parse_seconds(text, &options->send_timeout_ns);
    case 'i': return parse_seconds(text, &options->idle_timeout_ns);
    default: return false;
    }
}

bool options_parse(struct service_options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"root", 1, NULL, 'r'}, {"listen", 1, NULL, 'l'}, {"workers", 1, NULL, 'w'}, {"inline", 0, NULL, 'I'},
        {"queue", 1, NULL, 'q'}, {"queue-timeout", 1, NULL, 'Q'}, {"memory", 1, NULL, 'm'}, {"body-max", 1, NULL, 'b'},
        {"connections", 1, NULL, 'c'}, {"head-timeout", 1, NULL, 'H'}, {"body-timeout", 1, NULL, 'B'},
        {"body-rate", 1, NULL, 'R'}, {"send-timeout", 1, NULL, 'S'}, {"idle-timeout", 1, NULL, 'i'}, {0}};
    bool is_right = true;
    for (int option; is_right && (option = getopt_long(argc, argv, "", names, NULL)) != -1;)
        is_right = parse_one(options, option, optarg);
    is_right = is_right && optind == argc && options->root && options->address;
    if (!is_right)
        fputs(usage, stderr);
    return is_right;
}
