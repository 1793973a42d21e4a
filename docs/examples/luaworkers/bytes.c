/* bytes.c — job.buf: bytes of the host's, which move between isolates without a copy.
 *
 *   buf = job.buf(text)    buf:text([first [, last]])    #buf    buf:free()
 *
 * A buf that was posted is gone here, as a transferred ArrayBuffer is: each use of it is an error. What an isolate holds counts with its
 * heap, so that a script cannot have more by keeping it in bufs, nor by keeping many small ones; what is given to it counts as well, but
 * is never refused.
 */
#include "luaworkers.h"

#include <errno.h>

static const char type_name[] = "job.buf";

static struct bytes *check(lua_State *lua, int index)
{
    struct bytes *bytes = luaL_checkudata(lua, index, type_name);
    luaL_argcheck(lua, bytes->buf, index, "this buf was given away");
    return bytes;
}

struct bytes *bytes_new(lua_State *lua)
{
    struct bytes *bytes = lua_newuserdatauv(lua, sizeof *bytes, 0);
    *bytes = (struct bytes){0};
    luaL_setmetatable(lua, type_name);
    return bytes;
}

/* With the room behind its bytes, which nobody else has. */
static uint64_t cost(const struct job_buf *buf)
{
    size_t room;
    (void)job_buf_room(buf, &room);
    return job_buf_len(buf) + room;
}

void bytes_fill(lua_State *lua, struct bytes *bytes, struct job_buf *buf)
{
    bytes->buf = buf;
    bytes->charged = cost(buf);
    isolate_of(lua)->used_bytes += bytes->charged;
}

struct bytes *bytes_test(lua_State *lua, int index)
{
    return luaL_testudata(lua, index, type_name) ? check(lua, index) : NULL;
}

void bytes_gone(lua_State *lua, struct bytes *bytes)
{
    budget_discharge(isolate_of(lua), bytes->charged);
    bytes->charged = 0;
}

/* The arena may be full of bufs that were posted, and wait. */
static int allocate(lua_State *lua, size_t len, struct job_buf **buf)
{
    struct job_arena *arena = job_inside_arena(isolate_of(lua)->inside);
    int err = job_buf_alloc(arena, len, NULL, buf);
    if (err != -ENOMEM)
        return err;
    (void)lua_gc(lua, LUA_GCCOLLECT);
    return job_buf_alloc(arena, len, NULL, buf);
}

static int bytes_make(lua_State *lua)
{
    size_t len;
    const char *text = luaL_checklstring(lua, 1, &len);
    struct bytes *bytes = bytes_new(lua);
    if (len > budget_left(isolate_of(lua)))
        (void)lua_gc(lua, LUA_GCCOLLECT);
    bool has_room = len <= budget_left(isolate_of(lua));
    if (!has_room || allocate(lua, len, &bytes->buf) < 0 || job_buf_write(bytes->buf, text, len) < 0)
        return luaL_error(lua, "not enough memory");   /* what was allocated goes with its handle */
    budget_charge(lua, cost(bytes->buf));
    bytes->charged = cost(bytes->buf);
    return 1;
}

/* Positions as those of string.sub. */
static size_t position(lua_Integer at, size_t len, size_t least)
{
    if (at < 0)
        at = 0 - (size_t)at > len ? 0 : (lua_Integer)len + at + 1;
    return (size_t)at < least ? least : (size_t)at > len ? len + 1 : (size_t)at;
}

static int bytes_text(lua_State *lua)
{
    struct bytes *bytes = check(lua, 1);
    size_t len = job_buf_len(bytes->buf);
    size_t first = position(luaL_optinteger(lua, 2, 1), len, 1);
    size_t last = position(luaL_optinteger(lua, 3, -1), len, 0);
    size_t count = last > len ? len + 1 - first : last + 1 > first ? last + 1 - first : 0;
    luaL_Buffer buffer;
    char *room = luaL_buffinitsize(lua, &buffer, count);
    (void)job_buf_read(bytes->buf, first - 1, room, count);
    luaL_pushresultsize(&buffer, count);
    return 1;
}

static int bytes_len(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)job_buf_len(check(lua, 1)->buf));
    return 1;
}

/* Also when it is collected, and when it is gone already. */
static int bytes_free(lua_State *lua)
{
    struct bytes *bytes = luaL_checkudata(lua, 1, type_name);
    bytes_gone(lua, bytes);
    job_buf_free(&bytes->buf);
    return 0;
}

void bytes_open(lua_State *lua)
{
    static const luaL_Reg methods[] = {{"text", bytes_text}, {"free", bytes_free}, {NULL, NULL}};
    static const luaL_Reg events[] = {{"__len", bytes_len}, {"__gc", bytes_free}, {NULL, NULL}};
    library_type(lua, type_name, events, methods);
    lua_pushcfunction(lua, bytes_make);
    lua_setfield(lua, -2, "buf");
}
