/* file_cache.h — files that were asked for lately: the bytes of small ones, an open descriptor of large ones.
 *
 * Bounded by bytes, by number, and by open descriptors, also of files that are being sent; the longest unused goes first. What it says is
 * at most a second old: then somebody looks again (files.c).
 *
 * The loop's thread alone uses it; a descriptor is only read from elsewhere, and a file that is being sent is referenced.
 */
#ifndef GZSERVE_FILE_CACHE_H
#define GZSERVE_FILE_CACHE_H

#include "range.h"

#include <job/job.h>
#include <stdbool.h>
#include <sys/types.h>

enum { FILE_SMALL_MAX = 256 << 10, FILE_BUCKETS = 1024, FILES_MAX = 1024 };

/* Which version of a file it is: two that agree in all have the same bytes. */
struct file_version {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified;
};

struct file {
    struct file *next;             /* of its bucket */
    struct file *newer, *older;    /* used after it, before it */
    struct file_cache *cache;      /* which counts its descriptor; NULL: it was never added */
    unsigned refs;                 /* one of the cache's, one of each exchange that sends it */
    int fd;                        /* -1: the bytes are here */
    struct job_buf *bytes;         /* a view: each answer sends a slice of it, and nothing is copied */
    struct file_version version;
    const char *type;
    uint64_t checked_ns;           /* when it was known to be the file of this path */
    bool is_being_checked;
    char modified[DATE_SIZE];
    char path[];
};

struct file_cache {
    int root;                      /* the directory */
    struct file *buckets[FILE_BUCKETS];
    struct file *newest, *oldest;
    size_t bytes, bytes_max;
    unsigned count;
    unsigned open_count, open_max; /* descriptors, also of files that have gone from here and are still sent */
};

/* 0 or a negative errno. */
int file_cache_open(struct file_cache *cache, const char *root);

/* Every file must have been released. Harmless when it was not opened and is zero but for root, which is -1. */
void file_cache_close(struct file_cache *cache);

/* The file of a path, whatever its age, or NULL. */
struct file *file_cache_find(struct file_cache *cache, const char *path);

/* Puts a new file in, with one reference that becomes the cache's; an older one of its path goes. False: it has a descriptor, and
 * open_max are in use; the reference is still the caller's. */
bool file_cache_add(struct file_cache *cache, struct file *file);

/* The path is no file any more. */
void file_cache_forget(struct file_cache *cache, const char *path);

/* Closes files that are not being sent, the longest unused first, until `max` are open. */
void file_cache_close_idle(struct file_cache *cache, unsigned max);

void file_retain(struct file *file);
void file_release(struct file *file);   /* NULL is allowed */

#endif
