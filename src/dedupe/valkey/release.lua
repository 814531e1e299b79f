-- Gives each claim up, if it is still the token's. What was settled under the key before stays.
--
-- For each key: token. Answers for each key: 1 given up, 0 somebody else's or nobody's, -1 something else than a
-- hash of ours stands there.
local answers = {}
for at, key in ipairs(KEYS) do
    local owner = redis.pcall('HGET', key, 't')
    if type(owner) == 'table' and owner.err then
        -- An error would end the script, and with it the answers for all other keys.
        answers[at] = string.find(owner.err, 'WRONGTYPE', 1, true) and -1 or error(owner.err)
    elseif owner == ARGV[at] then
        redis.call('HDEL', key, 't', 'u', 'c', 'w')
        answers[at] = 1
    else
        answers[at] = 0
    end
end
return answers
