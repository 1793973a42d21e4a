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
    return http_throughput_main(&load, &group, bench, group.connections > 1 ? 200000 : 40000, serve);
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
    return http_throughput_main(&load, &group, bench, group.connections > 1 ? 60000 : 20000, serve);
}

#endif
