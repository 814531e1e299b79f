-- Gives each claim up, if it is still the token's. What was settled under the key before stays.
--
-- For each key: token. Answers for each key: 1 given up, 0 somebody else's or nobody's.
local answers = {}
for at, key in ipairs(KEYS) do
    local is_owned = redis.call('HGET', key, 't') == ARGV[at]
    if is_owned then
        redis.call('HDEL', key, 't', 'u', 'c', 'w')
    end
    answers[at] = is_owned and 1 or 0
end
return answers
