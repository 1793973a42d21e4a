/* budget.c — what a script may take: bytes, and instructions.
 *
 * The limit in bytes is for Lua's heap, the bufs and regions that the script holds, each with all the memory that it takes and not only
 * with its length, the requests for files that are under way, and the script's own workers: each with its limit, and with what may wait
 * between it and its parent. So the limit of the first isolate is that of the tree. What comes on top is what nobody holds: slots of bufs
 * that wait are larger than their bytes, up to the size of their maker's arena; and each worker has a thread and a loop.
 *
 * A hook looks in every STEPS_A_LOOK instructions whether the budget is used up, or somebody has asked the worker to stop. It ends the
 * script by a yield to the host, which never resumes it: a yield is no error, so no pcall of the script can swallow it. Where Lua cannot
 * yield, in a function that C has called such as the comparison of table.sort, it raises an error, at each instruction, until it is where
 * it can. A coroutine yields to whoever has resumed it, so coroutine.resume looks as well: else each of a long row could go on for a while.
 * What a hook cannot end is a function of Lua's own library, such as a pattern that backtracks: nobody waits for that without a bound
 * (`stuck` in job/worker.h).
 */
#include "luaworkers.h"

#include <stdlib.h>

enum { STEPS_A_LOOK = 1000 };

bool budget_look(lua_State *lua)
{
    struct isolate *isolate = isolate_of(lua);
    if (!isolate->over && job_inside_is_stopping(isolate->inside))
        isolate->over = "stopped";
    if (!isolate->over && isolate->steps_left < STEPS_A_LOOK)
        isolate->over = "the script has used up its instructions";
    if (!isolate->over)
        isolate->steps_left -= STEPS_A_LOOK;
    return !isolate->over;
}

static void hook(lua_State *lua, lua_Debug *debug)
{
    (void)debug;
    if (!budget_look(lua))
        (void)budget_stop(lua);
}

int budget_stop(lua_State *lua)
{
    lua_sethook(lua, hook, LUA_MASKCOUNT, 1);
    if (lua_isyieldable(lua))
        return lua_yield(lua, 0);   /* of a hook: takes place when that returns */
    return luaL_error(lua, "%s", isolate_of(lua)->over);
}

void budget_begin(struct isolate *isolate, lua_State *thread)
{
    isolate->steps_left = isolate->options.steps;
    lua_sethook(isolate->lua, hook, LUA_MASKCOUNT, STEPS_A_LOOK);
    lua_sethook(thread, hook, LUA_MASKCOUNT, STEPS_A_LOOK);   /* its coroutines inherit it */
}

uint64_t budget_left(const struct isolate *isolate)
{
    uint64_t limit = isolate->options.memory_bytes, used = isolate->used_bytes;
    return limit > used ? limit - used : 0;   /* what it was given may be more than it may take */
}

static bool has_room(const struct isolate *isolate, uint64_t bytes)
{
    return bytes <= budget_left(isolate);
}

void *budget_allocate(void *data, void *block, size_t old_size, size_t size)
{
    struct isolate *isolate = data;
    if (!block)
        old_size = 0;   /* Lua tells a kind there */
    if (size == 0) {
        free(block);
        isolate->used_bytes -= old_size;
        return NULL;
    }
    if (size > old_size && !has_room(isolate, size - old_size))
        return NULL;   /* Lua collects garbage and tries again; then it is an error of the script */
    void *moved = realloc(block, size);
    if (!moved)
        return size <= old_size ? block : NULL;
    isolate->used_bytes += size;
    isolate->used_bytes -= old_size;
    return moved;
}

bool budget_try(lua_State *lua, uint64_t bytes)
{
    struct isolate *isolate = isolate_of(lua);
    if (!has_room(isolate, bytes))
        (void)lua_gc(lua, LUA_GCCOLLECT);   /* garbage may hold bufs, of which Lua sees only the handles */
    if (!has_room(isolate, bytes))
        return false;
    isolate->used_bytes += bytes;
    return true;
}

void budget_charge(lua_State *lua, uint64_t bytes)
{
    if (!budget_try(lua, bytes))
        (void)luaL_error(lua, "not enough memory");
}

uint64_t budget_of_queue(uint64_t memory_bytes)
{
    enum { LEAST = 64 << 10, MOST = 16 << 20 };
    uint64_t part = memory_bytes / 8;
    return part < LEAST ? LEAST : part > MOST ? MOST : part;
}

uint64_t budget_of_worker(uint64_t memory_bytes)
{
    return memory_bytes + 2 * budget_of_queue(memory_bytes);
}

void budget_discharge(struct isolate *isolate, uint64_t bytes)
{
    isolate->used_bytes -= bytes;
}
