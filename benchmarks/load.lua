-- Sends the batches of requests in a file, one after the other, and prints what wrk counted as a line of JSON.
-- The file: for each batch its size in bytes, a line feed, the bytes. benchmarks/httpload.py writes it.

local batches = {}
local at = 0

function init(args)
    local file = assert(io.open(args[1], "rb"))
    while true do
        local size = file:read("*n")
        if not size then break end
        file:read(1)
        batches[#batches + 1] = file:read(size)
    end
    file:close()
end

function request()
    at = at % #batches + 1
    return batches[at]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests": %d, "us": %d, ' ..
        '"errors": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}, "latencies": [',
        summary.requests, summary.duration,
        errors.connect, errors.read, errors.write, errors.status, errors.timeout
    ))
    -- All of them, as microseconds and how often, for httpload.py to take out what wrk has added.
    for index = 1, #latency do
        io.write(string.format("%s[%d, %d]", index > 1 and ", " or "", latency(index)))
    end
    io.write("]}\n")
end
