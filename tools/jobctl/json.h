/* json.h — writes JSON, so that a comma or a quote is nobody else's business.
 *
 * Every text is cleaned on its way (text.h), so the output is valid UTF-8 and valid JSON whatever the names hold.
 */
#ifndef JOBCTL_JSON_H
#define JOBCTL_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *file;
    bool needs_comma;
};

/* `key` is NULL in an array and for the outermost value. */
void json_open(struct json *json, const char *key, char bracket);    /* '{' or '[' */
void json_close(struct json *json, char bracket);                    /* '}' or ']' */
void json_text(struct json *json, const char *key, const char *text);   /* NULL: null */
void json_number(struct json *json, const char *key, uint64_t number);
void json_address(struct json *json, const char *key, uint64_t address);   /* "0x…": a text, since it needs all its bits */
void json_seconds(struct json *json, const char *key, uint64_t ns);     /* a decimal number of seconds */
void json_share(struct json *json, const char *key, double share);   /* 0 to 1 */
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
void json_number_if(struct json *json, const char *key, bool is_known, uint64_t number);   /* else null */
void json_seconds_if(struct json *json, const char *key, bool is_known, uint64_t ns);

#endif
