/* answer.c — the head of an answer. */
#include "exchange.h"
#include "text.h"

const char *answer_reason(int status)
{
    switch (status) {
#define REASON(number, name, words) case number: return #words;
        HTTP_STATUS_MAP(REASON)
#undef REASON
    default: return "Unknown";
    }
}

static void write_line(struct text *text, const char *name, const char *value)
{
    text_string(text, name);
    text_string(text, value);
    text_string(text, "\r\n");
}

void answer_write_head(const struct exchange *exchange, bool closes, struct text *text)
{
    const struct answer *answer = &exchange->answer;
    const struct request *request = &exchange->request;
    text_string(text, "HTTP/1.1 ");
    text_number(text, (uint64_t)answer->status);
    write_line(text, " ", answer_reason(answer->status));
    write_line(text, "Date: ", service_date(exchange->service));
    if (answer->type)
        write_line(text, "Content-Type: ", answer->type);
    if (answer->status != 304) {
        text_string(text, "Content-Length: ");
        text_number(text, answer->len);
        text_string(text, "\r\n");
    }
    text_bytes(text, answer->extra, answer->extra_len);
    if (closes)
        text_string(text, "Connection: close\r\n");
    else if (request->minor == 0)
        text_string(text, "Connection: keep-alive\r\n");   /* HTTP/1.0 asks for it and wants to hear it */
    text_string(text, "\r\n");
}
