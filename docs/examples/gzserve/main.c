/* main.c — gzserve: an HTTP/1.1 service that computes and never lets anybody wait for it.
 *
 *     gzserve --root DIR --listen ADDR:PORT [--workers N] [--inline]
 *
 *     GET /fast            an answer at once
 *     GET /cpu?n=N         how many primes there are below N: computed by the pool
 *     POST /gzip           the body, compressed
 *     POST /xor?k=K        the body, each byte XOR K
 *     GET /stats           OpenMetrics
 *     GET anything else    a file below DIR
 *
 * Where to read on: conn.c is a client's life, exchange.c the way of one request through the pool, compute.c what is yours to replace.
 */
#include "options.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void on_signal(struct job_signal *signal, int number)
{
    struct service *service = job_container_of(signal, struct service, signals);
    (void)number;
    if (service->is_draining)
        job_loop_stop(service->loop);
    else
        service_drain(service);   /* job_loop_run() returns when the last connection is closed */
}

/* What is opened later shall not get the numbers under which messages are written. */
static void fill_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* As many clients and files as may be. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);   /* else with fewer */
    }
}

static int fail(const char *what, int err)
{
    fprintf(stderr, "gzserve: %s: %s\n", what, job_strerror(err));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    struct service_options options = {0};
    struct service service;
    const char *what = "signals";
    fill_standard_descriptors();
    if (!options_parse(&options, argc, argv))
        return 2;
    raise_descriptors();
    int err = job_signals_block(numbers, 2);
    if (err < 0)
        return fail(what, err);
    err = service_open(&service, &options, &what);
    if (err == 0)
        err = job_signal_open(service.loop, &service.signals, numbers, 2, on_signal);
    if (err == 0) {
        printf("port %u\n", job_listener_port(&service.listener));
        fflush(stdout);
        what = "loop";
        err = job_loop_run(service.loop);
    }
    int close_err = service_close(&service);
    if (err < 0)
        return fail(what, err);
    return close_err < 0 ? fail("close", close_err) : EXIT_SUCCESS;
}
