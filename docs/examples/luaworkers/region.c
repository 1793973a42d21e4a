/* region.c — job.region: 64-bit cells that isolates share, each access atomic.
 *
 *   region = job.region(cells)   region:load(i)   region:store(i, value)   #region
 *   region:add(i, value)   region:exchange(i, value)   region:cas(i, expected, value)
 *
 * Cells count from 1. Those that change a cell return what it held before.
 */
#include "luaworkers.h"

static const char type_name[] = "job.region";

static struct job_region *check(lua_State *lua)
{
    struct cells *cells = luaL_checkudata(lua, 1, type_name);
    luaL_argcheck(lua, cells->region, 1, "this region is closed");
    return cells->region;
}

static size_t cell(lua_State *lua, const struct job_region *region)
{
    lua_Integer index = luaL_checkinteger(lua, 2);
    size_t count = job_region_size(region) / sizeof(uint64_t);
    luaL_argcheck(lua, index >= 1 && (lua_Unsigned)index <= count, 2, "no such cell");
    return (size_t)(index - 1) * sizeof(uint64_t);
}

static int region_load(lua_State *lua)
{
    uint64_t value = 0;
    struct job_region *region = check(lua);
    (void)job_region_load64(region, cell(lua, region), &value);   /* the cell is there */
    lua_pushinteger(lua, (lua_Integer)value);
    return 1;
}

static int change(lua_State *lua, int (*how)(struct job_region *region, size_t at, uint64_t value, uint64_t *old))
{
    uint64_t old = 0;
    struct job_region *region = check(lua);
    size_t at = cell(lua, region);
    (void)how(region, at, (uint64_t)luaL_checkinteger(lua, 3), &old);   /* the cell is there */
    lua_pushinteger(lua, (lua_Integer)old);
    return 1;
}

static int region_add(lua_State *lua)
{
    return change(lua, job_region_add64);
}

static int region_exchange(lua_State *lua)
{
    return change(lua, job_region_exchange64);
}

static int region_store(lua_State *lua)
{
    (void)change(lua, job_region_exchange64);
    return 0;
}

static int region_cas(lua_State *lua)
{
    struct job_region *region = check(lua);
    size_t at = cell(lua, region);
    uint64_t held = (uint64_t)luaL_checkinteger(lua, 3);
    (void)job_region_compare_exchange64(region, at, &held, (uint64_t)luaL_checkinteger(lua, 4));   /* the cell is there */
    lua_pushinteger(lua, (lua_Integer)held);
    return 1;
}

static int region_len(lua_State *lua)
{
    lua_pushinteger(lua, (lua_Integer)(job_region_size(check(lua)) / sizeof(uint64_t)));
    return 1;
}

static int region_gc(lua_State *lua)
{
    struct cells *cells = luaL_checkudata(lua, 1, type_name);
    budget_discharge(isolate_of(lua), cells->charged);
    cells->charged = 0;
    job_region_release(&cells->region);
    return 0;
}

struct cells *cells_new(lua_State *lua)
{
    struct cells *cells = lua_newuserdatauv(lua, sizeof *cells, 0);
    *cells = (struct cells){0};
    luaL_setmetatable(lua, type_name);
    return cells;
}

/* At least a page, which is what a small one may lie in. */
static uint64_t cost(size_t size)
{
    enum { LEAST = 4096, HEAD = 256 };
    return size + HEAD < LEAST ? LEAST : size + HEAD;
}

/* Who shares a region pays for the whole of it, each. */
void cells_fill(lua_State *lua, struct cells *cells, struct job_region *region)
{
    cells->region = region;
    cells->charged = cost(job_region_size(region));
    isolate_of(lua)->used_bytes += cells->charged;
}

struct cells *cells_test(lua_State *lua, int index)
{
    struct cells *cells = luaL_testudata(lua, index, type_name);
    return cells && cells->region ? cells : NULL;
}

static int region_make(lua_State *lua)
{
    enum { CELLS_MAX = 1 << 20 };
    lua_Integer count = luaL_checkinteger(lua, 1);
    luaL_argcheck(lua, count >= 1 && count <= CELLS_MAX, 1, "from 1 to 2^20 cells");
    uint64_t size = (uint64_t)count * sizeof(uint64_t);
    struct cells *cells = cells_new(lua);
    budget_charge(lua, cost(size));
    cells->charged = cost(size);
    if (job_region_open(isolate_of(lua)->options.runtime, size, &cells->region) < 0)
        return luaL_error(lua, "not enough memory");
    return 1;
}

void region_open(lua_State *lua)
{
    static const luaL_Reg methods[] = {
        {"load", region_load}, {"store", region_store}, {"add", region_add}, {"exchange", region_exchange}, {"cas", region_cas},
        {NULL, NULL},
    };
    static const luaL_Reg events[] = {{"__len", region_len}, {"__gc", region_gc}, {NULL, NULL}};
    library_type(lua, type_name, events, methods);
    lua_pushcfunction(lua, region_make);
    lua_setfield(lua, -2, "region");
}
