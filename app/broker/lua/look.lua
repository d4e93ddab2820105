-- Shows tasks as Redis knows them.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5.. task hashes
-- ARGV: 1 token
-- Returns: per task {hash as field, value, ... (empty = not here), envelope ('' = settled or lost)}
if stale() then return STALE end
local answers = {}
for n = 1, #KEYS - 4 do
  local key = KEYS[4 + n]
  local place = redis.call('HMGET', key, 'place', 'lane', 'entry', 'envelope')
  local envelope = place[4]
  if place[1] == 'ready' and place[3] then
    envelope = envelope_of(KEYS[1 + tonumber(place[2])], place[3])
  end
  answers[n] = {redis.call('HGETALL', key), envelope or ''}
end
return answers
