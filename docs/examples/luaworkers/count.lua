-- count.lua — a worker of words.lua: counts the words of each buf that it is given, and reports when asked.
local counts, total = {}, nil

local function report()
    local lines = {}
    for word, n in pairs(counts) do lines[#lines + 1] = n .. " " .. word .. "\n" end
    assert(job.post("report", job.buf(table.concat(lines))))
    job.on_message(nil)   -- nothing is left to do: this worker ends
end

job.on_message(function(what, item)
    if what == "report" then return report() end
    if what == "share" then
        total = item
    else
        local n = 0
        for word in item:text():lower():gmatch("%a+") do
            counts[word] = (counts[word] or 0) + 1
            n = n + 1
        end
        item:free()
        total:add(1, n)
    end
    job.post("idle")
end)
