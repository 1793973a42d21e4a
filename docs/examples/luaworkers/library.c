/* library.c — which of Lua's functions scripts have. What is not here could end the process, break the machine, or run where no hook
 * reaches:
 *
 *   os, io, debug, package     files and processes are the host's; print writes where the process writes
 *   load, dofile, string.dump  byte code is not checked by anybody
 *   __gc of scripts            finalizers run without hooks
 *   xpcall, coroutine.wrap, coroutine.close   run the script's code behind an error of a hook, and without hooks then
 */
#include "luaworkers.h"

/* As Lua's own, but for tables with finalizers. */
static int set_metatable(lua_State *lua)
{
    luaL_checktype(lua, 1, LUA_TTABLE);
    luaL_argexpected(lua, lua_isnil(lua, 2) || lua_istable(lua, 2), 2, "nil or table");
    if (luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL)
        return luaL_error(lua, "cannot change a protected metatable");
    lua_settop(lua, 2);
    if (lua_istable(lua, 2)) {
        lua_pushliteral(lua, "__gc");
        if (lua_rawget(lua, 2) != LUA_TNIL)
            return luaL_error(lua, "scripts have no finalizers");
        lua_settop(lua, 2);
    }
    lua_setmetatable(lua, 1);
    return 1;
}

/* Lua's own, which is the upvalue, between two looks. */
static int resume(lua_State *lua)
{
    if (!budget_look(lua))
        return budget_stop(lua);
    lua_pushvalue(lua, lua_upvalueindex(1));
    lua_insert(lua, 1);
    lua_call(lua, lua_gettop(lua) - 1, LUA_MULTRET);
    return isolate_of(lua)->over ? budget_stop(lua) : lua_gettop(lua);
}

static int warn(lua_State *lua)
{
    (void)fprintf(stderr, "%s: %s\n", isolate_of(lua)->options.name, luaL_checkstring(lua, 1));
    return 0;
}

static int id(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)job_inside_id(isolate_of(lua)->inside));
    return 1;
}

static int memory(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)isolate_of(lua)->used_bytes);
    lua_pushinteger(lua, (lua_Integer)isolate_of(lua)->options.memory_bytes);
    return 2;
}

/* The table is on top of the stack, and goes. */
static void remove_names(lua_State *lua, const char *const *names)
{
    for (; *names; names++) {
        lua_pushnil(lua);
        lua_setfield(lua, -2, *names);
    }
    lua_pop(lua, 1);
}

void library_open(lua_State *lua)
{
    static const luaL_Reg libraries[] = {
        {LUA_GNAME, luaopen_base},           {LUA_TABLIBNAME, luaopen_table}, {LUA_STRLIBNAME, luaopen_string},
        {LUA_MATHLIBNAME, luaopen_math},     {LUA_UTF8LIBNAME, luaopen_utf8}, {LUA_COLIBNAME, luaopen_coroutine},
        {NULL, NULL},
    };
    static const luaL_Reg job[] = {{"warn", warn}, {"id", id}, {"memory", memory}, {NULL, NULL}};
    for (const luaL_Reg *library = libraries; library->name; library++) {
        luaL_requiref(lua, library->name, library->func, 1);
        lua_pop(lua, 1);
    }
    lua_pushglobaltable(lua);
    remove_names(lua, (const char *const[]){"dofile", "loadfile", "load", "xpcall", "collectgarbage", "warn", NULL});
    lua_getglobal(lua, LUA_STRLIBNAME);
    remove_names(lua, (const char *const[]){"dump", NULL});
    lua_getglobal(lua, LUA_COLIBNAME);
    lua_getfield(lua, -1, "resume");
    lua_pushcclosure(lua, resume, 1);
    lua_setfield(lua, -2, "resume");
    remove_names(lua, (const char *const[]){"wrap", "close", NULL});
    lua_register(lua, "setmetatable", set_metatable);
    luaL_newlib(lua, job);
    bytes_open(lua);
    region_open(lua);
    post_open(lua);
    worker_open(lua);
    file_open(lua);
    lua_setglobal(lua, "job");
}

void library_type(lua_State *lua, const char *name, const luaL_Reg *events, const luaL_Reg *methods)
{
    luaL_newmetatable(lua, name);
    luaL_setfuncs(lua, events, 0);
    lua_newtable(lua);
    luaL_setfuncs(lua, methods, 0);
    lua_setfield(lua, -2, "__index");
    lua_pushboolean(lua, false);
    lua_setfield(lua, -2, "__metatable");   /* scripts cannot get at it */
    lua_pop(lua, 1);
}

int library_result(lua_State *lua, int err)
{
    if (err >= 0) {
        lua_pushboolean(lua, true);
        return 1;
    }
    lua_pushnil(lua);
    lua_pushstring(lua, job_strerror(err));
    return 2;
}
