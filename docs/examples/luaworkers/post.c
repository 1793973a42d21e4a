/* post.c — messages between a script and its parent: job.post, job.on_message, job.on_writable, job.exit.
 *
 * A message is a text and up to 16 bufs, which move, and regions, which are shared. job.post says true; or nil and why not: then nothing
 * has moved, and if the queue was full, on_writable is called once there is room.
 */
#include "luaworkers.h"

#include <errno.h>

void outgoing_read(lua_State *lua, int first, struct outgoing *outgoing)
{
    size_t len;
    int count = lua_gettop(lua) - first;
    *outgoing = (struct outgoing){0};
    const char *text = luaL_checklstring(lua, first, &len);
    luaL_argcheck(lua, count <= POST_ITEMS_MAX, first, "at most 16 bufs and regions");
    for (int i = 0; i < count; i++) {
        struct job_item *item = &outgoing->items[i];
        struct bytes *bytes = outgoing->bytes[i] = bytes_test(lua, first + 1 + i);
        struct cells *cells = cells_test(lua, first + 1 + i);
        if (bytes)
            *item = (struct job_item){.kind = JOB_ITEM_BUF, .buf = &bytes->buf};
        else if (cells)
            *item = (struct job_item){.kind = JOB_ITEM_REGION, .region = cells->region};
        else
            (void)luaL_typeerror(lua, first + 1 + i, "buf or region");
    }
    outgoing->post = (struct job_post){text, len, outgoing->items, (unsigned)count};
}

int outgoing_result(lua_State *lua, struct outgoing *outgoing, int err)
{
    if (err == -EINVAL)
        return luaL_error(lua, "a buf stands twice in the message");
    for (unsigned i = 0; err == 0 && i < outgoing->post.count; i++) {
        if (outgoing->bytes[i])
            bytes_gone(lua, outgoing->bytes[i]);
    }
    return library_result(lua, err);
}

int message_push(lua_State *lua, struct job_message *message)
{
    size_t len;
    const char *text = job_message_bytes(message, &len);
    unsigned count = job_message_count(message);
    luaL_checkstack(lua, (int)count + 4, "too many items");
    lua_pushlstring(lua, text, len);
    for (unsigned i = 0; i < count; i++) {
        if (job_message_kind(message, i) == JOB_ITEM_BUF) {
            struct bytes *bytes = bytes_new(lua);
            bytes_fill(lua, bytes, job_message_take_buf(message, i));
        } else if (job_message_kind(message, i) == JOB_ITEM_REGION) {
            struct cells *cells = cells_new(lua);
            cells_fill(lua, cells, job_message_take_region(message, i));
        } else {
            lua_pushnil(lua);   /* a host may send more than scripts can use */
        }
    }
    return (int)count + 1;
}

static int push_message(lua_State *lua, void *message)
{
    if (lua_getfield(lua, LUA_REGISTRYINDEX, "on_message") != LUA_TFUNCTION)
        return -1;
    return message_push(lua, message);
}

static int push_writable(lua_State *lua, void *what)
{
    (void)what;
    return lua_getfield(lua, LUA_REGISTRYINDEX, "on_writable") == LUA_TFUNCTION ? 0 : -1;
}

static void on_message(struct job_inside *inside, struct job_message *message)
{
    isolate_call(job_inside_data(inside), push_message, message);
}

static void on_writable(struct job_inside *inside)
{
    isolate_call(job_inside_data(inside), push_writable, NULL);
}

static int post(lua_State *lua)
{
    struct outgoing outgoing;
    outgoing_read(lua, 1, &outgoing);
    return outgoing_result(lua, &outgoing, job_inside_post(isolate_of(lua)->inside, &outgoing.post));
}

static void set_callback(lua_State *lua, const char *name)
{
    luaL_argexpected(lua, lua_isfunction(lua, 1) || lua_isnil(lua, 1), 1, "function or nil");
    lua_settop(lua, 1);
    lua_setfield(lua, LUA_REGISTRYINDEX, name);
}

/* An isolate that listens lives on; with nil it ends when it has nothing else to do. */
static int set_on_message(lua_State *lua)
{
    static const struct job_inside_events events = {.message = on_message, .writable = on_writable};
    bool listens = lua_isfunction(lua, 1);
    set_callback(lua, "on_message");
    return library_result(lua, job_inside_listen(isolate_of(lua)->inside, listens ? &events : NULL));
}

static int set_on_writable(lua_State *lua)
{
    set_callback(lua, "on_writable");
    return 0;
}

/* What stands behind it in the script does not run. */
static int end(lua_State *lua)
{
    struct isolate *isolate = isolate_of(lua);
    job_inside_exit(isolate->inside, (int)luaL_optinteger(lua, 1, 0));
    isolate->over = "ended";
    return budget_stop(lua);
}

void post_open(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"post", post}, {"on_message", set_on_message}, {"on_writable", set_on_writable}, {"exit", end}, {NULL, NULL}};
    luaL_setfuncs(lua, functions, 0);
}
