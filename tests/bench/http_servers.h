/* http_servers.h — how each service is started, for all scenarios that compare HTTP services. */
#ifndef TESTS_BENCH_HTTP_SERVERS_H
#define TESTS_BENCH_HTTP_SERVERS_H

#include "http.h"

/* Ours, as it ships. In a variant "inline" it computes on its loop. */
static inline void http_serve_gzserve(const struct http_load *load, const char *variant)
{
    char listen[32];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", load->port);
    bool is_inline = strcmp(variant, "inline") == 0;
    (void)execl(JOB_GZSERVE, "gzserve", "--root", load->folder[0] ? load->folder : "/", "--listen", listen, is_inline ? "--inline" : NULL,
                (char *)NULL);
    perror(JOB_GZSERVE);
}

/* One worker, tuned: sendfile, open files cached, no log. */
static inline void http_serve_nginx(const struct http_load *load, const char *variant)
{
    char text[2048], path[128];
    (void)variant;
    int len = snprintf(text, sizeof text,
                       "daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr crit;\n"
                       "events { worker_connections 1024; }\n"
                       "http {\n"
                       " access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 60;\n"
                       " open_file_cache max=1000 inactive=60s; open_file_cache_valid 1s;\n"
                       " client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n"
                       " server { listen 127.0.0.1:%u; root %s;\n"
                       "  location = /fast { default_type text/plain; return 200 \"fast\\n\"; } } }\n", load->port, load->folder);
    http_write_file(load, "nginx.conf", text, (size_t)len);
    (void)snprintf(path, sizeof path, "%s/nginx.conf", load->folder);
    (void)execlp("nginx", "nginx", "-p", load->folder, "-c", path, (char *)NULL);
    (void)execl("/usr/sbin/nginx", "nginx", "-p", load->folder, "-c", path, (char *)NULL);
    perror("nginx");
}

static inline void http_serve_node(const struct http_load *load, const char *mode)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", load->port);
    (void)execlp("node", "node", JOB_BENCH_NODE "/http_node.js", port, mode, JOB_BENCH_PISCINA, (char *)NULL);
    perror("node");
}

static inline void http_serve_piscina(const struct http_load *load, const char *variant)
{
    (void)variant;
    http_serve_node(load, "piscina");
}

static inline void http_serve_transfer(const struct http_load *load, const char *variant)
{
    (void)variant;
    http_serve_node(load, "transfer");
}

static inline void http_serve_node_inline(const struct http_load *load, const char *variant)
{
    (void)variant;
    http_serve_node(load, "inline");
}

static inline void http_need_piscina(void)
{
    if (access(JOB_BENCH_PISCINA "/package.json", R_OK) != 0)
        bench_skip("no piscina: build_piscina could not install it");
}

static inline void http_need_nginx(void)
{
    if (access("/usr/sbin/nginx", X_OK) != 0)
        bench_skip("no nginx: run tools/setup --bench");
}

static inline int http_hello_main(int argc, char **argv, http_serve_fn *serve)
{
    static struct http_load load;
    struct bench bench = bench_begin(argc, argv);
    struct http_group group = {.head = "GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n", .answer = "fast\n", .answer_len = 5};
    group.connections = strcmp(bench.variant, "1") == 0 ? 1 : HTTP_CONNS_MAX;
    http_make_folder(&load);
    return http_throughput_main(&load, &group, bench, group.connections > 1 ? 100000 : 20000, serve);
}

static inline int http_file_main(int argc, char **argv, http_serve_fn *serve)
{
    enum { FILE_LEN = 65536 };
    static struct http_load load;
    struct bench bench = bench_begin(argc, argv);
    char *bytes = http_random_bytes(FILE_LEN);
    struct http_group group = {.head = "GET /file.bin HTTP/1.1\r\nHost: localhost\r\n\r\n", .answer = bytes, .answer_len = FILE_LEN};
    group.connections = strcmp(bench.variant, "1") == 0 ? 1 : HTTP_CONNS_MAX;
    http_make_folder(&load);
    http_write_file(&load, "file.bin", bytes, FILE_LEN);
    return http_throughput_main(&load, &group, bench, group.connections > 1 ? 30000 : 10000, serve);
}

/* How soon /fast is answered while 8 connections have the service compute as fast as it can. No CPU is anybody's own. */
static inline int http_bottleneck_main(int argc, char **argv, http_serve_fn *serve)
{
    enum { PINGS = 32, PINGS_PER_S = 500, CLIENTS = 8, PINGER_NICE = -15 };
    static struct http_load load;
    struct bench bench = bench_begin(argc, argv);
    bool is_unloaded = strcmp(bench.variant, "unloaded") == 0;
    struct http_group cpu = {.head = "GET /cpu?n=300000 HTTP/1.1\r\nHost: localhost\r\n\r\n", .answer = "25997\n", .answer_len = 6};
    struct http_group fast = {.head = "GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n", .answer = "fast\n", .answer_len = 5};
    cpu.connections = is_unloaded ? 0 : CLIENTS;
    fast.connections = PINGS;
    fast.rate = PINGS_PER_S;
    http_start(&load, serve, bench.variant, -1);
    prctl(PR_SET_TIMERSLACK, 1UL);
    if (setpriority(PRIO_PROCESS, 0, PINGER_NICE) < 0)   /* its own delays are not the service's */
        fprintf(stderr, "without the privilege for nice %d: own delays count\n", PINGER_NICE);
    http_add(&load, &cpu);
    http_add(&load, &fast);
    http_run(&load, 0, bench.is_smoke ? 100000000 : 500000000);   /* Node compiles what it runs often */
    http_run(&load, 0, bench.is_smoke ? 200000000 : 4000000000);
    const struct http_group *pings = &load.groups[1];
    bench_sort(pings->samples, pings->done);
    bench_metric("p50_ms", bench_percentile(pings->samples, pings->done, 50) / 1e3);
    bench_metric("p99_ms", bench_percentile(pings->samples, pings->done, 99) / 1e3);
    bench_metric("p999_ms", bench_percentile(pings->samples, pings->done, 99.9) / 1e3);
    bench_metric("cpu_requests_per_s", (double)load.groups[0].done * 1e9 / (double)(load.end_ns - load.begin_ns));
    bench_checksum(http_hash("25997\nfast\n", 11));
    http_stop(&load);
    return 0;
}

/* 1 MiB in and 1 MiB out, changed. The service may use every CPU. Variants: ROUTE-K, K connections. */
static inline int http_xor_main(int argc, char **argv, http_serve_fn *serve)
{
    enum { BODY_LEN = 1 << 20, KEY = 90 };
    static struct http_load load;
    struct bench bench = bench_begin(argc, argv);
    const char *dash = strchr(bench.variant, '-');
    char *bytes = http_random_bytes(BODY_LEN), *changed = malloc(BODY_LEN), route[32] = "";
    struct http_group group = {.body = bytes, .body_len = BODY_LEN, .answer = changed, .answer_len = BODY_LEN};
    if (!dash)
        bench_fail("no such variant");
    memcpy(route, bench.variant, (size_t)(dash - bench.variant));
    group.head = "POST /xor?k=90 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n";
    group.connections = (unsigned)atoi(dash + 1);
    for (size_t i = 0; i < BODY_LEN; i++)
        changed[i] = (char)(bytes[i] ^ KEY);
    http_start(&load, serve, route, -1);
    http_add(&load, &group);
    uint64_t count = bench.is_smoke ? 20 : 600;
    http_run(&load, count / 10, 0);
    uint64_t cpu_ns = http_cpu_ns(&load);
    http_run(&load, count, 0);
    cpu_ns = http_cpu_ns(&load) - cpu_ns;
    double done = (double)load.groups[0].done;
    bench_metric("requests_per_s", done * 1e9 / (double)(load.end_ns - load.begin_ns));
    bench_metric("server_cpu_us", (double)cpu_ns / done / 1e3);
    bench_checksum(http_hash(changed, BODY_LEN) * count);
    http_stop(&load);
    return 0;
}

#endif
