-- Publish to a channel that is there, is open and keeps everything: what is done most often, and by
-- the shortest way. In every other case nothing is done and nothing is returned, and
-- the caller asks `apply` with the same slot and number. So it does when the answer was lost, and
-- there finds what was done here; what arrives here after that does nothing.
--
-- KEYS: stream, state of the channel, the caller's attempts.
-- ARGV: life, what the end offset has to be or "", slot, number of the call, how long attempts are
-- remembered in seconds, and of each message the first byte and the rest of its body.
-- Returns the offset of the first.

local state = redis.call('HMGET', KEYS[2], 'life', 'end', 'ended', 'time', 'retention')
local first = state[2]
if
    state[1] ~= ARGV[1] or state[3] == '1' or (state[5] and state[5] ~= '')
    or (ARGV[2] ~= '' and ARGV[2] ~= first)
then
    return false
end
local known = redis.call('HGET', KEYS[3], ARGV[3])
local seen = known and tonumber(string.match(known, '^%d+'))
if seen and seen >= tonumber(ARGV[4]) then
    return false
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(state[4] or 0)
if now < last then
    now = last
end
local offset = tonumber(first)
local stop, packed = offset, cmsgpack.pack(now)
for place = 6, #ARGV, 2 do
    stop = stop + 1
    local id = string.format('%.0f-0', stop)
    redis.call('XADD', KEYS[1], id, 'm', ARGV[place] .. packed .. ARGV[place + 1])
end

-- The commit point: nothing behind it can fail.

redis.call(
    'HSET', KEYS[2], 'end', string.format('%.0f', stop), 'time', string.format('%.0f', now))
redis.call('HSET', KEYS[3], ARGV[3], ARGV[4] .. ':' .. cmsgpack.pack({'ok', {{ARGV[1], offset}}}))
if redis.call('TTL', KEYS[3]) < ARGV[5] / 2 then
    redis.call('EXPIRE', KEYS[3], ARGV[5])
end
return offset
