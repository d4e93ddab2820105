-- Gives entries that were not started back for a while, uncounted: nobody here knows their type.
-- They lie in delayed, still queued; `unknown_since` tells when that began, until a start or the end.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6.. task hashes
-- ARGV: 1 token, 2 consumer, 3 state queued, 4 ms to lie, 5 ms after which it is kept (-1 = never),
--       6 whether another worker knows the type (1: the time begins anew),
--       then per task: id, lane 1-3, entry, run, request digest
-- Returns: per task ms since it was first given back so (from ARGV 5 on: it stays with its
--          consumer), -1 = not ours any more
if stale() then return STALE end
local now = now_ms()
local due, kept_from, known = now + tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'

local function give(key, id, lane_number, entry, run, digest)
  local lane = KEYS[1 + tonumber(lane_number)]
  if not owns(lane, entry, ARGV[2]) then return -1 end
  local hash = redis.call('HMGET', key, 'entry', 'run', 'unknown_since')
  local since = known and now or tonumber(hash[3] or now)
  local waited = math.max(0, now - since)
  local ours = not hash[2] or (hash[1] == entry and hash[2] == run)
  if ours and kept_from >= 0 and waited >= kept_from then return waited end
  local envelope = envelope_of(lane, entry)
  drop_entry(lane, entry)
  if not envelope or not ours then return -1 end
  if not hash[2] then
    -- The entry is here but its hash was lost: suspect from now on.
    redis.call('HSET', key, 'run', run, 'attempt', 0, 'lane', lane_number, 'digest', digest,
      'suspect', 1, 'mirrored', 0, 'fresh', 0)
  end
  redis.call('ZADD', KEYS[5], due, id)
  redis.call('HSET', key, 'state', ARGV[3], 'place', 'delayed', 'due', due, 'envelope', envelope,
    'unknown_since', since)
  redis.call('HDEL', key, 'entry', 'nonce', 'worker', 'progress')
  return waited
end

local answers = {}
for i = 7, #ARGV, 5 do
  local n = #answers + 1
  answers[n] = give(KEYS[5 + n], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4])
end
return answers
