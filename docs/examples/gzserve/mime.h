/* mime.h — what a file contains, by its name. */
#ifndef GZSERVE_MIME_H
#define GZSERVE_MIME_H

#include <string.h>
#include <strings.h>

static inline const char *mime_type(const char *name)
{
    static const char *const types[][2] = {
        {"html", "text/html; charset=utf-8"}, {"htm", "text/html; charset=utf-8"}, {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"}, {"mjs", "text/javascript; charset=utf-8"}, {"json", "application/json"},
        {"txt", "text/plain; charset=utf-8"}, {"md", "text/markdown; charset=utf-8"}, {"csv", "text/csv; charset=utf-8"},
        {"xml", "application/xml"}, {"svg", "image/svg+xml"}, {"png", "image/png"}, {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"}, {"gif", "image/gif"}, {"webp", "image/webp"}, {"ico", "image/vnd.microsoft.icon"},
        {"woff2", "font/woff2"}, {"pdf", "application/pdf"}, {"wasm", "application/wasm"}, {"gz", "application/gzip"},
        {"zip", "application/zip"}, {"mp3", "audio/mpeg"}, {"mp4", "video/mp4"}, {"webm", "video/webm"},
    };
    const char *base = strrchr(name, '/'), *dot = strrchr(base ? base : name, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++) {
        if (strcasecmp(dot + 1, types[i][0]) == 0)
            return types[i][1];
    }
    return "application/octet-stream";
}

#endif
