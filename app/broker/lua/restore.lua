-- Brings tasks back: creates what is absent, of a lower run, or without its place (rules 2, 7, 9).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6 retrying, 7.. task hashes
-- ARGV: 1 token, 2 state queued, 3 state scheduled, 4 state retrying,
--       then per task: id, run, lane 1-3, request digest, attempts ended, due ms, accepted ms, envelope
-- Returns: per task restored, present, settled (closed here in this run or a later one) or
--          conflict (another request holds the id)
if stale() then return STALE end
local now = now_ms()

local function placed(hash, id)
  if hash.place == 'delayed' then return redis.call('ZSCORE', KEYS[5], id) end
  return hash.entry and redis.call('XRANGE', KEYS[1 + tonumber(hash.lane)], hash.entry, hash.entry)[1]
end

local function clear(key, hash, id)
  if hash.place == 'ready' and hash.entry then
    drop_entry(KEYS[1 + tonumber(hash.lane)], hash.entry)
  end
  redis.call('ZREM', KEYS[5], id)
  redis.call('SREM', KEYS[6], id)
  redis.call('DEL', key)
end

local function place(key, a, attempt)
  local due = tonumber(a.due)
  if due > now then
    redis.call('ZADD', KEYS[5], due, a.id)
    if attempt > 0 then redis.call('SADD', KEYS[6], a.id) end
    redis.call('HSET', key, 'state', attempt > 0 and ARGV[4] or ARGV[3], 'place', 'delayed',
      'due', due, 'envelope', a.envelope)
  else
    local entry = add_ready(KEYS[1 + tonumber(a.lane)], a.id, a.run, 0, a.envelope)
    redis.call('HSET', key, 'state', ARGV[2], 'place', 'ready', 'entry', entry)
  end
end

local function restore(key, a)
  local hash, fields = {}, {'run', 'digest', 'place', 'lane', 'entry', 'attempt', 'cancel'}
  for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do hash[fields[i]] = value end
  local attempt = tonumber(a.attempt)
  if hash.run then
    if hash.digest ~= a.digest then return 'conflict' end
    if tonumber(hash.run) > tonumber(a.run) then
      return hash.place == '' and 'settled' or 'present'
    end
    if tonumber(hash.run) == tonumber(a.run) then
      if hash.place == '' then return 'settled' end
      if placed(hash, a.id) then return 'present' end
      attempt = math.max(attempt, tonumber(hash.attempt or 0))
    end
    clear(key, hash, a.id)
  end
  place(key, a, attempt)
  redis.call('HSET', key, 'run', a.run, 'attempt', attempt, 'lane', a.lane, 'mirrored', 1,
    'digest', a.digest, 'fresh', 0, 'suspect', 1, 'accepted', a.accepted)
  if hash.cancel and hash.run == a.run then redis.call('HSET', key, 'cancel', 1) end
  return 'restored'
end

local answers = {}
for i = 5, #ARGV, 8 do
  local n = #answers + 1
  answers[n] = restore(KEYS[6 + n], {id = ARGV[i], run = ARGV[i + 1], lane = ARGV[i + 2],
    digest = ARGV[i + 3], attempt = ARGV[i + 4], due = ARGV[i + 5], accepted = ARGV[i + 6],
    envelope = ARGV[i + 7]})
end
return answers
