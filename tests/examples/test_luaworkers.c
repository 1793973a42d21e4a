/* test_luaworkers.c — luaworkers on a real tree beside grep, sort and uniq; and scripts that want to do harm: each ends with an error
 * that says where, or is reported stuck, and none reaches another isolate.
 */
#include "support/fixture.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { OUTPUT_MAX = 1 << 20 };

static char directory[64];
static char output[OUTPUT_MAX];   /* of the last run: stdout and stderr */
static long rss_kib;
static const char *stop_timeout_ms = "60000";   /* no busy machine takes so long to stop what can be stopped */

static void setup(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/test_luaworkers.%*s", 6, "");
    memset(strchr(directory, ' '), 'X', 6);   /* what mkdtemp(3) wants */
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static void teardown(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", directory);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(system(command), 0);
}

static void script(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* Standard error goes to a file of that name; NULL: where standard output goes. */
static pid_t start_with(const char *errors, int *out)
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        dup2(fds[1], 1);
        dup2(errors ? open(errors, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        execl(LUAWORKERS, "luaworkers", "--memory", "48", "--steps", "10", "--stop-timeout", stop_timeout_ms, "main.lua", "one", NULL);
        _exit(127);
    }
    close(fds[1]);
    *out = fds[0];
    return pid;
}

static pid_t start(int *out)
{
    return start_with(NULL, out);
}

/* Reads until `text` has come (NULL: to the end). */
static void read_until(int out, size_t *len, const char *text)
{
    for (;;) {
        output[*len] = '\0';
        if (text && strstr(output, text))
            return;
        ssize_t n = read(out, output + *len, OUTPUT_MAX - 1 - *len);
        ck_assert_int_ge(n, 0);
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    ck_assert_msg(!text, "%s does not come: %s", text ? text : "", output);
}

static int finish(pid_t pid, int out, size_t len)
{
    int status = 0;
    struct rusage usage;
    read_until(out, &len, NULL);
    close(out);
    ck_assert_int_eq(wait4(pid, &status, 0, &usage), pid);
    rss_kib = usage.ru_maxrss;
    ck_assert_msg(WIFEXITED(status), "status %x: %s", (unsigned)status, output);
    return WEXITSTATUS(status);
}

static int run(const char *text)
{
    int out;
    script("main.lua", text);
    pid_t pid = start(&out);
    return finish(pid, out, 0);
}

static void must_say(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "\"%s\" is not in: %s", text, output);
}

static void must_fail(const char *text, const char *error, const char *where)
{
    ck_assert_msg(run(text) == 1, "%s: %s", text, output);
    must_say(error);
    if (where) {
        must_say("stack traceback:");
        must_say(where);
    }
}

/* A tree that every machine with a compiler has. */
static const char *tree(void)
{
    return access("/usr/include/linux", R_OK) == 0 ? "/usr/include/linux" : "/usr/include";
}

static int shell(const char *format, const char *a, const char *b)
{
    char command[1024];
    (void)snprintf(command, sizeof command, format, a, b);
    return system(command);
}

START_TEST(words_of_a_real_tree_are_those_that_grep_and_uniq_count)
{
    setenv("LC_ALL", "C", 1);
    ck_assert_int_eq(shell("grep -rohaE '[a-zA-Z]+' %s | tr A-Z a-z | sort | uniq -c | awk '{ print $1, $2 }' >%s", tree(), "want"), 0);
    ck_assert_int_eq(shell(LUAWORKERS " " WORDS " %s 1 >%s", tree(), "one"), 0);
    ck_assert_int_eq(shell(LUAWORKERS " " WORDS " %s 3 >%s", tree(), "three"), 0);
    ck_assert_int_eq(shell("cmp %s %s", "one", "want"), 0);
    ck_assert_int_eq(shell("cmp %s %s", "three", "want"), 0);
    ck_assert_int_eq(shell("[ $(wc -l <%s) -gt 1000 ]%s", "want", ""), 0);
}
END_TEST

START_TEST(a_directory_that_is_not_there_is_said_and_is_an_exit_code)
{
    ck_assert_int_ne(shell(LUAWORKERS " " WORDS " %s 2>%s", "/nonexistent", "said"), 0);
    ck_assert_int_eq(shell("grep -q '/nonexistent: No such file' %s%s", "said", ""), 0);
}
END_TEST

START_TEST(a_loop_without_an_end_uses_up_its_instructions)
{
    must_fail("while true do end", "used up its instructions", "main.lua:1");
    must_fail("local function f() return f() end f()", "used up its instructions", "main.lua:1");
}
END_TEST

START_TEST(no_pcall_swallows_the_end)
{
    static const char *const scripts[] = {
        "while true do pcall(function() while true do end end) end",
        "while true do pcall(table.sort, {1, 2, 3}, function() while true do pcall(function() while true do end end) end end) end",
        "local function f() while true do pcall(coroutine.resume, coroutine.create(f)) end end f()",
        "while true do coroutine.resume(coroutine.create(function() for i = 1, 900 do end end)) end",
        "local x <close> = setmetatable({}, {__close = function() while true do end end}) while true do end",
        "string.gsub('aaaa', 'a', function() while true do pcall(error) end end)",
        "local t = setmetatable({}, {__index = function() while true do end end}) while true do pcall(function() return t.x end) end",
        "error(setmetatable({}, {__tostring = function() while true do end end}))",
    };
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
        must_fail(scripts[i], "used up its instructions", NULL);
}
END_TEST

START_TEST(memory_without_an_end_is_an_error_that_says_where)
{
    must_fail("local t = {} while true do t[#t + 1] = {} end", "not enough memory", "main.lua:1");
    must_fail("local s = 'x' while true do s = s .. s end", "not enough memory", "main.lua:1");
    must_fail("print(#string.rep('x', 1 << 29))", "not enough memory", "main.lua:1");
    must_fail("string.rep('x', 1 << 62)", "too large", "main.lua:1");
    must_fail("string.rep('abc', 1 << 20, ('y'):rep(1000))", "not enough memory", "main.lua:1");
    must_fail("local t = {} while true do t[#t + 1] = job.buf(('x'):rep(100000)) end", "not enough memory", "main.lua:1");
    must_fail("local t = {} while true do t[#t + 1] = job.buf('x') end", "not enough memory", "main.lua:1");
    must_fail("local t = {} while true do t[#t + 1] = job.region(1 << 17) end", "not enough memory", "main.lua:1");
    must_fail("local function f(n) return 1 + f(n + 1) end f(1)", "", "main.lua:1");   /* stack or memory, whichever is first */
    ck_assert_int_eq(run("for i = 1, 600 do job.buf(('x'):rep(100000)) job.region(1 << 14) end print('through')"), 0);   /* garbage goes */
    must_say("through");
}
END_TEST

/* The limit is 48 MiB; a sanitizer has memory of its own. */
static void must_be_small(const char *text)
{
    (void)run(text);
    if (FIXTURE_SLOWER > 1)
        fprintf(stderr, "not tested: how much memory it takes without the sanitizer's\n");
    else
        ck_assert_msg(rss_kib < 80 << 10, "%ld KiB: %s: %s", rss_kib, text, output);
}

START_TEST(what_is_under_way_or_waits_counts_as_well)
{
    script("deaf.lua", "job.post('begins') while true do end");
    must_be_small("local path, n, why = ('x/'):rep(2000), 0\n"
                  "for i = 1, 50000 do\n"
                  "    local ok, err = job.load(path .. i, function() end)\n"
                  "    if ok then n = n + 1 else why = err end\n"
                  "end\n"
                  "print('under way', n, why)");
    must_say("under way\t256\tno room now");
    must_be_small("local path, why = ('x'):rep(1 << 22)\n"
                  "for i = 1, 100 do assert(not job.load(path, print)) _, why = job.list(path, print) end\n"
                  "print(why)");
    must_say("File name too long");
    must_be_small("local n = 0\n"
                  "local function fill(worker)\n"   /* the queue is empty now: what told it to start was taken */
                  "    for i = 1, 40 do\n"
                  "        local region = job.region(1 << 19)\n"
                  "        for at = 1, 1 << 19, 512 do region:store(at, 1) end\n"
                  "        if worker:post('', region) then n = n + 1 end\n"
                  "        region = nil\n"
                  "        for i = 1, 20000 do local garbage = {} end\n"
                  "    end\n"
                  "    print('waiting', n) job.exit(0)\n"
                  "end\n"
                  "job.worker{script = 'deaf.lua', memory = 8 << 20, steps = 1 << 60, on_message = fill, on_error = function() end}");
    must_say("waiting\t1");   /* it is larger than the queue */
}
END_TEST

START_TEST(small_things_count_with_the_memory_that_they_take)
{
    static const char fill[] = "local text = {} pcall(function() while true do text[#text + 1] = ('x'):rep(100000) .. #text end end)";
    char both[512];
    must_be_small("local t = {} while true do local r = job.region(1) r:store(1, 1) t[#t + 1] = r end");
    must_say("not enough memory");
    (void)snprintf(both, sizeof both, "local t = {} pcall(function() while true do t[#t + 1] = job.buf('x') end end) t[#t] = nil %s", fill);
    must_be_small(both);
}
END_TEST

START_TEST(workers_count_with_their_parent)
{
    script("sleeps.lua", "job.on_message(print)");
    script("ends.lua", "");
    must_fail("while true do assert(job.worker{script = 'sleeps.lua', memory = 1 << 20}) end", "not enough memory", "main.lua:1");
    ck_assert_int_eq(run("local n = 0\n"
                         "local function again()\n"
                         "    n = n + 1\n"
                         "    if n < 50 then\n"
                         "        assert(job.worker{script = 'ends.lua', memory = 18 << 20, on_exit = again, on_error = print}) end\n"
                         "end\n"
                         "again()"),
                     0);   /* what one took is there again when the next begins */
}
END_TEST

START_TEST(an_isolate_that_fails_reaches_no_other)
{
    script("hog.lua", "local t = {} while true do t[#t + 1] = {} end");
    script("bad.lua", "job.on_message(function(text) local function inner() error('no ' .. text) end inner() end)");
    script("good.lua", "job.on_message(function(text) job.post(text .. text) end)");
    ck_assert_int_eq(run("local good\n"
                         "local function on_exit(worker, code) print('exit', code) assert(good:post('ab')) end\n"
                         "local function on_error(worker, text) print('error', text) end\n"
                         "good = job.worker{script = 'good.lua', on_message = function(worker, text)\n"
                         "    print('good', text) n = (n or 0) + 1 if n == 2 then worker:stop() end end}\n"
                         "job.worker{script = 'hog.lua', memory = 4 << 20, on_exit = on_exit, on_error = on_error}\n"
                         "local bad = job.worker{script = 'bad.lua', on_exit = on_exit, on_error = on_error}\n"
                         "assert(bad:post('sense'))"),
                     0);
    must_say("error\tnot enough memory");
    must_say("error\tbad.lua:1: no sense");
    must_say("bad.lua:1: in local 'inner'");
    must_say("exit\t1");
    must_say("good\tabab");
}
END_TEST

START_TEST(a_failure_that_nobody_listens_to_is_the_parents)
{
    script("bad.lua", "error('nobody hears this')");
    must_fail("job.worker{script = 'bad.lua'} job.on_message(print)", "nobody hears this", "bad.lua:1: in main chunk");
    must_fail("job.worker{script = 'not-there.lua'}", "cannot open not-there.lua", NULL);
    must_fail("x = = 1", "unexpected symbol", NULL);
    must_fail("coroutine.yield()", "yield outside", "main.lua:1");
    must_fail("error({})", "table:", "main.lua:1");
    script("callback.lua", "job.on_message(function(text, buf) error('in a callback: ' .. buf:text()) end)");
    must_fail("assert(job.worker{script = 'callback.lua'}:post('', job.buf('twice')))", "in a callback: twice", "callback.lua:1");
}
END_TEST

START_TEST(what_cannot_be_sent_is_an_error_and_moves_nothing)
{
    ck_assert_int_eq(run("local b, gone = job.buf('hello'), job.buf('x')\n"
                         "local function refused(...) local ok, why = pcall(...) assert(not ok) print(why) end\n"
                         "gone:free()\n"
                         "refused(job.post, {}) refused(job.post) refused(job.post, 'x', b, 1) refused(job.post, 'x', b, gone)\n"
                         "refused(job.post, 'x', b, b) refused(job.post, 'x', b, setmetatable({}, {})) refused(job.post, 'x', io)\n"
                         "refused(gone.text, gone) refused(b.text, {}) refused(setmetatable, {}, {__gc = print})\n"
                         "refused(setmetatable, b, {}) refused(job.worker) refused(job.worker, {}) refused(job.worker, {script = 1})\n"
                         "refused(job.worker, {script = 'x', memory = 1}) refused(job.region, 0) refused(job.region(1).load, b, 1)\n"
                         "refused(job.on_message, 1) refused(job.load, 'x') refused(job.exit, 'x')\n"
                         "local r = job.region(2)\n"
                         "refused(r.load, r, 3) refused(r.load, r, 0) refused(r.store, r, -1, 1)\n"
                         "assert(b:text() == 'hello' and #b == 5 and b:text(2, 3) == 'el' and b:text(-2) == 'lo' and b:text(9) == '')\n"
                         "assert(b:text(-99, 99) == 'hello' and b:text(3, 1) == '' and b:text(0, 0) == '')\n"
                         "assert(r:add(1, 5) == 0 and r:cas(1, 5, 9) == 5 and r:exchange(1, 3) == 9 and r:load(1) == 3 and #r == 2)\n"
                         "for _, name in ipairs{'io', 'os', 'debug', 'package', 'require', 'load', 'dofile', 'xpcall'} do\n"
                         "    assert(_G[name] == nil) end\n"
                         "assert(arg[0] == 'main.lua' and arg[1] == 'one' and arg[2] == nil)\n"
                         "job.load('/nonexistent', function(buf, why) assert(buf == nil) print(why) job.exit(7) print('not reached') end)"),
                     7);
    must_say("No such file");
    ck_assert_ptr_null(strstr(output, "not reached"));
}
END_TEST

START_TEST(bufs_move_and_regions_are_shared)
{
    script("adds.lua", "job.on_message(function(_, buf, region)\n"
                       "    for i = 1, 1000 do region:add(1, #buf) end\n"
                       "    assert(job.post('', buf)) job.on_message(nil) end)");
    ck_assert_int_eq(run("local r, n = job.region(1), 0\n"
                         "for i = 1, 4 do\n"
                         "    local b = job.buf('1234567')\n"
                         "    local w = job.worker{script = 'adds.lua', memory = 2 << 20, on_message = function(_, _, back)\n"
                         "        assert(back:text() == '1234567') n = n + 1 if n == 4 then print('sum', r:load(1)) end end}\n"
                         "    assert(w:post('', b, r)) assert(not pcall(b.text, b))\n"
                         "end"),
                     0);
    must_say("sum\t28000");
}
END_TEST

START_TEST(a_full_queue_refuses_and_then_tells_of_room)
{
    script("slow.lua", "job.on_message(function(text) for i = 1, 20000 do end\n"   /* longer than a post takes */
                       "    if text == 'last' then job.post('') job.on_message(nil) end end)");
    ck_assert_int_eq(run("local refused = 0\n"
                         "local w\n"
                         "local function fill() while refused == 0 do\n"
                         "    local ok, why = w:post('x') if not ok then refused = refused + 1 end end end\n"
                         "w = job.worker{script = 'slow.lua', on_writable = function() assert(w:post('last')) end,\n"
                         "    on_message = function() print('refused', refused) end}\n"
                         "fill()"),
                     0);
    must_say("refused\t1");
}
END_TEST

START_TEST(a_runaway_script_is_stopped_by_its_parent_and_by_a_signal)
{
    int out;
    size_t len = 0;
    script("runs.lua", "job.post('runs') while true do pcall(function() while true do end end) end");
    ck_assert_int_eq(run("job.worker{script = 'runs.lua', steps = 1 << 60, on_message = function(w) w:stop() end,\n"
                         "    on_exit = function(_, code) print('exit', code) end, on_error = function() print('error') end}"),
                     0);
    must_say("exit\t1");
    ck_assert_ptr_null(strstr(output, "error"));
    script("main.lua", "job.worker{script = 'runs.lua', steps = 1 << 60, on_message = print}");
    pid_t pid = start(&out);
    read_until(out, &len, "runs");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(finish(pid, out, len), 1);
    ck_assert_ptr_null(strstr(output, "stuck"));
}
END_TEST

START_TEST(what_no_hook_can_stop_is_reported_stuck_and_waited_for_within_bounds)
{
    int out;
    size_t len = 0;
    stop_timeout_ms = "100";
    script("main.lua", "print('begins') table.move({}, 1, 1 << 60, 2)");
    pid_t pid = start(&out);
    read_until(out, &len, "begins");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(finish(pid, out, len), 3);
    must_say("worker main is stuck");
}
END_TEST

/* The script's thread sleeps in the kernel, with the lock of standard output, which exit(3) would wait for. */
START_TEST(it_ends_though_nobody_reads_what_it_prints)
{
    int out, status, waiting = 0, capacity;
#ifdef __SANITIZE_THREAD__
    fprintf(stderr, "not tested: this sanitizer's _exit(2) waits for the lock of standard output\n");
    return;
#endif
    stop_timeout_ms = "100";
    script("main.lua", "while true do print(('x'):rep(1000)) end");
    pid_t pid = start_with("errors", &out);
    capacity = fcntl(out, F_GETPIPE_SZ);
    while (waiting < capacity - 4096)   /* a line is no more than that */
        ck_assert_int_eq(ioctl(out, FIONREAD, &waiting), 0);

    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);

    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    ck_assert_int_eq(system("grep -q 'is stuck' errors"), 0);
    close(out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("luaworkers");
    TCase *tcase = tcase_create("luaworkers");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, words_of_a_real_tree_are_those_that_grep_and_uniq_count);
    tcase_add_test(tcase, a_directory_that_is_not_there_is_said_and_is_an_exit_code);
    tcase_add_test(tcase, a_loop_without_an_end_uses_up_its_instructions);
    tcase_add_test(tcase, no_pcall_swallows_the_end);
    tcase_add_test(tcase, memory_without_an_end_is_an_error_that_says_where);
    tcase_add_test(tcase, what_is_under_way_or_waits_counts_as_well);
    tcase_add_test(tcase, small_things_count_with_the_memory_that_they_take);
    tcase_add_test(tcase, workers_count_with_their_parent);
    tcase_add_test(tcase, an_isolate_that_fails_reaches_no_other);
    tcase_add_test(tcase, a_failure_that_nobody_listens_to_is_the_parents);
    tcase_add_test(tcase, what_cannot_be_sent_is_an_error_and_moves_nothing);
    tcase_add_test(tcase, bufs_move_and_regions_are_shared);
    tcase_add_test(tcase, a_full_queue_refuses_and_then_tells_of_room);
    tcase_add_test(tcase, a_runaway_script_is_stopped_by_its_parent_and_by_a_signal);
    tcase_add_test(tcase, what_no_hook_can_stop_is_reported_stuck_and_waited_for_within_bounds);
    tcase_add_test(tcase, it_ends_though_nobody_reads_what_it_prints);
    suite_add_tcase(suite, tcase);
    return fixture_run(suite);
}
