-- Claims each key, in the order given.
--
-- Once: now, the end of the lease, the grace (milliseconds), the worker. For each key: token, content hash, and 1 if an
-- operator sent it again on purpose. Answers for each key, as one string: w won, h and the milliseconds left, p and the
-- content hash, d dead-lettered, x something else than a hash of ours stands there.
local now, lease_end, grace = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function claim(key, token, content, is_redriven)
    local fields = redis.pcall('HMGET', key, 't', 'u', 'S', 'C', 'U', 'F')
    if fields.err then
        -- An error would end the script, and with it the answers for all other keys.
        return string.find(fields.err, 'WRONGTYPE', 1, true) and 'x' or error(fields.err)
    end
    local owner, owned_until, state, settled_content, window_end, forgotten = unpack(fields)
    local is_settled = state and tonumber(window_end) > now
    if is_settled and state == 'p' then
        return 'p' .. settled_content
    end
    if is_settled and settled_content == content and not is_redriven then
        return 'd'
    end
    if owner and owner ~= token and tonumber(owned_until) > now then
        return string.format('h%d', tonumber(owned_until) - now)
    end
    -- An operator took this very claim away: its owner must not renew it.
    if forgotten == token then
        return string.format('h%d', lease_end - now)
    end
    if state and not is_settled then
        redis.call('HDEL', key, 'S', 'N', 'C', 'A', 'U', 'T', 'W')
    end
    redis.call('HSET', key, 't', token, 'u', ARGV[2], 'c', content, 'w', ARGV[4])
    local keep_until = is_settled and math.max(tonumber(window_end), lease_end) or lease_end
    redis.call('PEXPIRE', key, string.format('%d', keep_until - now + grace))
    return 'w'
end

local answers = {}
for at, key in ipairs(KEYS) do
    local first = 4 + 3 * (at - 1)
    answers[at] = claim(key, ARGV[first + 1], ARGV[first + 2], ARGV[first + 3] == '1')
end
return answers
