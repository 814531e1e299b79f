-- Gives each claim up, if it is still the token's. What was settled under the key before stays.
--
-- Once: empty, or a time: then only claims that were begun by the call that said this time. For each key: token. Answers
-- for each key: 1 given up, 0 somebody else's or nobody's.
local begun_at = ARGV[1]

local answers = {}
for at, key in ipairs(KEYS) do
    local owner, begun = unpack(redis.call('HMGET', key, 't', 'b'))
    local is_meant = owner == ARGV[1 + at] and (begun_at == '' or begun == begun_at)
    if is_meant then
        redis.call('HDEL', key, 't', 'b', 'u', 'c', 'w')
    end
    answers[at] = is_meant and 1 or 0
end
return answers
