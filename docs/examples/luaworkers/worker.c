/* worker.c — job.worker: isolates of an isolate.
 *
 *   worker = job.worker{script = "count.lua", name = "count", memory = 16 << 20, steps = 1e9, arg = {…},
 *                       on_message = function(worker, text, …) end, on_writable = …, on_error = function(worker, text) end,
 *                       on_exit = function(worker, code) end}
 *   worker:post(text, …)   worker:stop()   worker:id()
 *
 * An error of a worker that nobody listens to is one of its parent. The memory that a worker may take, and a quarter of it for messages
 * that wait, counts with its parent as long as it lives: the limit of the command line is that of the whole tree. What it may take of time
 * does not: each has a thread.
 */
#include "luaworkers.h"

#include <stdlib.h>
#include <string.h>

static const char type_name[] = "job.worker";

/* Lives as long as the worker, and as long as the script has its handle. */
struct child {
    struct job_worker worker;
    struct isolate *isolate;
    unsigned owners;
    int callbacks;               /* in the registry, as long as the worker lives */
    uint64_t memory_bytes;
};

static struct child *child_of(struct job_worker *worker)
{
    return job_container_of(worker, struct child, worker);
}

static struct child *check(lua_State *lua)
{
    return *(struct child **)luaL_checkudata(lua, 1, type_name);
}

static void child_release(struct child *child)
{
    if (--child->owners == 0)
        free(child);
}

struct event {
    struct child *child;
    const char *callback;
    struct job_message *message;
    const char *text;
    int code;
};

static int push_event(lua_State *lua, void *what)
{
    struct event *event = what;
    lua_rawgeti(lua, LUA_REGISTRYINDEX, event->child->callbacks);
    if (lua_getfield(lua, -1, event->callback) != LUA_TFUNCTION)
        return event->text ? luaL_error(lua, "%s", event->text) : -1;
    lua_rawgeti(lua, 1, 1);   /* the worker's handle */
    if (event->message)
        return 1 + message_push(lua, event->message);
    if (event->text)
        lua_pushstring(lua, event->text);
    else
        lua_pushinteger(lua, event->code);
    return 2;
}

static void on_message(struct job_worker *worker, struct job_message *message)
{
    struct child *child = child_of(worker);
    isolate_call(child->isolate, push_event, &(struct event){.child = child, .callback = "on_message", .message = message});
}

static void on_writable(struct job_worker *worker)
{
    struct child *child = child_of(worker);
    isolate_call(child->isolate, push_event, &(struct event){.child = child, .callback = "on_writable"});
}

static void on_error(struct job_worker *worker, int err, const char *text)
{
    struct child *child = child_of(worker);
    (void)err;
    isolate_call(child->isolate, push_event, &(struct event){.child = child, .callback = "on_error", .text = text});
}

static void on_exit_code(struct job_worker *worker, int code)
{
    struct child *child = child_of(worker);
    isolate_call(child->isolate, push_event, &(struct event){.child = child, .callback = "on_exit", .code = code});
}

/* Also when it has left something behind: that is the library's to report, and nothing of ours is in it. */
static void on_closed(struct job_worker *worker)
{
    struct child *child = child_of(worker);
    struct isolate *isolate = child->isolate;
    budget_discharge(isolate, child->memory_bytes);
    child->memory_bytes = 0;
    luaL_unref(isolate->lua, LUA_REGISTRYINDEX, child->callbacks);
    child_release(child);
    isolate_release(isolate);
}

static void on_left(struct job_worker *worker, const struct job_hung *first, unsigned count)
{
    (void)first, (void)count;
    on_closed(worker);
}

static const struct job_worker_events events = {
    .message = on_message, .writable = on_writable, .error = on_error,
    .exit = on_exit_code,  .closed = on_closed,     .left = on_left,
};

static lua_Integer integer_field(lua_State *lua, const char *name, lua_Integer least, lua_Integer otherwise)
{
    int is_integer;
    if (lua_getfield(lua, 1, name) == LUA_TNIL) {
        lua_pop(lua, 1);
        return otherwise;
    }
    lua_Integer value = lua_tointegerx(lua, -1, &is_integer);
    lua_pop(lua, 1);
    if (!is_integer || value < least)
        return luaL_error(lua, "%s: a number of at least %I", name, least);
    return value;
}

/* Pushes the script's path and its arguments, each with its 0, and says how many. */
static uint32_t push_arguments(lua_State *lua)
{
    luaL_Buffer buffer;
    uint32_t count = 1;
    lua_getfield(lua, 1, "script");
    lua_getfield(lua, 1, "arg");
    if (lua_type(lua, 2) != LUA_TSTRING)
        return (uint32_t)luaL_error(lua, "script: a path");
    luaL_buffinit(lua, &buffer);
    luaL_addlstring(&buffer, lua_tostring(lua, 2), strlen(lua_tostring(lua, 2)) + 1);
    for (; lua_istable(lua, 3) && lua_rawgeti(lua, 3, (lua_Integer)count) == LUA_TSTRING && count < 1000; count++) {
        luaL_addvalue(&buffer);
        luaL_addchar(&buffer, '\0');
    }
    if (lua_istable(lua, 3))
        lua_pop(lua, 1);
    luaL_pushresult(&buffer);
    return count;
}

static struct child *child_new(lua_State *lua, uint64_t memory_bytes)
{
    struct child **pointer = lua_newuserdatauv(lua, sizeof *pointer, 0);
    *pointer = NULL;
    luaL_setmetatable(lua, type_name);
    budget_charge(lua, memory_bytes);
    struct child *child = *pointer = calloc(1, sizeof *child);
    if (!child) {
        budget_discharge(isolate_of(lua), memory_bytes);
        (void)luaL_error(lua, "not enough memory");
        return NULL;
    }
    child->isolate = isolate_of(lua);
    child->owners = 1;
    child->memory_bytes = memory_bytes;
    return child;
}

/* Stack: 1 the options, which become the callbacks; 2 script, 3 arg, 4 arguments, 5 the handle. */
static int make(lua_State *lua)
{
    struct isolate *isolate = isolate_of(lua);
    struct isolate_options options = isolate->options;
    luaL_checktype(lua, 1, LUA_TTABLE);
    lua_settop(lua, 1);
    lua_getfield(lua, 1, "name");
    (void)snprintf(options.name, sizeof options.name, "%s", luaL_optstring(lua, 2, "isolate"));
    lua_pop(lua, 1);
    options.memory_bytes = (uint64_t)integer_field(lua, "memory", 1 << 20, 16 << 20);
    options.steps = (uint64_t)integer_field(lua, "steps", 1, (lua_Integer)options.steps);
    options.argument_count = push_arguments(lua);
    size_t len;
    const char *arguments = lua_tolstring(lua, 4, &len);
    struct child *child = child_new(lua, budget_of_worker(options.memory_bytes));
    lua_pushvalue(lua, 5);
    lua_rawseti(lua, 1, 1);
    lua_pushvalue(lua, 1);
    child->callbacks = luaL_ref(lua, LUA_REGISTRYINDEX);
    int err = isolate_open(job_inside_loop(isolate->inside), &child->worker, &options, arguments, len, &events);
    if (err < 0) {
        luaL_unref(lua, LUA_REGISTRYINDEX, child->callbacks);
        budget_discharge(isolate, child->memory_bytes);
        child->memory_bytes = 0;
        return library_result(lua, err);
    }
    child->owners++;
    isolate->holders++;
    return 1;   /* the handle, which is on top */
}

static int post(lua_State *lua)
{
    struct outgoing outgoing;
    struct child *child = check(lua);
    outgoing_read(lua, 2, &outgoing);
    return outgoing_result(lua, &outgoing, job_worker_post(&child->worker, &outgoing.post));
}

static int stop(lua_State *lua)
{
    return library_result(lua, job_worker_stop(&check(lua)->worker));
}

static int id(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)job_worker_id(&check(lua)->worker));
    return 1;
}

static int collected(lua_State *lua)
{
    struct child *child = check(lua);
    if (!child)
        return 0;
    if (child->owners == 1)   /* closed, and it is 0; or never opened, since Lua had no memory half-way */
        budget_discharge(isolate_of(lua), child->memory_bytes);
    child_release(child);
    return 0;
}

void worker_open(lua_State *lua)
{
    static const luaL_Reg methods[] = {{"post", post}, {"stop", stop}, {"id", id}, {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__gc", collected}, {NULL, NULL}};
    library_type(lua, type_name, meta, methods);
    lua_pushcfunction(lua, make);
    lua_setfield(lua, -2, "worker");
}
