-- The offset of the first message of a channel that was published at or behind a time.
-- ARGV: prefix, channel, microseconds since 1970. The times of a channel never decrease.

local found = redis.call('HMGET', ARGV[1] .. ':m:' .. ARGV[2], 'start', 'end')
local low, high = tonumber(found[1] or 0), tonumber(found[2] or 0)
local wanted = tonumber(ARGV[3])
while low < high do
    local middle = math.floor((low + high) / 2)
    local id = string.format('%.0f-0', middle + 1)
    local entry = redis.call('XRANGE', ARGV[1] .. ':s:' .. ARGV[2], id, id)[1]
    local _, published = cmsgpack.unpack_one(entry[2][2], 1)
    if published < wanted then
        low = middle + 1
    else
        high = middle
    end
end
return string.format('%.0f', low)
