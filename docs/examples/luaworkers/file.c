/* file.c — job.load(path, function(buf, error) end): a whole file, which a thread of the runtime's reads while the script goes on.
 * job.list(path, function(names, error) end): a directory; names of directories end in "/", what is neither directory nor file is left out.
 *
 * Requests belong to the isolate's `life` handle: when the worker ends, those that have not begun are cancelled, and it waits for the
 * others.
 */
#include "luaworkers.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 30 };   /* what job_path_load() takes at most */

struct request {
    struct job_file_op op;
    struct job_path path;
    struct isolate *isolate;
    int callback;                /* in the registry */
    int status;
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

static void done(struct job_file_op *op, int status, struct job_buf **buf)
{
    struct request *request = op->data;
    request->status = status;
    request->buf = buf;
    isolate_call(request->isolate, push_result, request);
    luaL_unref(request->isolate->lua, LUA_REGISTRYINDEX, request->callback);
    free(request);
}

static struct request *request_new(lua_State *lua, int (*push)(lua_State *lua, struct request *request))
{
    size_t len;
    const char *name = luaL_checklstring(lua, 1, &len);
    luaL_checktype(lua, 2, LUA_TFUNCTION);
    lua_settop(lua, 2);
    int callback = luaL_ref(lua, LUA_REGISTRYINDEX);
    struct request *request = calloc(1, sizeof *request + len + 1);
    if (!request) {
        luaL_unref(lua, LUA_REGISTRYINDEX, callback);
        (void)luaL_error(lua, "not enough memory");
        return NULL;
    }
    memcpy(request->name, name, len);
    request->isolate = isolate_of(lua);
    request->callback = callback;
    request->push = push;
    request->path.name = request->name;
    request->op.data = request;
    return request;
}

static int begun(lua_State *lua, struct request *request, int err)
{
    if (err < 0) {
        luaL_unref(lua, LUA_REGISTRYINDEX, request->callback);
        free(request);
    }
    return library_result(lua, err);
}

static int load(lua_State *lua)
{
    struct request *request = request_new(lua, push_loaded);
    struct isolate *isolate = request->isolate;
    uint64_t left = budget_left(isolate), limit = left < FILE_BYTES_MAX ? left : FILE_BYTES_MAX;
    return begun(lua, request, job_path_load(&isolate->life.handle, &request->op, &request->path, limit, done));
}

static int list(lua_State *lua)
{
    struct request *request = request_new(lua, push_listed);
    return begun(lua, request, job_path_list(&request->isolate->life.handle, &request->op, &request->path, done));
}

void file_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {{"load", load}, {"list", list}, {NULL, NULL}};
    luaL_setfuncs(lua, functions, 0);
}
