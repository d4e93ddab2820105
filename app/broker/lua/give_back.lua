-- Gives entries back to the queue unfinished; a started attempt is not counted.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5.. task hashes
-- ARGV: 1 token, 2 consumer, 3 state queued, then per task: id, lane 1-3, entry, run, started 0/1
-- Returns: per task 1 = given back, 0 = not ours any more
if stale() then return STALE end

local function give(key, id, lane, entry, run, started)
  if not owns(lane, entry, ARGV[2]) then return 0 end
  local envelope = envelope_of(lane, entry)
  local hash = redis.call('HMGET', key, 'entry', 'run', 'fresh', 'gen', 'attempt')
  drop_entry(lane, entry)
  if not envelope or (hash[2] and (hash[1] ~= entry or hash[2] ~= run)) then return 0 end
  -- An attempt that ran is no first delivery: the next worker asks the ledger.
  local fresh = started == '0' and is_first(hash[3], hash[4], hash[5]) or 0
  local new = add_ready(lane, id, run, fresh, envelope)
  if not hash[2] then return 1 end
  redis.call('HSET', key, 'state', ARGV[3], 'entry', new, 'fresh', fresh)
  redis.call('HDEL', key, 'nonce', 'worker', 'progress')
  if started == '1' then redis.call('HINCRBY', key, 'attempt', -1) end
  return 1
end

local answers = {}
for i = 4, #ARGV, 5 do
  local n = #answers + 1
  answers[n] = give(KEYS[4 + n], ARGV[i], KEYS[1 + tonumber(ARGV[i + 1])], ARGV[i + 2],
    ARGV[i + 3], ARGV[i + 4])
end
return answers
