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

/* How many bytes the character at `text` has, and whether a terminal does not show it. */
static size_t character(const char *text, mbstate_t *state, bool *is_hidden)
{
    wchar_t wide = 0;
    size_t bytes = mbrtowc(&wide, text, strlen(text), state);
    bool is_one = bytes > 0 && bytes < (size_t)-2;
    *is_hidden = !is_one || !iswprint((wint_t)wide);
    if (is_one)
        return bytes;
    memset(state, 0, sizeof *state);
    return 1;
}

static void put_hidden(unsigned char c, FILE *out)
{
    static const char letters[] = "abtnvfr";   /* from 7 on */
    if (c >= 7 && c <= 13)
        fprintf(out, "\\%c", letters[c - 7]);
    else
        fprintf(out, "\\%03o", c);
}

/* Each run of characters that cannot be shown stands in $'…', what is around it in '…'. The first one is taken to follow one that
 * `is_hidden`, or is not. */
static void quote_all(const char *name, bool is_hidden, FILE *out)
{
    mbstate_t state = {0};
    putc('\'', out);
    while (*name) {
        bool was_hidden = is_hidden;
        size_t bytes = character(name, &state, &is_hidden);
        if (is_hidden && !was_hidden)
            fputs("'$'", out);
        else if (!is_hidden && was_hidden && *name != '\'')
            fputs("''", out);
        for (size_t i = 0; is_hidden && i < bytes; i++)
            put_hidden((unsigned char)name[i], out);
        if (!is_hidden && *name == '\'')
            fputs("'\\''", out);
        else if (!is_hidden)
            fwrite(name, 1, bytes, out);
        name += bytes;
    }
    putc('\'', out);
}

/* Whether any character is hidden; *ends_hidden: the last one is. */
static bool has_hidden(const char *name, bool *ends_hidden)
{
    mbstate_t state = {0};
    bool is_any = false;
    *ends_hidden = false;
    while (*name) {
        name += character(name, &state, ends_hidden);
        is_any = is_any || *ends_hidden;
    }
    return is_any;
}

/* What a shell would take for something else, and, since messages go on with one, the colon. */
static const char special[] = " !\"$&'()*:;<=>?[\\^`|";

/* What does not stand for itself between double quotes, for every shell and in C; # and ~ do at the beginning. */
static const char odd[] = "!\"#$&()*;<=>?[\\^`{|}~";

char *name_quoted(const char *name)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        abort();
    bool ends_hidden, is_hidden = has_hidden(name, &ends_hidden), has_apostrophe = strchr(name, '\'') != NULL;
    bool first_is_special = *name == '#' || *name == '~';
    bool is_brace = strcmp(name, "{") == 0 || strcmp(name, "}") == 0;
    bool is_odd = strpbrk(name + first_is_special, odd) != NULL;
    if (*name && !is_hidden && !first_is_special && !is_brace && !strpbrk(name, special))
        fputs(name, out);
    else if (!is_hidden && !is_odd && has_apostrophe)
        fprintf(out, "\"%s\"", name);
    else   /* sha256sum writes what has an apostrophe in a second pass, which goes on from the end of the first */
        quote_all(name, has_apostrophe && ends_hidden, out);
    if (fclose(out) != 0)
        abort();
    return text;
}
