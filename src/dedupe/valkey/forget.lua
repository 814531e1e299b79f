-- Forgets each key, whatever is known of it. Of an open claim only its token stays, until the lease would have ended:
-- its owner must neither renew nor commit it.
--
-- Once: now, the grace (milliseconds). Answers for each key: 1 forgotten, 0 there was nothing.
local now, grace = tonumber(ARGV[1]), tonumber(ARGV[2])

local answers = {}
for at, key in ipairs(KEYS) do
    local owner, owned_until, state, window_end = unpack(redis.call('HMGET', key, 't', 'u', 'S', 'U'))
    local is_settled = state and tonumber(window_end) > now
    if owner or state then
        redis.call('DEL', key)
    end
    if owner then
        redis.call('HSET', key, 'F', owner)
        redis.call('PEXPIRE', key, string.format('%d', math.max(tonumber(owned_until) - now, 0) + grace))
    end
    answers[at] = (owner or is_settled) and 1 or 0
end
return answers
