/* jobsum.h — what the files of jobsum share.
 *
 *      source (arguments and trees, or check files) ──▶ sums, in the order of output ──▶ hash (read ahead, digest on the pool) ──▶ output
 *
 * At most SUMS_MAX sums are on their way, each with at most three bufs, so memory does not depend on the files, nor on their number.
 */
#ifndef JOBSUM_H
#define JOBSUM_H

#include <job/job.h>
#include <openssl/evp.h>
#include <stdio.h>

enum {
    SUMS_MAX = 256,
    NOW_BYTES = 250000,       /* up to that size a file in memory is hashed by a task together with others: one slot a pool thread */
    LOAD_BYTES = 60000,       /* up to that size one that is not is loaded whole: there may be SUMS_MAX of them */
    BATCH = 16,
    HOT_BYTES = 65536,        /* of a file in memory, read and hashed at a time: what fits into a core's cache */
    HOT_TASK_BYTES = 4 << 20, /* of one task: some milliseconds */
    DIGEST_BYTES = 32,
    OUTPUT_FLUSH = 16384,     /* fewer lines wait for more, but on a terminal */
    OUTPUT_MAX = 1 << 20,     /* of lines that nobody takes: then no more files are begun */
    MEMORY_DEFAULT = 64 << 20,
    MEMORY_LEAST = 8 << 20,   /* a chunk of 2 MiB for each size of slot that is used then, 4, 16 and 64 KiB, and one more */
    MEMORY_PLENTY = 32 << 20, /* from there on slots of 256 KiB are used as well */
};

struct options {
    bool checks, is_binary, is_tag, ends_with_zero;
    bool is_quiet, is_status_only, is_strict, ignores_missing, warns;
    bool has_no_input;        /* standard input is closed */
    bool ends_by_sigpipe;     /* a broken pipe at the output is not for us to tell */
    size_t memory_bytes;
    char **paths;             /* ends with NULL; never empty */
};

struct jobsum;

/* What has been checked of one file of checksums; told when its last line has been. */
struct check {
    char *name;
    uint64_t proper, improper, mismatched, unread;
    bool has_match;
    bool is_broken;           /* it could not be read to its end, which was told: there is no verdict */
};

enum sum_kind {
    SUM_FILE,                 /* a file to be read */
    SUM_MESSAGE,              /* `name` is a text for standard error */
    SUM_CHECK_END,            /* the verdict over a file of checksums */
};

/* A file on its way from its name to its line, or what is to be said between two of them. */
struct sum {
    struct sum *next;         /* in the order of output */
    struct jobsum *jobsum;
    enum sum_kind kind;
    char *name;
    struct check *check;      /* it is checked against `expected` */
    uint8_t expected[DIGEST_BYTES], digest[DIGEST_BYTES];
    bool is_regular;          /* known from its directory, or asked */
    int error;                /* why there is no digest; positive */
    bool fails;               /* a message that is an error */
    bool is_done;

    struct job_file file;
    struct job_file_op op;
    struct job_reader reader;
    struct job_task task;
    EVP_MD_CTX *context;
    struct job_buf *hashed;   /* with the task; NULL: the task reads by itself */
    struct sum *next_batched; /* the task is for these as well */
    int batch_error;          /* why its batch has no digest of it */
    uint64_t offset;          /* up to there it has been hashed; the task's, while it runs */
    uint64_t counted;         /* of that, in the progress */
    bool is_stream;           /* it has no offsets: standard input, a pipe */
    bool is_last;             /* nothing comes behind what has been given to the task, or what it has read */
    struct sum *next_starved;
    struct sum *next_input;
    int refusal;              /* why it could not be opened just now; negative */
    uint64_t tried_at;        /* jobsum->given_back then: whether it was refused for want of what has come back since */
};

struct output {
    struct job_file file;
    struct job_file_op op;
    struct job_buf *lines;    /* to be written */
    FILE *stream;             /* one line, in memory */
    char *line;
    size_t line_len;
    bool is_writing, is_terminal;
    int error;                /* nothing more is written; told at the end */
};

struct progress {
    struct job_timer timer;
    bool is_shown, is_open;
    uint64_t begun_ns;
    uint64_t files, bytes;    /* that have been hashed */
    uint64_t known_bytes;     /* of the files that were opened so far */
};

enum next { NEXT_SUM, NEXT_WAIT, NEXT_END };   /* NEXT_WAIT: jobsum_pump() will be called */

enum form { FORM_UNKNOWN, FORM_STANDARD, FORM_REVERSED };   /* of lines of checksums; check.c */

struct source;

struct jobsum {
    const struct options *options;
    struct job_runtime *runtime;
    struct job_loop *loop;
    struct job_pool *pool;
    struct job_signal signal;
    const EVP_MD *sha256;
    struct source *source;
    struct sum *first, *last;             /* in the order of output */
    struct sum *starved;                  /* wait for memory or a descriptor, the oldest first */
    uint64_t given_back;                  /* how often somebody had some that he needs no more */
    struct job_call feed;                 /* at the end of a turn in which somebody had */
    unsigned listing;                     /* directories that are being listed */
    struct sum *input;                    /* reads standard input; others of that name wait behind it */
    struct sum *spare;
    struct sum *batch;                    /* loaded whole, to be hashed together */
    struct job_call flush;                /* at the end of the turn */
    unsigned batched;
    unsigned sums, in_flight;
    enum form form;
    bool has_ended, is_pumping, is_over;
    bool has_failed;                      /* the exit status */
    bool has_read_input;                  /* or tried to */
    int signal_number;
    struct output output;
    struct progress progress;
};

/* main.c */
void *allocate(size_t bytes);             /* zeroed; ends the program when there is none */
char *copy_of(const char *text, size_t len);
void jobsum_pump(struct jobsum *jobsum);  /* begins what may begin, prints what is done, ends when all is */

/* source.c: the next sum, in order. */
void source_open(struct jobsum *jobsum);
enum next source_next(struct jobsum *jobsum);
void source_close(struct jobsum *jobsum);
bool source_give_back(struct jobsum *jobsum);   /* what is held ahead of its turn; false: nothing was */
void source_feed(struct jobsum *jobsum);        /* a directory that waits for memory or a descriptor is tried again */
struct sum *sum_add(struct jobsum *jobsum, enum sum_kind kind, char *name);   /* owns the name */
void message_add(struct jobsum *jobsum, bool fails, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* check.c: the sums of one file of checksums. */
struct lines;
struct lines *lines_open(struct jobsum *jobsum, const char *name);
enum next lines_next(struct lines *lines);
void lines_close(struct lines *lines);

/* hash.c */
void sum_begin(struct sum *sum);
bool is_shortage(int err);                /* of memory or descriptors, which others may give back */
void sums_gave_back(struct jobsum *jobsum);
bool sums_may_wait(const struct jobsum *jobsum, unsigned own);   /* somebody, but `own` of the sums in flight, will give something back */
void sums_feed_later(struct jobsum *jobsum);
void sum_forget(struct sum *sum);

/* output.c */
void output_open(struct jobsum *jobsum);
void output_sum(struct jobsum *jobsum, struct sum *sum);
void output_flush(struct jobsum *jobsum);
void output_close(struct jobsum *jobsum);
bool output_is_full(const struct jobsum *jobsum);
bool output_is_idle(const struct jobsum *jobsum);
void say(struct jobsum *jobsum, const char *format, ...) __attribute__((format(printf, 2, 3)));   /* to standard error */

/* standard.c */
void standard_hold(struct options *options);   /* before anything else is opened */
int standard_input(struct jobsum *jobsum, struct job_file *file);   /* a file of its own for it; 0 or a negative errno */
bool standard_end(const struct jobsum *jobsum);   /* says what went wrong with the three; true: nothing */
_Noreturn void standard_exit(void);       /* what was printed to stdout is all there is to say */

/* names.c */
bool name_needs_escape(const char *name);
void name_escape(const char *name, FILE *out);
bool name_unescape(char *name, size_t len);   /* in place; false: not one that we would write */
char *name_quoted(const char *name);      /* for messages, as a shell would read it; to be freed */

/* progress.c */
void progress_open(struct jobsum *jobsum);
void progress_hide(struct jobsum *jobsum);
void progress_close(struct jobsum *jobsum);

#endif
