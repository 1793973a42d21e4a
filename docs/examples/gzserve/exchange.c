/* exchange.c — from a request to its answer, over the pool where there is something to compute.
 *
 * The exchange lives as long as its task may run: it is freed when its answer is sent, or when its connection has closed, and the library
 * tells the latter only after the last task. So nothing here is counted.
 */
#include "exchange.h"
#include "conn.h"
#include "routes.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SPARE_MAX = 256 };

struct exchange *exchange_new(struct conn *conn, struct service *service)
{
    struct exchange *exchange = service->spare;
    if (exchange) {
        service->spare = exchange->next;
        service->spare_count--;
    } else {
        exchange = malloc(sizeof *exchange);
    }
    if (!exchange)
        return NULL;
    memset(exchange, 0, offsetof(struct exchange, request));
    request_reset(&exchange->request);
    exchange->conn = conn;
    exchange->service = service;
    return exchange;
}

void exchange_free(struct exchange *exchange)
{
    struct service *service = exchange->service;
    (void)job_task_fini(&exchange->task);   /* idle: nothing can be refused */
    job_buf_free(&exchange->body);
    job_buf_free(&exchange->answer.body);
    file_release(exchange->file);
    file_found_free(exchange->found);
    if (service->spare_count == SPARE_MAX) {
        free(exchange);
        return;
    }
    exchange->next = service->spare;
    service->spare = exchange;
    service->spare_count++;
}

static void answered(struct exchange *exchange, int status)
{
    exchange->answer.status = status;
    exchange->state = EXCHANGE_ANSWERED;
    exchange->service->counts.answers[status / 100]++;
    conn_answered(exchange->conn);
}

void exchange_answer_text(struct exchange *exchange, int status, const char *type, const char *text)
{
    exchange->answer.type = type;
    exchange->answer.text = text;
    exchange->answer.len = strlen(text);
    answered(exchange, status);
}

void exchange_answer_buf(struct exchange *exchange, int status, const char *type, uint64_t len, struct job_buf **body)
{
    exchange->answer.type = type;
    exchange->answer.body = job_buf_take(body);
    exchange->answer.len = len;
    answered(exchange, status);
}

void exchange_refuse(struct exchange *exchange, int status)
{
    if (status == 503)
        exchange_header(exchange, "Retry-After", "1");
    (void)snprintf(exchange->answer.note, sizeof exchange->answer.note, "%s\n", answer_reason(status));
    exchange_answer_text(exchange, status, "text/plain", exchange->answer.note);
}

void exchange_header(struct exchange *exchange, const char *name, const char *value)
{
    struct answer *answer = &exchange->answer;
    struct text text = {.at = answer->extra + answer->extra_len, .room = EXTRA_MAX - answer->extra_len};
    text_string(&text, name);
    text_string(&text, ": ");
    text_string(&text, value);
    text_string(&text, "\r\n");
    if (!text.is_cut)   /* half a line would be worse than none */
        answer->extra_len += text.len;
}

static void work_run(struct job_task *task)
{
    struct exchange *exchange = job_container_of(task, struct exchange, task);
    exchange->run(exchange);
}

static void work_done(struct job_task *task, int status)
{
    struct exchange *exchange = job_container_of(task, struct exchange, task);
    if (!job_handle_is_closing(conn_handle(exchange->conn)))   /* else it goes with its connection */
        exchange->finished(exchange, status);
}

static void submit(struct job_task *task)
{
    struct exchange *exchange = job_container_of(task, struct exchange, task);
    int err = job_submit(task->pool, task, conn_handle(exchange->conn));
    if (err == -EAGAIN)
        err = job_task_when_writable(task, submit);   /* the pool is full: this client waits, nobody else does */
    if (err < 0)
        exchange->finished(exchange, err);
}

void exchange_work(struct exchange *exchange, struct job_pool *pool, void (*run)(struct exchange *exchange),
                   void (*finished)(struct exchange *exchange, int status))
{
    exchange->run = run;
    exchange->finished = finished;
    (void)job_task_init(&exchange->task, pool, work_run, work_done);
    if (exchange->body)
        (void)job_task_give(&exchange->task, &exchange->body);   /* the task is idle and has none */
    submit(&exchange->task);
}

int exchange_status_of(int err)
{
    switch (err) {
    case -ETIME: case -ENOMEM: case -EMFILE: case -ENFILE: case -ECANCELED: case -EAGAIN: return 503;
    default: return 500;
    }
}
