-- Renews the leases of running tasks, only while the pending list still names this consumer: a
-- plain XCLAIM would steal a reclaimed entry back.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5.. task hashes
-- ARGV: 1 token, 2 consumer, 3 state cancelled, then per task: lane 1-3, entry
-- Returns: per task held, lost, cancel (held, but somebody wants it cancelled) or over (not
--          held any more: who cancelled it has settled it already)
if stale() then return STALE end
local answers = {}
for i = 4, #ARGV, 2 do
  local n = #answers + 1
  local lane, entry = KEYS[1 + tonumber(ARGV[i])], ARGV[i + 1]
  if not owns(lane, entry, ARGV[2]) then
    answers[n] = redis.call('HGET', KEYS[4 + n], 'state') == ARGV[3] and 'over' or 'lost'
  else
    redis.call('XCLAIM', lane, 'workers', ARGV[2], 0, entry, 'JUSTID')
    answers[n] = redis.call('HEXISTS', KEYS[4 + n], 'cancel') == 1 and 'cancel' or 'held'
  end
end
return answers
