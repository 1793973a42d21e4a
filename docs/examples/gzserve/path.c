/* path.c — decoded first, resolved afterwards: as the kernel would see it.
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
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *out++ = (char)(high * 16 + low);
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
