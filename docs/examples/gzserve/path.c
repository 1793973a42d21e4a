/* path.c — decoded first, resolved afterwards: by its text alone, as RFC 3986 has it.
 *
 * The kernel would look at each part: for it "/nowhere/../a" is not there, and "/link/../a" lies beside what the link names. But browsers
 * and proxies resolve a path before they ask, and it must mean the same here. What is opened is below the root in any case (files.c).
 *
 * Without this a file has as many names as a client likes: "/a", "//a", "/./a", "/%61", "/b/../a". Each would be looked up anew, and take a
 * place in the cache; and "//host" in a Location is another host.
 */
#include "path.h"

#include <stddef.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(char *path)
{
    char *out = path;
    for (; *path; path++) {
        if (*path != '%') {
            *out++ = *path;
            continue;
        }
        int high = hex_digit(path[1]), low = high < 0 ? -1 : hex_digit(path[2]);
        char byte = (char)(high * 16 + low);
        if (low < 0 || byte == '\0' || byte == '/')
            return false;
        *out++ = byte;
        path += 2;
    }
    *out = '\0';
    return true;
}

/* What is done ends with '/' before each part. ".." at the root is the root, as RFC 3986 has it. */
static void resolve(char *path)
{
    char *out = path + 1;
    for (const char *at = out; *(at += strspn(at, "/"));) {
        size_t len = strcspn(at, "/");
        bool is_dot = len == 1 && at[0] == '.', is_up = len == 2 && at[0] == '.' && at[1] == '.';
        if (is_up && out > path + 1) {
            out--;
            while (out[-1] != '/')
                out--;
        } else if (!is_dot && !is_up) {
            bool has_slash = at[len] == '/';
            memmove(out, at, len);
            out += len;
            if (has_slash)
                *out++ = '/';
        }
        at += len;
    }
    *out = '\0';
}

bool path_clean(char *path)
{
    if (path[0] != '/' || !decode(path))
        return false;
    resolve(path);
    return true;
}
