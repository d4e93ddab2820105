-- Moves due tasks from delayed to ready, each exactly once.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6 retrying, 7.. task hashes
-- ARGV: 1 token, 2 state queued, then per task its id
-- Returns: per task 1 = promoted, 0 = not due or gone, -1 = an orphan member was removed
if stale() then return STALE end
local now = now_ms()

local function promote(key, id)
  local due = redis.call('ZSCORE', KEYS[5], id)
  if not due or tonumber(due) > now then return 0 end
  redis.call('ZREM', KEYS[5], id)
  redis.call('SREM', KEYS[6], id)
  local hash = redis.call('HMGET', key, 'place', 'lane', 'run', 'envelope', 'fresh', 'gen', 'attempt')
  if hash[1] ~= 'delayed' or not hash[4] then return -1 end
  local entry = add_ready(KEYS[1 + tonumber(hash[2])], id, hash[3],
    is_first(hash[5], hash[6], hash[7]), hash[4])
  redis.call('HSET', key, 'state', ARGV[2], 'place', 'ready', 'entry', entry)
  redis.call('HDEL', key, 'envelope', 'due')
  return 1
end

local answers = {}
for n = 1, #ARGV - 2 do answers[n] = promote(KEYS[6 + n], ARGV[2 + n]) end
return answers
