-- Ends the claim on each key because its event is settled.
--
-- Once: now, the end of the window, the grace (milliseconds), the worker. For each key: token, content hash, state (p or
-- d), and the destination's own name for the event or the reason's code. Answers for each key: 1 recorded, 0 lost, -1
-- something else than a hash of ours stands there.
local now, window_end, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- Whose the claim is: mine, lost, or done where this token has ended it already and the answer got lost.
local function standing(token, owner, state, settled_until, settled_by, forgotten)
    if owner then
        return owner == token and 'mine' or 'lost'
    end
    if state and tonumber(settled_until) > now then
        return settled_by == token and 'done' or 'lost'
    end
    -- The key is gone: the server lost its memory. Nobody else has claimed it, and what is known is better kept. Only
    -- what an operator has taken away stays taken.
    return forgotten == token and 'lost' or 'mine'
end

local function commit(key, token, content, state, name)
    local fields = redis.pcall('HMGET', key, 't', 'S', 'U', 'T', 'F')
    if fields.err then
        -- An error would end the script, and with it the answers for all other keys.
        return string.find(fields.err, 'WRONGTYPE', 1, true) and -1 or error(fields.err)
    end
    local claim = standing(token, unpack(fields))
    if claim == 'mine' then
        redis.call('HDEL', key, 't', 'u', 'c', 'w', 'F')
        redis.call('HSET', key, 'S', state, 'N', name, 'C', content, 'A', ARGV[1], 'U', ARGV[2], 'T', token, 'W', ARGV[4])
        redis.call('PEXPIRE', key, string.format('%d', window_end - now + grace))
    end
    return claim == 'lost' and 0 or 1
end

local answers = {}
for at, key in ipairs(KEYS) do
    local first = 4 + 4 * (at - 1)
    answers[at] = commit(key, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3], ARGV[first + 4])
end
return answers
