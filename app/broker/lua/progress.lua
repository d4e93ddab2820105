-- Notes how far running tasks are, as long as they are this consumer's.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5.. task hashes
-- ARGV: 1 token, 2 consumer, 3 state running,
--       then per task: lane 1-3, entry, run, a JSON object to which `at` is added
-- Returns: per task 1 = noted, 0 = not ours any more
if stale() then return STALE end
local at = ',"at":' .. now_ms() .. '}'
local answers = {}
for i = 4, #ARGV, 4 do
  local n = #answers + 1
  local key, entry = KEYS[4 + n], ARGV[i + 1]
  local hash = redis.call('HMGET', key, 'entry', 'run', 'state')
  local named = hash[1] == entry and hash[2] == ARGV[i + 2] and hash[3] == ARGV[3]
  answers[n] = 0
  if named and owns(KEYS[1 + tonumber(ARGV[i])], entry, ARGV[2]) then
    redis.call('HSET', key, 'progress', string.sub(ARGV[i + 3], 1, -2) .. at)
    answers[n] = 1
  end
end
return answers
