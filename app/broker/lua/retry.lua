-- Puts failed attempts off until they are due. Called after the ledger has the attempt (rule 4).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6 retrying, 7.. task hashes
-- ARGV: 1 token, 2 consumer, 3 state running, 4 state retrying,
--       then per task: id, lane 1-3, entry, run, attempt, due ms
-- Returns: per task ok, cancel (a mark is on it: finish it instead) or gone (not ours any more)
if stale() then return STALE end

local function put_off(key, id, lane, entry, run, attempt, due)
  if not owns(lane, entry, ARGV[2]) then return 'gone' end
  local hash = redis.call('HMGET', key, 'entry', 'run', 'attempt', 'state', 'cancel')
  if hash[1] ~= entry or hash[2] ~= run or hash[3] ~= attempt or hash[4] ~= ARGV[3] then
    return 'gone'
  end
  if hash[5] then return 'cancel' end
  local envelope = envelope_of(lane, entry)
  -- Pending, but lost from its stream: the rehydrator brings it back.
  if not envelope then return 'gone' end
  drop_entry(lane, entry)
  redis.call('ZADD', KEYS[5], due, id)
  redis.call('SADD', KEYS[6], id)
  redis.call('HSET', key, 'state', ARGV[4], 'place', 'delayed', 'due', due, 'envelope', envelope)
  redis.call('HDEL', key, 'entry', 'nonce', 'worker', 'progress')
  return 'ok'
end

local answers = {}
for i = 5, #ARGV, 6 do
  local n = #answers + 1
  answers[n] = put_off(KEYS[6 + n], ARGV[i], KEYS[1 + tonumber(ARGV[i + 1])], ARGV[i + 2],
    ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
end
return answers
