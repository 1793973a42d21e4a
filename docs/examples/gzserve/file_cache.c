/* file_cache.c — a table by path, and a list by time of use. */
#include "file_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct file **bucket_of(struct file_cache *cache, const char *path)
{
    uint32_t hash = 2166136261;   /* FNV-1a; who knows it can slow down the lookups of FILES_MAX files, no more */
    for (; *path; path++)
        hash = (hash ^ (uint8_t)*path) * 16777619;
    return &cache->buckets[hash % FILE_BUCKETS];
}

static size_t bytes_of(const struct file *file)
{
    return file->bytes ? (size_t)file->version.size : 0;
}

static void unlink_use(struct file_cache *cache, struct file *file)
{
    *(file->newer ? &file->newer->older : &cache->newest) = file->older;
    *(file->older ? &file->older->newer : &cache->oldest) = file->newer;
}

static void link_newest(struct file_cache *cache, struct file *file)
{
    file->newer = NULL;
    file->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = file;
    cache->newest = file;
}

static void drop(struct file_cache *cache, struct file **at)
{
    struct file *file = *at;
    *at = file->next;
    unlink_use(cache, file);
    cache->bytes -= bytes_of(file);
    cache->count--;
    file_release(file);
}

int file_cache_open(struct file_cache *cache, const char *root)
{
    cache->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return cache->root < 0 ? -errno : 0;
}

void file_cache_close(struct file_cache *cache)
{
    while (cache->oldest)
        file_cache_forget(cache, cache->oldest->path);
    if (cache->root >= 0)
        close(cache->root);
    cache->root = -1;
}

struct file *file_cache_find(struct file_cache *cache, const char *path)
{
    struct file *file = *bucket_of(cache, path);
    while (file && strcmp(file->path, path) != 0)
        file = file->next;
    if (file && file != cache->newest) {
        unlink_use(cache, file);
        link_newest(cache, file);
    }
    return file;
}

void file_cache_forget(struct file_cache *cache, const char *path)
{
    struct file **at = bucket_of(cache, path);
    while (*at && strcmp((*at)->path, path) != 0)
        at = &(*at)->next;
    if (*at)
        drop(cache, at);
}

void file_cache_close_idle(struct file_cache *cache, unsigned max)
{
    for (struct file *file = cache->oldest, *newer; file && cache->open_count > max; file = newer) {
        newer = file->newer;
        if (file->fd >= 0 && file->refs == 1)
            file_cache_forget(cache, file->path);
    }
}

/* False: all that may be open are being sent. */
static bool count_open(struct file_cache *cache, struct file *file)
{
    file_cache_close_idle(cache, cache->open_max - 1);
    if (cache->open_count >= cache->open_max)
        return false;
    cache->open_count++;
    file->cache = cache;
    return true;
}

bool file_cache_add(struct file_cache *cache, struct file *file)
{
    file_cache_forget(cache, file->path);
    if (file->fd >= 0 && !count_open(cache, file))
        return false;
    struct file **bucket = bucket_of(cache, file->path);
    file->next = *bucket;
    *bucket = file;
    link_newest(cache, file);
    cache->bytes += bytes_of(file);
    cache->count++;
    while (cache->bytes > cache->bytes_max || cache->count > FILES_MAX)
        file_cache_forget(cache, cache->oldest->path);
    return true;
}

void file_retain(struct file *file)
{
    file->refs++;
}

void file_release(struct file *file)
{
    if (!file || --file->refs > 0)
        return;
    if (file->fd >= 0)
        close(file->fd);
    if (file->cache)
        file->cache->open_count--;
    job_buf_free(&file->bytes);
    free(file);
}
