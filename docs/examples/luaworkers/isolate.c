/* isolate.c — the life of an isolate: its start message, its script, callbacks into it, its end.
 *
 * Lua raises errors by longjmp(3), also for want of memory, so nothing of Lua is called outside of a protected call: isolate_call() is
 * the one way in. In there the script's function runs in a coroutine of its own, so that the budget can take it off its thread.
 *
 * The state lives until the last handle on the loop that may call into it is closed. If something on the loop never ends, neither does
 * the state: it is left behind with it.
 */
#include "luaworkers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TRACEBACK_BYTES = 1 << 16 };

struct isolate *isolate_of(lua_State *lua)
{
    return *(struct isolate **)lua_getextraspace(lua);   /* coroutines copy it */
}

static void fail(struct isolate *isolate, const char *text)
{
    if (!isolate->over)
        isolate->over = "failed";
    job_inside_fail(isolate->inside, -EBADMSG, text);
}

/* Where the script was when it ended, also when it did not end by an error. */
static int raise_with_traceback(lua_State *lua, lua_State *thread, const char *text)
{
    luaL_traceback(lua, thread, text, 0);
    return lua_error(lua);
}

/* The function and its arguments are on top of the stack. */
static int run(lua_State *lua, int arguments)
{
    struct isolate *isolate = isolate_of(lua);
    int results = 0;
    lua_State *thread = lua_newthread(lua);
    lua_insert(lua, 1);
    if (!lua_checkstack(thread, arguments + 1))
        return luaL_error(lua, "too many arguments");
    lua_xmove(lua, thread, arguments + 1);
    budget_begin(isolate, thread);
    int status = lua_resume(thread, lua, arguments, &results);
    if (status == LUA_OK)
        return 0;
    if (isolate->over && job_inside_is_stopping(isolate->inside))
        return 0;   /* it was stopped, or has said that it ends: no failure */
    isolate->options.memory_bytes += TRACEBACK_BYTES;   /* the last that it will take */
    if (status == LUA_YIELD)
        return raise_with_traceback(lua, thread, isolate->over ? isolate->over : "yield outside of a coroutine");
    lua_xmove(thread, lua, 1);
    return raise_with_traceback(lua, thread, luaL_tolstring(lua, -1, NULL));
}

struct call {
    int (*push)(lua_State *lua, void *what);
    void *what;
};

static int enter(lua_State *lua)
{
    const struct call *call = lua_touserdata(lua, 1);
    lua_settop(lua, 0);
    int arguments = call->push(lua, call->what);
    return arguments < 0 ? 0 : run(lua, arguments);
}

void isolate_call(struct isolate *isolate, int (*push)(lua_State *lua, void *what), void *what)
{
    struct call call = {push, what};
    lua_State *lua = isolate->lua;
    if (isolate->over || job_inside_is_stopping(isolate->inside))
        return;
    lua_pushcfunction(lua, enter);
    lua_pushlightuserdata(lua, &call);
    if (lua_pcall(lua, 1, 0, 0) != LUA_OK)
        fail(isolate, lua_type(lua, -1) == LUA_TSTRING ? lua_tostring(lua, -1) : "an error that is no text");
    lua_settop(lua, 0);
}

void isolate_release(struct isolate *isolate)
{
    if (--isolate->holders > 0)
        return;
    isolate->over = "closed";
    if (isolate->lua)
        lua_close(isolate->lua);
    free(isolate);
}

static void life_ended(struct job_handle *handle)
{
    isolate_release(job_container_of(handle, struct isolate, life.handle));
}

static int push_script(lua_State *lua, void *what)
{
    struct isolate *isolate = isolate_of(lua);
    const char *at = what;   /* the script's path and its arguments */
    library_open(lua);
    lua_createtable(lua, (int)isolate->options.argument_count, 0);
    for (uint32_t i = 0; i < isolate->options.argument_count; i++, at += strlen(at) + 1) {
        lua_pushstring(lua, at);
        lua_rawseti(lua, -2, (lua_Integer)i);
    }
    lua_setglobal(lua, "arg");
    if (luaL_loadfilex(lua, what, "t") != LUA_OK)   /* text alone: byte code could break the machine */
        (void)lua_error(lua);
    return 0;
}

void isolate_main(struct job_inside *inside, struct job_message *start)
{
    size_t len;
    const char *bytes = job_message_bytes(start, &len);
    struct isolate *isolate = calloc(1, sizeof *isolate);
    if (!isolate) {
        job_inside_fail(inside, -ENOMEM, "no memory for an isolate");
        return;
    }
    isolate->inside = inside;
    memcpy(&isolate->options, bytes, sizeof isolate->options);
    job_inside_set_data(inside, isolate);
    int err = job_scope_open(job_inside_loop(inside), &isolate->life);
    if (err < 0) {
        free(isolate);
        job_inside_fail(inside, err, "its loop is full");
        return;
    }
    isolate->holders = 1;
    job_handle_on_closed(&isolate->life.handle, life_ended);
    isolate->lua = lua_newstate(budget_allocate, isolate);
    if (!isolate->lua) {
        job_inside_fail(inside, -ENOMEM, "the memory limit does not even hold Lua");
        return;
    }
    *(struct isolate **)lua_getextraspace(isolate->lua) = isolate;
    isolate_call(isolate, push_script, (void *)(uintptr_t)(bytes + sizeof isolate->options));
}

int isolate_open(struct job_loop *loop, struct job_worker *worker, const struct isolate_options *options,
                 const char *arguments, size_t len, const struct job_worker_events *events)
{
    uint64_t queue_bytes = budget_of_queue(options->memory_bytes);
    char *start = malloc(sizeof *options + len);
    if (!start)
        return -ENOMEM;
    memcpy(start, options, sizeof *options);
    memcpy(start + sizeof *options, arguments, len);
    struct job_worker_options worker_options = {
        .name = options->name,
        .memory_limit_bytes = options->memory_bytes,
        .stop_timeout_ns = options->stop_timeout_ns,
        .start = {.bytes = start, .len = sizeof *options + len},
        .channel.bytes_max = queue_bytes > sizeof *options + len ? queue_bytes : sizeof *options + len,
    };
    int err = job_worker_open(loop, worker, isolate_main, &worker_options, events);
    free(start);
    return err;
}
