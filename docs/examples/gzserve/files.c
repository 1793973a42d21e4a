/* files.c — GET and HEAD of files below the root.
 *
 *      known and looked at within a second ──────────────────────────────▶ answered by the loop
 *      else: the pool looks (open, fstat; reads what is small and new) ──▶ answered by the loop, and remembered
 *      large: the pool reads part after part, as the client takes them
 *
 * So many may look at a time, since each may have a descriptor that is not counted yet; for the others the path may be known when it is
 * their turn. Opening and reading may wait for a disk, so the loop never does it. What is outside of the root cannot be named: the kernel
 * itself refuses each path that would leave it, by a symlink, by "..", or through /proc.
 */
#include "condition.h"
#include "conn.h"
#include "mime.h"
#include "routes.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    PART = 256 << 10,
    LOCATION_MAX = EXTRA_MAX - sizeof "Location: \r\n",   /* what fits into an answer's head */
};

static const uint64_t check_every_ns = JOB_SECOND;

/* What the pool has found out about a path. */
struct file_found {
    struct turn turn;
    struct exchange *exchange;
    int root;
    struct job_arena *arena;
    struct file *known;            /* what the cache has, referenced, or NULL */
    bool is_unchanged;             /* and it is right */
    bool is_directory;             /* asked for without '/' at the end */
    struct file *file;             /* else: what is new */
    char path[];
};

void file_found_free(struct file_found *found)
{
    if (!found)
        return;
    struct turns *looks = &found->exchange->service->looks;
    file_release(found->known);
    file_release(found->file);
    turns_end(looks, &found->turn);   /* its connection has closed */
    free(found);
}

/* A pool thread, down to look_at_file(). */

static int open_beneath(int root, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,   /* O_NONBLOCK: a FIFO must not hold us */
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    path += strspn(path, "/");   /* it is relative to the root */
    long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

static int read_all(int fd, char *bytes, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -EIO;   /* it has become shorter meanwhile */
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Takes fd, in every case. */
static int file_new(struct file_found *found, int fd, const struct file_version *version, const char *name)
{
    struct file *file = calloc(1, sizeof *file + strlen(found->path) + 1);
    if (!file) {
        close(fd);
        return -ENOMEM;
    }
    found->file = file;
    strcpy(file->path, found->path);
    file->refs = 1;
    file->fd = fd;
    file->version = *version;
    file->type = mime_type(name);
    date_format(version->modified.tv_sec, file->modified);
    if (version->size > FILE_SMALL_MAX)
        return 0;
    size_t len = (size_t)version->size, room;
    int err = job_buf_alloc(found->arena, len, NULL, &file->bytes);
    if (err == 0)
        err = read_all(fd, job_buf_room(file->bytes, &room), len, 0);
    if (err == 0)
        err = job_buf_extend(file->bytes, len);
    if (err == 0)
        err = job_buf_freeze(file->bytes);
    file->fd = -1;
    close(fd);
    return err;
}

static bool is_same(const struct file_version *a, const struct file_version *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static int look_at_path(struct file_found *found, const char *path)
{
    struct stat stat;
    int fd = open_beneath(found->root, path);
    if (fd < 0)
        return fd;
    int err = fstat(fd, &stat) < 0 ? -errno : 0;
    struct file_version version = {stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtim};
    if (err == 0 && S_ISDIR(stat.st_mode))
        err = -EISDIR;
    else if (err == 0 && !S_ISREG(stat.st_mode))
        err = -ENOENT;
    else if (err == 0 && !(found->known && is_same(&version, &found->known->version)))
        return file_new(found, fd, &version, path);
    found->is_unchanged = err == 0;
    close(fd);
    return err;
}

/* "/a/" is "/a/index.html"; "/a" may turn out to be a directory. */
static int look_at_directory(struct file_found *found)
{
    char *index = NULL;
    if (asprintf(&index, "%sindex.html", found->path) < 0)
        return -ENOMEM;
    int err = look_at_path(found, index);
    free(index);
    return err == -EISDIR ? -ENOENT : err;
}

static void look_at_file(struct exchange *exchange)
{
    struct file_found *found = exchange->found;
    size_t len = strlen(found->path);
    int err = found->path[len - 1] == '/' ? look_at_directory(found) : look_at_path(found, found->path);
    found->is_directory = err == -EISDIR;
    job_task_set_status(&exchange->task, found->is_directory ? 0 : err);
}

/* The loop again. */

static void send_slice(struct exchange *exchange, const struct file *file, int status, uint64_t offset, uint64_t len)
{
    struct job_buf *body = NULL;
    if (job_buf_slice(file->bytes, offset, len, &body) < 0)
        exchange_refuse(exchange, 503);
    else
        exchange_answer_buf(exchange, status, file->type, len, &body);
}

static void send_part_of(struct exchange *exchange, struct file *file)
{
    uint64_t size = (uint64_t)file->version.size, offset = 0, len = size;
    char content_range[80];
    enum range_kind kind = RANGE_NONE;
    if (condition_wants_range(&exchange->request, file->version.modified.tv_sec, time(NULL)))
        kind = range_parse(exchange->request.values[HEADER_RANGE], size, &offset, &len);
    if (kind == RANGE_UNSATISFIABLE) {
        (void)snprintf(content_range, sizeof content_range, "bytes */%llu", (unsigned long long)size);
        exchange_header(exchange, "Content-Range", content_range);
        exchange_refuse(exchange, 416);
        return;
    }
    if (kind == RANGE_PART) {
        (void)snprintf(content_range, sizeof content_range, "bytes %llu-%llu/%llu", (unsigned long long)offset,
                       (unsigned long long)(offset + len - 1), (unsigned long long)size);
        exchange_header(exchange, "Content-Range", content_range);
    }
    int status = kind == RANGE_PART ? 206 : 200;
    if (exchange->request.method == HTTP_HEAD) {
        exchange_answer_buf(exchange, status, file->type, len, &(struct job_buf *){NULL});
    } else if (file->bytes) {
        send_slice(exchange, file, status, offset, len);
    } else {
        file_retain(file);
        exchange->file = file;
        exchange->file_status = status;
        exchange->file_offset = offset;
        exchange->file_len = exchange->file_left = len;
        file_send_next(exchange);
    }
}

static void answer_with(struct exchange *exchange, struct file *file)
{
    exchange_header(exchange, "Last-Modified", file->modified);
    exchange_header(exchange, "Accept-Ranges", "bytes");
    switch (condition_check(&exchange->request, file->version.modified.tv_sec)) {
    case 304: exchange_answer_text(exchange, 304, NULL, ""); break;
    case 412: exchange_refuse(exchange, 412); break;
    default: send_part_of(exchange, file);
    }
}

/* The client's relative links would point beside the directory. */
static void redirect(struct exchange *exchange)
{
    char location[LOCATION_MAX + 1];
    const char *query = exchange->request.query;
    struct text text = {.at = location, .room = LOCATION_MAX};
    for (const char *at = exchange->request.path; *at; at++)
        text_escaped(&text, *at);
    text_string(&text, *query ? "/?" : "/");
    text_string(&text, query);
    location[text.len] = '\0';
    if (text.is_cut) {
        exchange_refuse(exchange, 414);
        return;
    }
    exchange_header(exchange, "Location", location);
    exchange_refuse(exchange, 301);
}

static int status_of(int err)
{
    switch (err) {
    case -ENOENT: case -ENOTDIR: case -ENAMETOOLONG: case -ELOOP: case -EXDEV:
    case -EACCES: case -EPERM: case -ENXIO: case -ENODEV:
        return 404;   /* also what is forbidden: who asks need not know that it exists */
    default:
        return exchange_status_of(err);
    }
}

static void looked(struct exchange *exchange, int status)
{
    struct file_cache *cache = &exchange->service->files;
    struct file_found *found = exchange->found;
    struct file *file = found->is_unchanged ? found->known : found->file;
    if (found->known)
        found->known->is_being_checked = false;
    if (status < 0 || found->is_directory)
        file_cache_forget(cache, found->path);
    if (status == -EMFILE || status == -ENFILE)
        file_cache_close_idle(cache, 0);   /* whoever asks again finds some */
    if (status == 0 && found->file && !file_cache_add(cache, found->file))
        status = -EMFILE;
    if (status < 0)
        file_release(found->file);   /* now: the refusal may wait long behind answers that nobody takes */
    found->file = NULL;              /* else this reference is the cache's */
    turns_end(&exchange->service->looks, &found->turn);
    if (status < 0) {
        exchange_refuse(exchange, status_of(status));
    } else if (found->is_directory) {
        redirect(exchange);
    } else {
        file->checked_ns = job_loop_now(exchange->service->loop);
        answer_with(exchange, file);
    }
}

/* One that is being checked may be a second older, so that not all who ask for it at that moment go and look. */
static bool is_fresh(const struct file *file, uint64_t now_ns)
{
    return now_ns - file->checked_ns < check_every_ns * (file->is_being_checked ? 2 : 1);
}

static struct file *fresh_file(struct exchange *exchange)
{
    struct file *file = file_cache_find(&exchange->service->files, exchange->request.path);
    return file && is_fresh(file, job_loop_now(exchange->service->loop)) ? file : NULL;
}

static void look(struct file_found *found)
{
    struct exchange *exchange = found->exchange;
    found->known = file_cache_find(&exchange->service->files, found->path);
    if (found->known) {
        file_retain(found->known);
        found->known->is_being_checked = true;
    }
    exchange_work(exchange, exchange->service->file_pool, look_at_file, looked);
}

static void look_unless_known(struct turn *turn)
{
    struct file_found *found = job_container_of(turn, struct file_found, turn);
    struct exchange *exchange = found->exchange;
    struct file *file = fresh_file(exchange);   /* another may have looked meanwhile */
    bool is_closing = job_handle_is_closing(conn_handle(exchange->conn));
    if (!file && !is_closing) {
        look(found);
        return;
    }
    turns_end(&exchange->service->looks, turn);
    if (!is_closing)
        answer_with(exchange, file);
}

static void wait_to_look(struct exchange *exchange)
{
    const char *path = exchange->request.path;
    struct file_found *found = calloc(1, sizeof *found + strlen(path) + 1);
    if (!found) {
        exchange_refuse(exchange, 503);
        return;
    }
    strcpy(found->path, path);
    found->exchange = exchange;
    found->root = exchange->service->files.root;
    found->arena = job_runtime_arena(exchange->service->runtime);
    exchange->found = found;
    turns_take(&exchange->service->looks, &found->turn, look_unless_known);
}

void serve_file(struct exchange *exchange)
{
    struct service *service = exchange->service;
    struct file *file = fresh_file(exchange);
    service->counts.file_hits += file != NULL;
    service->counts.file_misses += file == NULL;
    if (file)
        answer_with(exchange, file);
    else
        wait_to_look(exchange);
}

/* Large files. */

static size_t part_len(const struct exchange *exchange)
{
    return exchange->file_left < PART ? (size_t)exchange->file_left : PART;
}

static void read_part(struct exchange *exchange)
{
    struct job_buf *part = NULL;
    size_t len = part_len(exchange), room = 0;
    int err = job_buf_alloc(job_runtime_arena(exchange->service->runtime), len, NULL, &part);
    if (err == 0)
        err = read_all(exchange->file->fd, job_buf_room(part, &room), len, exchange->file_offset);
    if (err == 0)
        err = job_buf_extend(part, len);
    if (err < 0)
        job_buf_free(&part);
    job_buf_replace(&exchange->task.buf, &part);
    job_task_set_status(&exchange->task, err);
}

static void part_read(struct exchange *exchange, int status)
{
    bool is_first = exchange->state == EXCHANGE_WORKING;
    size_t len = part_len(exchange);
    exchange->is_reading_file = false;
    if (status < 0 && is_first) {
        exchange->file_left = 0;
        exchange_refuse(exchange, exchange_status_of(status));
    } else if (status < 0) {
        conn_cut_off(exchange->conn);   /* its head has promised more */
    } else {
        exchange->file_offset += len;
        exchange->file_left -= len;
        const char *type = exchange->file->type;
        if (is_first)
            exchange_answer_buf(exchange, exchange->file_status, type, exchange->file_len, &exchange->task.buf);
        else
            conn_send_part(exchange->conn, &exchange->task.buf);
    }
}

void file_send_next(struct exchange *exchange)
{
    if (exchange->is_reading_file)
        return;
    exchange->is_reading_file = true;
    exchange_work(exchange, exchange->service->file_pool, read_part, part_read);
}
