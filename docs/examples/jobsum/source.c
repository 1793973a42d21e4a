/* source.c — which sums, in which order: arguments, the files of trees, or the lines of files of checksums.
 *
 * A tree is walked depth first, each directory in the order of its names; only the names of the directories on the way from the root are
 * held. Symbolic links in a tree are not followed, and what is no regular file there is passed over; an argument may be either.
 */
#include "jobsum.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { AHEAD = 8 };           /* directories of one level that are listed before their turn */

/* A directory whose entries were asked for. */
struct listing {
    struct job_file_op op;
    struct source *source;
    char *path;
    struct job_buf *entries;
    int error;
    bool is_asked;            /* a thread lists it */
    bool is_done;             /* neither: to be asked for when its turn has come */
    uint64_t tried_at;        /* jobsum->given_back then */
};

/* A directory on the way. A name is stored behind its type. */
struct level {
    struct level *outer;
    char *path;
    char **names;
    struct listing **listings;   /* of those names that are directories, and whose turn has not come */
    size_t count, next;
    size_t ahead, ahead_next;    /* how many are asked for, and which one is next */
};

struct source {
    struct jobsum *jobsum;
    char **paths;             /* the next argument */
    struct level *level;
    struct lines *lines;      /* of the file of checksums that is being read */
    struct job_file_op op;
    struct statx status;
    char *pending;            /* its type is asked for */
    struct listing *awaited;  /* it is its turn */
    bool is_starved;          /* that one waits for memory or a descriptor */
    bool is_argument;         /* `pending` is one */
    bool has_file;            /* it is to be hashed */
    bool is_regular;          /* and its type is known */
};

static char *join(const char *directory, const char *name)
{
    size_t len = strlen(directory);
    bool has_slash = len > 0 && directory[len - 1] == '/';
    char *path = allocate(len + strlen(name) + 2);
    (void)sprintf(path, "%s%s%s", directory, has_slash ? "" : "/", name);
    return path;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a + 1, *(char *const *)b + 1);
}

static void list_ahead(struct source *source, struct level *level);

/* Owns the path. */
static void add_level(struct source *source, char *path, const struct job_buf *entries)
{
    struct level *level = allocate(sizeof *level);
    size_t capacity = 0;
    level->path = path;
    for (const struct job_entry *entry = NULL; (entry = job_entry_next(entries, entry));) {
        if (entry->type != DT_REG && entry->type != DT_DIR && entry->type != DT_UNKNOWN)
            continue;
        if (level->count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            level->names = realloc(level->names, capacity * sizeof(char *));
            if (!level->names)
                abort();
        }
        char *name = allocate(strlen(entry->name) + 2);
        name[0] = (char)entry->type;
        strcpy(name + 1, entry->name);
        level->names[level->count++] = name;
    }
    if (level->count > 0)
        qsort(level->names, level->count, sizeof(char *), by_name);
    level->listings = allocate((level->count + 1) * sizeof(struct listing *));
    level->outer = source->level;
    source->level = level;
    list_ahead(source, level);
}

static void drop_level(struct source *source)
{
    struct level *level = source->level;
    source->level = level->outer;
    for (; level->next < level->count; level->next++)
        free(level->names[level->next]);
    free(level->names);
    free(level->listings);
    free(level->path);
    free(level);
}

static void fail(struct source *source, const char *path, int err)
{
    char *quoted = name_quoted(path);
    message_add(source->jobsum, true, "%s: %s", quoted, strerror(-err));
    free(quoted);
}

/* Its turn has come, and it is there: what is in it comes next, or why not. */
static void enter(struct source *source, struct listing *listing)
{
    source->awaited = NULL;
    if (listing->error < 0) {
        fail(source, listing->path, listing->error);
        free(listing->path);
    } else {
        add_level(source, listing->path, listing->entries);
    }
    job_buf_free(&listing->entries);
    free(listing);
}

static void ask(struct source *source, struct listing *listing);

/* As a sum does: see hash.c. */
static bool starve(struct source *source, const struct listing *listing)
{
    struct jobsum *jobsum = source->jobsum;
    bool may_wait = sums_may_wait(jobsum, 0);
    bool is_late = listing->tried_at != jobsum->given_back || (!may_wait && source_give_back(jobsum));
    if (!is_late && !may_wait)
        return false;
    source->is_starved = true;
    if (is_late)
        sums_feed_later(jobsum);
    return true;
}

static void was_listed(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct listing *listing = job_container_of(op, struct listing, op);
    struct source *source = listing->source;
    bool is_awaited = source->awaited == listing;
    listing->is_asked = false;
    source->jobsum->listing--;
    if (is_shortage(status) && (!is_awaited || starve(source, listing))) {
        if (!sums_may_wait(source->jobsum, 0))
            sums_feed_later(source->jobsum);   /* who waited for this one waits for nobody now */
        return;
    }
    listing->error = status;
    listing->entries = job_buf_take(buf);
    listing->is_done = true;
    sums_gave_back(source->jobsum);
    if (!is_awaited)
        return;
    enter(source, listing);
    jobsum_pump(source->jobsum);
}

/* Neither asked nor done behind it: there is no room now, and one that is awaited is asked for again when there may be. */
static void ask(struct source *source, struct listing *listing)
{
    struct job_path at = {.name = listing->path};
    listing->tried_at = source->jobsum->given_back;
    int err = job_path_list(&source->jobsum->signal.handle, &listing->op, &at, was_listed);
    listing->is_asked = err == 0;
    source->jobsum->listing += listing->is_asked;
    if (is_shortage(err) && (source->awaited != listing || starve(source, listing)))
        return;
    listing->error = err;
    listing->is_done = err < 0;
}

void source_feed(struct jobsum *jobsum)
{
    struct source *source = jobsum->source;
    if (!source->is_starved)
        return;
    source->is_starved = false;
    ask(source, source->awaited);
    if (source->awaited->is_done)
        enter(source, source->awaited);
}

bool source_give_back(struct jobsum *jobsum)
{
    bool is_any = false;
    for (struct level *level = jobsum->source->level; level; level = level->outer) {
        for (size_t i = level->next; i < level->count; i++) {
            struct listing *listing = level->listings[i];
            if (!listing || !listing->entries)
                continue;
            job_buf_free(&listing->entries);
            listing->is_done = false;
            is_any = true;
        }
    }
    return is_any;
}

/* Owns the path. */
static struct listing *list(struct source *source, char *path)
{
    struct listing *listing = allocate(sizeof *listing);
    listing->source = source;
    listing->path = path;
    ask(source, listing);
    return listing;
}

/* The next directories of a level are asked for while the files before them are read. */
static void list_ahead(struct source *source, struct level *level)
{
    for (; level->ahead < AHEAD && level->ahead_next < level->count; level->ahead_next++) {
        const char *name = level->names[level->ahead_next];
        if (name[0] != DT_DIR)
            continue;
        level->listings[level->ahead_next] = list(source, join(level->path, name + 1));
        level->ahead++;
    }
}

/* It is there. */
static bool await(struct source *source, struct listing *listing)
{
    source->awaited = listing;
    if (!listing->is_done && !listing->is_asked)
        ask(source, listing);
    if (listing->is_done)
        enter(source, listing);
    return source->awaited == NULL;
}

static void had_type(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct source *source = job_container_of(op, struct source, op);
    (void)buf;
    bool is_regular = status == 0 && S_ISREG(source->status.stx_mode);
    if (status == 0 && S_ISDIR(source->status.stx_mode)) {
        char *path = source->pending;
        source->pending = NULL;
        (void)await(source, list(source, path));
        jobsum_pump(source->jobsum);
        return;
    }
    source->is_regular = is_regular;
    source->has_file = is_regular || source->is_argument;   /* opening it says what is wrong */
    if (!source->has_file) {
        free(source->pending);
        source->pending = NULL;
    }
    jobsum_pump(source->jobsum);
}

static void ask_type(struct source *source, char *path, bool is_argument)
{
    struct job_path at = {.name = path};
    source->pending = path;
    source->is_argument = is_argument;
    int flags = is_argument ? 0 : AT_SYMLINK_NOFOLLOW;
    int err = job_path_stat(&source->jobsum->signal.handle, &source->op, &at, flags, &source->status, had_type);
    if (err == 0)
        return;
    fail(source, path, err);
    free(path);
    source->pending = NULL;
}

static enum next next_of_level(struct source *source)
{
    struct level *level = source->level;
    if (level->next == level->count) {
        drop_level(source);
        return source_next(source->jobsum);
    }
    size_t index = level->next++;
    char *name = level->names[index];
    char type = name[0];
    if (type == DT_DIR) {
        struct listing *listing = level->listings[index];   /* no name before it is left: it has been asked for */
        free(name);
        level->listings[index] = NULL;
        level->ahead--;
        list_ahead(source, level);
        return await(source, listing) ? source_next(source->jobsum) : NEXT_WAIT;
    }
    char *path = join(level->path, name + 1);
    free(name);
    if (type == DT_REG) {
        sum_add(source->jobsum, SUM_FILE, path)->is_regular = true;
        return NEXT_SUM;
    }
    ask_type(source, path, false);
    return source->pending ? NEXT_WAIT : NEXT_SUM;   /* not pending: it failed, and a message says so */
}

static enum next next_of_lines(struct source *source)
{
    enum next next = lines_next(source->lines);
    if (next != NEXT_END)
        return next;
    lines_close(source->lines);
    source->lines = NULL;
    return source_next(source->jobsum);
}

enum next source_next(struct jobsum *jobsum)
{
    struct source *source = jobsum->source;
    if (source->awaited || (source->pending && !source->has_file))
        return NEXT_WAIT;
    if (source->pending) {
        source->has_file = false;
        sum_add(jobsum, SUM_FILE, source->pending)->is_regular = source->is_regular;
        source->pending = NULL;
        return NEXT_SUM;
    }
    if (source->lines)
        return next_of_lines(source);
    if (source->level)
        return next_of_level(source);
    const char *path = *source->paths;
    if (!path)
        return NEXT_END;
    source->paths++;
    if (jobsum->options->checks) {
        source->lines = lines_open(jobsum, path);
        return next_of_lines(source);
    }
    if (strcmp(path, "-") == 0) {
        (void)sum_add(jobsum, SUM_FILE, copy_of(path, 1));
        return NEXT_SUM;
    }
    ask_type(source, copy_of(path, strlen(path)), true);
    return source->pending ? NEXT_WAIT : NEXT_SUM;
}

struct sum *sum_add(struct jobsum *jobsum, enum sum_kind kind, char *name)
{
    struct sum *sum = jobsum->spare;
    if (sum)
        jobsum->spare = sum->next;
    else
        sum = allocate(sizeof *sum);
    sum->next = NULL;
    sum->jobsum = jobsum;
    sum->kind = kind;
    sum->name = name;
    sum->is_done = kind != SUM_FILE;
    if (jobsum->last)
        jobsum->last->next = sum;
    else
        jobsum->first = sum;
    jobsum->last = sum;
    jobsum->sums++;
    return sum;
}

void message_add(struct jobsum *jobsum, bool fails, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        abort();
    va_end(arguments);
    sum_add(jobsum, SUM_MESSAGE, text)->fails = fails;
}

void source_open(struct jobsum *jobsum)
{
    jobsum->source = allocate(sizeof *jobsum->source);
    jobsum->source->jobsum = jobsum;
    jobsum->source->paths = jobsum->options->paths;
}

void source_close(struct jobsum *jobsum)
{
    struct source *source = jobsum->source;
    while (source->level)
        drop_level(source);
    lines_close(source->lines);
    free(source->pending);
    free(source);
    jobsum->source = NULL;
}
