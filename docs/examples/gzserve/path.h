/* path.h — the path of a request as the one name of what it asks for: routes and the file cache look it up, and the kernel opens it. */
#ifndef GZSERVE_PATH_H
#define GZSERVE_PATH_H

#include <stdbool.h>

/* Decodes %XX and resolves "//", "." and "..", in place; the result is never longer, and begins with one '/'. False: it does not begin with
 * '/', a '%' has no two digits, there is a NUL, at which the kernel would end it, or a "%2F", which others take for a part of a name. */
bool path_clean(char *path);

#endif
