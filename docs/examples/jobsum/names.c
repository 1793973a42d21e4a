/* names.c — names of files can hold any byte but 0 and '/': how they stand in lines and in messages. */
#include "jobsum.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

bool name_needs_escape(const char *name)
{
    return strpbrk(name, "\\\n\r") != NULL;
}

void name_escape(const char *name, FILE *out)
{
    for (; *name; name++) {
        switch (*name) {
        case '\\': fputs("\\\\", out); break;
        case '\n': fputs("\\n", out); break;
        case '\r': fputs("\\r", out); break;
        default: putc(*name, out);
        }
    }
}

bool name_unescape(char *name, size_t len)
{
    char *to = name;
    if (memchr(name, '\0', len))
        return false;
    for (const char *from = name; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        switch (*++from) {
        case '\\': *to++ = '\\'; break;
        case 'n': *to++ = '\n'; break;
        case 'r': *to++ = '\r'; break;
        default: return false;
        }
    }
    *to = '\0';
    return true;
}

/* How many bytes the character at `text` has; 0: it is none that a terminal shows. */
static size_t shown_bytes(const char *text, mbstate_t *state)
{
    wchar_t wide;
    size_t bytes = mbrtowc(&wide, text, strlen(text), state);
    if (bytes > 0 && bytes < (size_t)-2)
        return iswprint((wint_t)wide) ? bytes : 0;
    memset(state, 0, sizeof *state);
    return 0;
}

static void put_hidden(unsigned char c, FILE *out)
{
    static const char letters[] = "abtnvfr";   /* from 7 on */
    if (c >= 7 && c <= 13)
        fprintf(out, "\\%c", letters[c - 7]);
    else
        fprintf(out, "\\%03o", c);
}

/* Each run of characters that cannot be shown stands in $'…', what is around it in '…'. */
static void quote_all(const char *name, FILE *out)
{
    mbstate_t state = {0};
    bool is_hidden = false;
    putc('\'', out);
    while (*name) {
        size_t bytes = shown_bytes(name, &state);
        bool was_hidden = is_hidden;
        is_hidden = bytes == 0;
        if (is_hidden && !was_hidden)
            fputs("'$'", out);
        else if (!is_hidden && was_hidden && *name != '\'')
            fputs("''", out);
        if (is_hidden)
            put_hidden((unsigned char)*name, out);
        else if (*name == '\'')
            fputs("'\\''", out);
        else
            fwrite(name, 1, bytes, out);
        name += bytes ? bytes : 1;
    }
    putc('\'', out);
}

static bool has_hidden(const char *name)
{
    mbstate_t state = {0};
    while (*name) {
        size_t bytes = shown_bytes(name, &state);
        if (bytes == 0)
            return true;
        name += bytes;
    }
    return false;
}

/* What a shell would take for something else, and, since messages go on with one, the colon. */
static const char special[] = " !\"$&'()*:;<=>?[\\^`|";

/* What stands for itself between double quotes, for every shell. */
static const char plain[] = " %+,-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ]_abcdefghijklmnopqrstuvwxyz{}'";

char *name_quoted(const char *name)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    bool is_hidden = has_hidden(name);
    bool first_is_special = *name == '#' || *name == '~';
    bool is_brace = strcmp(name, "{") == 0 || strcmp(name, "}") == 0;
    bool is_plain = name[first_is_special + strspn(name + first_is_special, plain)] == '\0';
    if (*name && !is_hidden && !first_is_special && !is_brace && !strpbrk(name, special))
        fputs(name, out);
    else if (!is_hidden && is_plain && strchr(name, '\''))
        fprintf(out, "\"%s\"", name);
    else
        quote_all(name, out);
    if (fclose(out) != 0)
        abort();
    return text;
}
