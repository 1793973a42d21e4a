/* file.c — job.load(path, function(buf, error) end): a whole file, which a thread of the runtime's reads while the script goes on.
 * job.list(path, function(names, error) end): a directory; names of directories end in "/", what is neither directory nor file is left out.
 *
 * Both say true; or nil and why not: the name is too long, or there is no room now, since REQUESTS_MAX are under way. A request counts with
 * the isolate's memory until its function is called.
 *
 * Requests belong to the isolate's `life` handle: when the worker ends, those that have not begun are cancelled, and it waits for the
 * others.
 */
#include "luaworkers.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    FILE_BYTES_MAX = 1 << 30,   /* what job_path_load() takes at most */
    REQUESTS_MAX = 256,         /* of an isolate */
};

struct request {
    struct job_file_op op;
    struct job_path path;
    struct isolate *isolate;
    int callback;                /* in the registry */
    int status;
    uint64_t charged;
    struct job_buf **buf;        /* while the callback runs */
    int (*push)(lua_State *lua, struct request *request);
    char name[];
};

static int push_result(lua_State *lua, void *what)
{
    struct request *request = what;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, request->callback);
    if (request->status == 0)
        return request->push(lua, request);
    return library_result(lua, request->status);
}

static int push_loaded(lua_State *lua, struct request *request)
{
    struct bytes *bytes = bytes_new(lua);
    bytes_fill(lua, bytes, job_buf_take(request->buf));
    return 1;
}

static int push_listed(lua_State *lua, struct request *request)
{
    lua_Integer count = 0;
    lua_newtable(lua);
    for (const struct job_entry *entry = NULL; (entry = job_entry_next(*request->buf, entry));) {
        if (entry->type != DT_DIR && entry->type != DT_REG && entry->type != DT_UNKNOWN)
            continue;
        lua_pushfstring(lua, "%s%s", entry->name, entry->type == DT_DIR ? "/" : "");
        lua_rawseti(lua, -2, ++count);
    }
    return 1;
}

static void request_free(struct request *request)
{
    struct isolate *isolate = request->isolate;
    luaL_unref(isolate->lua, LUA_REGISTRYINDEX, request->callback);
    budget_discharge(isolate, request->charged);
    isolate->requests--;
    free(request);
}

static void done(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct request *request = op->data;
    request->status = status;
    request->buf = buf;
    isolate_call(request->isolate, push_result, request);
    request_free(request);
}

/* Charged, or NULL. */
static struct request *request_allocate(lua_State *lua, uint64_t bytes)
{
    if (!budget_try(lua, bytes))
        return NULL;
    struct request *request = calloc(1, bytes);
    if (!request)
        budget_discharge(isolate_of(lua), bytes);
    return request;
}

/* 0, or why not: a negative errno. */
static int request_new(lua_State *lua, int (*push)(lua_State *lua, struct request *request), struct request **out)
{
    size_t len;
    const char *name = luaL_checklstring(lua, 1, &len);
    struct isolate *isolate = isolate_of(lua);
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    if (len >= PATH_MAX)
        return -ENAMETOOLONG;
    if (isolate->requests == REQUESTS_MAX)
        return -EAGAIN;
    lua_settop(lua, 2);
    int callback = luaL_ref(lua, LUA_REGISTRYINDEX);
    struct request *request = request_allocate(lua, sizeof *request + len + 1);
    if (!request) {
        luaL_unref(lua, LUA_REGISTRYINDEX, callback);
        return luaL_error(lua, "not enough memory");
    }
    memcpy(request->name, name, len);
    request->isolate = isolate;
    request->callback = callback;
    request->push = push;
    request->charged = sizeof *request + len + 1;
    request->path.name = request->name;
    request->op.data = request;
    isolate->requests++;
    *out = request;
    return 0;
}

static int load(lua_State *lua)
{
    struct request *request = NULL;
    struct isolate *isolate = isolate_of(lua);
    int err = request_new(lua, push_loaded, &request);
    if (err < 0)
        return library_result(lua, err);
    uint64_t left = budget_left(isolate), limit = left < FILE_BYTES_MAX ? left : FILE_BYTES_MAX;
    err = job_path_load(&isolate->life.handle, &request->op, &request->path, limit, done);
    if (err < 0)
        request_free(request);
    return library_result(lua, err);
}

static int list(lua_State *lua)
{
    struct request *request = NULL;
    int err = request_new(lua, push_listed, &request);
    if (err < 0)
        return library_result(lua, err);
    err = job_path_list(&request->isolate->life.handle, &request->op, &request->path, done);
    if (err < 0)
        request_free(request);
    return library_result(lua, err);
}

void file_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {{"load", load}, {"list", list}, {NULL, NULL}};
    luaL_setfuncs(lua, functions, 0);
}
