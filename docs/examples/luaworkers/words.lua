-- words.lua — counts the words below a directory with several workers, and prints them sorted: luaworkers words.lua DIRECTORY [WORKERS]
--
-- This script finds and loads the files; each moves to whichever worker is idle, and comes to nobody else. The workers count in tables of
-- their own, which are put together at the end. A region that all share has the sum, to check.
local root = assert(arg[1], "which directory?")
local count = tonumber(arg[2] or 2)

local here = arg[0]:match("^.*/") or ""
local directories, files, idle = {root}, {}, {}
local in_flight, reports, failed = 0, 0, 0
local total = job.region(1)
local words = {}

local function print_all()
    local sorted, sum = {}, 0
    for word, n in pairs(words) do
        sorted[#sorted + 1] = word
        sum = sum + n
    end
    assert(sum == total:load(1), "the workers' tables and the shared sum differ")
    table.sort(sorted)
    for i, word in ipairs(sorted) do sorted[i] = words[word] .. " " .. word end
    print(table.concat(sorted, "\n"))
    if failed > 0 then job.exit(1) end
end

local function take_report(worker, report)
    for n, word in report:text():gmatch("(%d+) (%a+)\n") do words[word] = (words[word] or 0) + tonumber(n) end
    report:free()
    reports = reports + 1
    if reports == count then print_all() end
end

local next_one

local function loaded(worker, path, buf, why)
    in_flight = in_flight - 1
    local ok = buf
    if buf then ok, why = worker:post("count", buf) end   -- the file is the worker's now, unless it is larger than its queue
    if not ok then
        failed = failed + 1
        job.warn(path .. ": " .. why)
        idle[#idle + 1] = worker
    end
    next_one()
end

local function listed(directory, names, why)
    in_flight = in_flight - 1
    if not names then
        failed = failed + 1
        job.warn(directory .. ": " .. why)
    end
    for _, name in ipairs(names or {}) do
        local into = name:sub(-1) == "/" and directories or files
        into[#into + 1] = directory .. "/" .. name:gsub("/$", "")
    end
    next_one()
end

function next_one()
    while #directories > 0 and in_flight < 8 do
        local directory = table.remove(directories)
        in_flight = in_flight + 1
        assert(job.list(directory, function(names, why) listed(directory, names, why) end))
    end
    while #files > 0 and #idle > 0 do
        local path, worker = table.remove(files), table.remove(idle)
        in_flight = in_flight + 1
        assert(job.load(path, function(buf, why) loaded(worker, path, buf, why) end))
    end
    if in_flight == 0 and #directories == 0 and #files == 0 and #idle == count then
        for _, worker in ipairs(idle) do assert(worker:post("report")) end
        idle = {}
    end
end

local function on_message(worker, what, report)
    if what == "report" then
        take_report(worker, report)
    else
        idle[#idle + 1] = worker
        next_one()
    end
end

for i = 1, count do
    local worker = assert(job.worker{script = here .. "count.lua", name = "count " .. i, memory = 48 << 20, on_message = on_message})
    assert(worker:post("share", total))
end
