/* luaworkers.h — Lua 5.4 in workers: each isolate is a worker with a Lua state, a loop, and a byte limit of its own.
 *
 *      main.c ──opens──▶ isolate (the script of the command line) ──job.worker──▶ isolate … ──▶ isolate
 *
 * isolate.c has the life of one, and how callbacks get into its script; budget.c what ends a script that does not end; library.c which of
 * Lua's functions scripts have; post.c, worker.c, bytes.c, region.c, file.c what the module `job` is made of.
 */
#ifndef LUAWORKERS_H
#define LUAWORKERS_H

#include <job/job.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

enum { NAME_MAX_BYTES = 32 };

/* What a new isolate is told. Its script's path and the script's arguments follow, each with a 0 at its end. */
struct isolate_options {
    struct job_runtime *runtime;
    char name[NAME_MAX_BYTES];
    uint64_t memory_bytes;        /* see budget.c */
    uint64_t steps;               /* instructions of Lua's machine that a callback may take */
    uint64_t stop_timeout_ns;
    uint32_t argument_count;      /* with the script's path */
};

struct isolate {
    struct job_inside *inside;    /* the worker that it is */
    struct isolate_options options;
    lua_State *lua;
    uint64_t used_bytes;
    uint64_t steps_left;
    const char *over;             /* why no script runs any more; NULL: it may */
    struct job_scope life;        /* requests for files belong to it, and its `closed` says that the loop ends */
    unsigned requests;            /* for files, which are under way */
    unsigned holders;             /* handles whose callbacks come here; with the last one the isolate goes */
};

/* isolate.c */
struct isolate *isolate_of(lua_State *lua);
void isolate_release(struct isolate *isolate);
/* The first callback of the worker that is to be an isolate. */
void isolate_main(struct job_inside *inside, struct job_message *start);
/* Calls `push` in protected mode; it pushes a function and its arguments, and says how many those are (negative: nothing to call). What
 * goes wrong is the worker's failure. */
void isolate_call(struct isolate *isolate, int (*push)(lua_State *lua, void *what), void *what);
/* Opens a worker for an isolate. `arguments` as in the options. Errors as of job_worker_open(). */
int isolate_open(struct job_loop *loop, struct job_worker *worker, const struct isolate_options *options,
                 const char *arguments, size_t len, const struct job_worker_events *events);

/* budget.c: before each callback, which will run in `thread`. */
void budget_begin(struct isolate *isolate, lua_State *thread);
/* Counts some instructions. False: the script must not go on, and isolate->over says why. */
bool budget_look(lua_State *lua);
/* Ends the script, which is over: return what it returns. */
int budget_stop(lua_State *lua);
/* Lua's allocator. */
void *budget_allocate(void *isolate, void *block, size_t old_size, size_t size);
/* Counts memory that is not Lua's; raises when there is not so much left, also after collecting garbage. And the other way. */
void budget_charge(lua_State *lua, uint64_t bytes);   /* raises an error when there is no room for them */
bool budget_try(lua_State *lua, uint64_t bytes);      /* the same, but says false */
void budget_discharge(struct isolate *isolate, uint64_t bytes);
uint64_t budget_left(const struct isolate *isolate);
/* Of messages that may wait for a worker, and as many that may wait for its parent. */
uint64_t budget_of_queue(uint64_t memory_bytes);
/* What a worker counts with its parent. */
uint64_t budget_of_worker(uint64_t memory_bytes);

/* library.c: opens what scripts may use, and the module `job`. */
void library_open(lua_State *lua);
/* A type of values with methods; `events` are Lua's own: "__gc" and the like. */
void library_type(lua_State *lua, const char *name, const luaL_Reg *events, const luaL_Reg *methods);
/* Pushes `nil, text of the error`, or `true` for 0. */
int library_result(lua_State *lua, int err);

/* bytes.c, region.c: the values that travel. Each is made empty, which may raise, and filled, which cannot: so nothing is lost between. */
struct bytes {
    struct job_buf *buf;          /* NULL: it was given away */
    uint64_t charged;
};
struct cells {
    struct job_region *region;
    uint64_t charged;
};
void bytes_open(lua_State *lua);
struct bytes *bytes_new(lua_State *lua);
void bytes_fill(lua_State *lua, struct bytes *bytes, struct job_buf *buf);
struct bytes *bytes_test(lua_State *lua, int index);      /* NULL: something else */
void bytes_gone(lua_State *lua, struct bytes *bytes);     /* it was posted */
void region_open(lua_State *lua);
struct cells *cells_new(lua_State *lua);
void cells_fill(lua_State *lua, struct cells *cells, struct job_region *region);
struct cells *cells_test(lua_State *lua, int index);

/* post.c: messages. */
enum { POST_ITEMS_MAX = 16 };
struct outgoing {
    struct job_post post;
    struct job_item items[POST_ITEMS_MAX];
    struct bytes *bytes[POST_ITEMS_MAX];
};
/* What stands on the stack from `first`: a text, then bufs and regions. Raises on what cannot be sent. */
void outgoing_read(lua_State *lua, int first, struct outgoing *outgoing);
/* It was posted, or not: pushes the result. */
int outgoing_result(lua_State *lua, struct outgoing *outgoing, int err);
int message_push(lua_State *lua, struct job_message *message);              /* text and items; how many values */
void post_open(lua_State *lua);                                             /* job.post, job.on_message, job.on_writable, job.exit */

/* worker.c, file.c: job.worker; job.load, job.list. */
void worker_open(lua_State *lua);
void file_open(lua_State *lua);

#endif
