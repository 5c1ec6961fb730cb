-- Apply operations to channels: all of them, or none. First every operation is checked, on copies of
-- the channels' states; the line marked as the commit point is passed when all of them hold, and
-- nothing behind it can fail.
--
-- ARGV: prefix, key of the caller's attempts, slot, number of the call, operations (msgpack), how
-- long attempts are remembered in seconds.
-- Returns msgpack: {"ok", {{life, value}, ...}} or {what was wrong, facts, ...}.

local prefix, attempts, slot, call = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

-- What is tried again may have been done: its answer was lost, or is still on its way. And what
-- comes when its slot has a later call was tried again long ago, and nobody waits for its answer.
local known = redis.call('HGET', attempts, slot)
local seen = known and tonumber(string.match(known, '^%d+'))
if seen == tonumber(call) then
    return string.sub(known, #call + 2)
elseif seen and seen > tonumber(call) then
    return false
end

-- The answer, remembered: what was refused may not be done by what comes late either.
local function answer(said)
    local packed = cmsgpack.pack(said)
    redis.call('HSET', attempts, slot, call .. ':' .. packed)
    redis.call('EXPIRE', attempts, ARGV[6])
    return packed
end

local RECENT_MAX = 64
local TOMBSTONE_SECONDS = 60
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local states, order = {}, {}

local function key(kind, channel)
    return prefix .. ':' .. kind .. ':' .. channel
end

local function number(value)
    return string.format('%.0f', value)
end

-- A stream's ids begin behind 0-0, so offset 0 is 1-0.
local function id(offset)
    return number(offset + 1) .. '-0'
end

local function load(channel)
    local state = states[channel]
    if not state then
        local found = redis.call(
            'HMGET', key('m', channel), 'life', 'start', 'end', 'ended', 'time', 'retention')
        state = {
            channel = channel, life = found[1] or '', start = tonumber(found[2] or 0),
            stop = tonumber(found[3] or 0), ended = found[4] == '1',
            time = tonumber(found[5] or 0), retention = found[6] or '',
            bodies = {}, cursors = {}, producers = {}, groups = {},
        }
        state.first = state.stop
        states[channel] = state
        order[#order + 1] = state
    end
    return state
end

local function begin(state, life)
    if state.life == '' then
        state.life, state.begun = life, true
    end
end

local function producer(state, name)
    local found = state.producers[name]
    if not found then
        local kept = redis.call('HGET', key('p', state.channel), name)
        found = kept and cmsgpack.unpack(kept) or {epoch = 0, next = 0, recent = {}}
        state.producers[name] = found
    end
    return found
end

local function known_offset(found, sequence)
    for _, run in ipairs(found.recent) do
        if sequence >= run[1] and sequence < run[1] + run[3] then
            return run[2] + sequence - run[1]
        end
    end
end

local function note(found, sequence, offset, count)
    local last = found.recent[#found.recent]
    if last and last[1] + last[3] == sequence and last[2] + last[3] == offset then
        last[3] = last[3] + count
    else
        found.recent[#found.recent + 1] = {sequence, offset, count}
        if #found.recent > RECENT_MAX then
            table.remove(found.recent, 1)
        end
    end
    found.next = sequence + count
end

local function append(state, op, from)
    if state.ended then
        return nil, {'ended', op.channel, state.stop}
    end
    if op.expect and op.expect ~= state.stop then
        return nil, {'expected', op.channel, op.expect, state.stop}
    end
    begin(state, op.new_life)
    state.time = math.max(state.time, now)
    local first, packed = state.stop, cmsgpack.pack(state.time)
    for place = from, #op.bodies do
        local body = op.bodies[place]
        state.bodies[#state.bodies + 1] = string.sub(body, 1, 1) .. packed .. string.sub(body, 2)
    end
    state.stop = first + #op.bodies - from + 1
    return first
end

local check = {}

function check.publish(state, op)
    if not op.producer then
        return append(state, op, 1)
    end
    local found = producer(state, op.producer)
    if op.epoch < found.epoch then
        return nil, {'fenced', op.channel, op.producer, op.epoch, found.epoch}
    end
    if op.sequence > found.next then
        return nil, {'gap', op.channel, op.producer, op.sequence, found.next}
    end
    local offsets, from = {}, found.next - op.sequence + 1
    for place = 1, math.min(from - 1, #op.bodies) do
        local offset = known_offset(found, op.sequence + place - 1)
        if not offset then
            local oldest = found.recent[1] and found.recent[1][1] or found.next
            return nil, {'expired', op.channel, op.producer, op.sequence + place - 1, oldest}
        end
        offsets[place] = offset
    end
    if from <= #op.bodies then
        local first, wrong = append(state, op, from)
        if wrong then
            return nil, wrong
        end
        note(found, found.next, first, #op.bodies - from + 1)
        found.changed = true
        for place = from, #op.bodies do
            offsets[place] = first + place - from
        end
    end
    return offsets
end

check['end'] = function(state, op)
    begin(state, op.new_life)
    if not state.ended then
        state.ended, state.ending = true, true
    end
    return state.stop
end

function check.trim(state, op)
    if op.before > state.stop then
        return nil, {'unknown', op.channel, op.before, state.stop}
    end
    if op.before > state.start then
        state.start, state.trimming = op.before, true
    end
    return state.start
end

function check.delete(state, op)
    state.deleting = state.life ~= ''
    return state.life
end

function check.configure(state, op)
    begin(state, op.new_life)
    state.retention, state.configuring = op.value, true
    return false
end

function check.produce(state, op)
    local found = producer(state, op.producer)
    if op.epoch < found.epoch then
        return nil, {'fenced', op.channel, op.producer, op.epoch, found.epoch}
    end
    begin(state, op.new_life)
    found.epoch, found.changed = op.epoch, true
    return found.next
end

function check.commit(state, op)
    local current = state.cursors[op.name]
    if current == nil then
        current = tonumber(redis.call('HGET', key('c', op.channel), op.name) or false or -1)
    end
    if op.mode == 'forget' then
        state.cursors[op.name] = -1
        return false
    end
    -- What the same frame publishes nobody can have read.
    if op.before > state.first then
        local offset = op.before
        if op.mode == 'commit' and offset - 1 > state.first then
            offset = offset - 1
        end
        return nil, {'unknown', op.channel, offset, state.first}
    end
    if op.mode == 'commit' and op.before < math.max(current, state.start) then
        return nil, {'behind', op.channel, op.name, op.before, math.max(current, state.start)}
    end
    begin(state, op.new_life)
    state.cursors[op.name] = op.before
    return false
end

function check.regroup(state, op)
    local kept = state.groups[op.name]
    if kept == nil then
        kept = redis.call('HGET', key('g', op.channel), op.name) or '0:'
    end
    if state.life == '' or tonumber(string.match(kept, '^(%d+):')) ~= op.expect then
        return nil, {'conflict'}
    end
    state.groups[op.name] = {
        revision = op.expect + 1, value = op.value, telling = op.mode == 'tell',
    }
    return op.expect + 1
end

local operations = cmsgpack.unpack(ARGV[5])
local results = {}
for place, op in ipairs(operations) do
    local state = load(op.channel)
    local value, wrong
    if op.life == '' or op.life == state.life then
        value, wrong = check[op.kind](state, op)
    elseif op.kind == 'delete' then
        -- It was deleted, which is what is wanted. What has its name by now is another one.
        value = op.life
    else
        wrong = {'deleted', op.channel}
    end
    if wrong then
        return answer(wrong)
    end
    results[place] = {state.life, value}
end

-- The commit point: from here on everything is done.

local function remove(state)
    local channel, stream = state.channel, key('s', state.channel)
    for _, name in ipairs(redis.call('HKEYS', key('g', channel))) do
        local told = key('n', channel .. '\0' .. name)
        redis.call('XADD', told, 'MAXLEN', 1, '*', 'd', '')
        redis.call('EXPIRE', told, TOMBSTONE_SECONDS)
    end
    -- Whoever waits is told, and what is told is gone after a while. Who waits for the next life
    -- listens to another stream, for in this one ids begin anew; it is there for longer.
    local listened = key('n', channel)
    local buried = redis.call('XADD', listened, 'MAXLEN', 1, '*', 'd', '')
    redis.call('EXPIRE', listened, 2 * TOMBSTONE_SECONDS)
    local tombstone = number(state.stop + 1) .. '-1'
    redis.call('XADD', stream, tombstone, 'd', buried)
    redis.call('XTRIM', stream, 'MINID', tombstone)
    redis.call('EXPIRE', stream, TOMBSTONE_SECONDS)
    redis.call('DEL', key('m', channel), key('c', channel), key('p', channel), key('g', channel))
    redis.call('ZREM', prefix .. ':names', channel)
end

-- What retention lets go: returns the new start.
local function retain(state)
    local limits, start = cmsgpack.unpack(state.retention), state.start
    if limits.count then
        start = math.max(start, state.stop - limits.count)
    end
    if limits.age_ns then
        local oldest = now - limits.age_ns / 1000
        local looking = true
        while looking do
            local entries = redis.call(
                'XRANGE', key('s', state.channel), id(start), '+', 'COUNT', 64)
            looking = #entries == 64
            for _, entry in ipairs(entries) do
                local _, published = cmsgpack.unpack_one(entry[2][2], 1)
                if entry[2][1] ~= 'm' or published >= oldest then
                    looking = false
                    break
                end
                start = tonumber(string.match(entry[1], '^%d+'))
            end
        end
    end
    return start
end

for _, state in ipairs(order) do
    local channel = state.channel
    local stream, meta = key('s', channel), key('m', channel)
    if state.deleting then
        remove(state)
    elseif state.life ~= '' then
        if state.begun then
            redis.call('DEL', stream)
            local listened = key('n', channel)
            if redis.call('EXISTS', listened) == 1 then
                redis.call('XADD', listened, 'MAXLEN', 1, '*', 'b', '')
            end
            redis.call(
                'HSET', meta, 'life', state.life, 'start', 0, 'end', 0, 'created', number(now))
            redis.call('ZADD', prefix .. ':names', 0, channel)
        end
        for place, body in ipairs(state.bodies) do
            redis.call('XADD', stream, id(state.first + place - 1), 'm', body)
        end
        if #state.bodies > 0 then
            redis.call('HSET', meta, 'end', number(state.stop), 'time', number(state.time))
        end
        if state.ending then
            redis.call('HSET', meta, 'ended', 1)
            redis.call('XADD', stream, id(state.stop), 'e', '')
        end
        if state.configuring then
            redis.call('HSET', meta, 'retention', state.retention)
        end
        if state.retention ~= '' and (#state.bodies > 0 or state.configuring) then
            local start = retain(state)
            if start > state.start then
                state.start, state.trimming = start, true
            end
        end
        if state.trimming then
            redis.call('HSET', meta, 'start', number(state.start))
            redis.call('XTRIM', stream, 'MINID', id(state.start))
        end
        for name, position in pairs(state.cursors) do
            if position < 0 then
                redis.call('HDEL', key('c', channel), name)
            else
                redis.call('HSET', key('c', channel), name, number(position))
            end
        end
        for name, found in pairs(state.producers) do
            if found.changed then
                found.changed = nil
                redis.call('HSET', key('p', channel), name, cmsgpack.pack(found))
            end
        end
        for name, group in pairs(state.groups) do
            local told = key('n', channel .. '\0' .. name)
            if group.revision == 1 then
                redis.call('DEL', told)
            end
            -- A group that is forgotten keeps its revision, so that nobody goes on with the old one.
            redis.call(
                'HSET', key('g', channel), name, number(group.revision) .. ':' .. group.value)
            if group.telling then
                redis.call('XADD', told, 'MAXLEN', 1, number(group.revision) .. '-0', 't', '')
            end
        end
    end
end

return answer({'ok', results})
