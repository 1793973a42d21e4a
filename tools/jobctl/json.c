/* json.c — keys and commas; errors of the stream are looked at once, at the end of main. */
#include "json.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

static void quoted(struct json *json, const char *text)
{
    char clean[1024];
    text_clean(text, strlen(text), clean, sizeof clean);
    (void)fputc('"', json->file);
    for (const char *at = clean; *at; at++) {
        if (*at == '"' || *at == '\\')
            (void)fputc('\\', json->file);
        (void)fputc(*at, json->file);
    }
    (void)fputc('"', json->file);
}

static void begin(struct json *json, const char *key)
{
    if (json->needs_comma)
        (void)fputc(',', json->file);
    json->needs_comma = true;
    if (!key)
        return;
    quoted(json, key);
    (void)fputc(':', json->file);
}

void json_open(struct json *json, const char *key, char bracket)
{
    begin(json, key);
    (void)fputc(bracket, json->file);
    json->needs_comma = false;
}

void json_close(struct json *json, char bracket)
{
    (void)fputc(bracket, json->file);
    json->needs_comma = true;
}

void json_null(struct json *json, const char *key)
{
    begin(json, key);
    (void)fputs("null", json->file);
}

void json_text(struct json *json, const char *key, const char *text)
{
    if (!text) {
        json_null(json, key);
        return;
    }
    begin(json, key);
    quoted(json, text);
}

void json_number(struct json *json, const char *key, uint64_t number)
{
    begin(json, key);
    (void)fprintf(json->file, "%" PRIu64, number);
}

void json_address(struct json *json, const char *key, uint64_t address)
{
    begin(json, key);
    (void)fprintf(json->file, "\"0x%" PRIx64 "\"", address);
}

void json_seconds(struct json *json, const char *key, uint64_t ns)
{
    begin(json, key);
    (void)fprintf(json->file, "%" PRIu64 ".%09" PRIu64, ns / 1000000000U, ns % 1000000000U);
}

void json_number_if(struct json *json, const char *key, bool is_known, uint64_t number)
{
    if (is_known)
        json_number(json, key, number);
    else
        json_null(json, key);
}

void json_seconds_if(struct json *json, const char *key, bool is_known, uint64_t ns)
{
    if (is_known)
        json_seconds(json, key, ns);
    else
        json_null(json, key);
}

void json_share(struct json *json, const char *key, double share)
{
    begin(json, key);
    (void)fprintf(json->file, "%.4f", share);
}

void json_bool(struct json *json, const char *key, bool value)
{
    begin(json, key);
    (void)fputs(value ? "true" : "false", json->file);
}
