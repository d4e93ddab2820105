-- Starts attempts: the one place where an attempt is counted (rules 4, 5, 7, 8).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6 retrying, 7.. task hashes
-- ARGV: 1 token, 2 consumer, 3 state queued, 4 state running, 5 state retrying,
--       then per task: id, lane 1-3, entry, run, nonce, asked 0/1, ledger's attempt, ledger's due
--       ms, attempts at most, expires ms (0 = never), request digest
-- Returns: per task {verdict, attempt, suspect 0/1, now ms}
--   run       attempt counted, execute it        ask   the ledger must be asked first
--   gone      not this consumer's, or not the current entry (a leftover is removed)
--   cancel    a cancel mark is on it             expired, exhausted  finish it unrun
--   later     its retry is not due: delayed again
--   paused    the queue is paused or its flag not loaded
if stale() then return STALE end
local consumer, now = ARGV[2], now_ms()
local paused = redis.call('HGET', KEYS[1], 'paused')

-- The entry is here but its hash was lost: suspect from now on.
local function recreate(key, a)
  redis.call('HSET', key, 'run', a.run, 'lane', a.lane, 'entry', a.entry, 'place', 'ready',
    'digest', a.digest, 'suspect', 1, 'mirrored', 0, 'fresh', 0)
end

local function delay(key, a, lane, attempt)
  local envelope = envelope_of(lane, a.entry)
  drop_entry(lane, a.entry)
  redis.call('ZADD', KEYS[5], a.due, a.id)
  redis.call('SADD', KEYS[6], a.id)
  redis.call('HSET', key, 'state', ARGV[5], 'place', 'delayed', 'attempt', attempt, 'due', a.due,
    'envelope', envelope)
  redis.call('HDEL', key, 'entry')
end

local function begin(key, a)
  local lane = KEYS[1 + tonumber(a.lane)]
  if not owns(lane, a.entry, consumer) then return {'gone', 0, 0, now} end
  local hash = {}
  local fields = {'run', 'entry', 'place', 'attempt', 'suspect', 'cancel', 'nonce', 'state',
    'unknown_since', 'progress'}
  for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do hash[fields[i]] = value end
  if hash.run and (hash.place ~= 'ready' or hash.entry ~= a.entry or hash.run ~= a.run) then
    drop_entry(lane, a.entry)
    return {'gone', 0, 0, now}
  end
  local suspect = (not hash.run or hash.suspect == '1') and 1 or 0
  local attempt = math.max(tonumber(hash.attempt or 0), tonumber(a.attempt))
  if hash.cancel then return {'cancel', attempt, suspect, now} end
  if suspect == 1 and a.asked ~= '1' then return {'ask', attempt, suspect, now} end
  if hash.nonce == a.nonce and hash.state == ARGV[4] then
    return {'run', attempt, suspect, now}
  end
  if tonumber(a.expires) > 0 and tonumber(a.expires) <= now then
    return {'expired', attempt, suspect, now}
  end
  if attempt >= tonumber(a.most) then return {'exhausted', attempt, suspect, now} end
  if not hash.run then recreate(key, a) end
  if tonumber(a.due) > now and tonumber(a.attempt) >= tonumber(hash.attempt or 0) then
    delay(key, a, lane, attempt)
    return {'later', attempt, suspect, now}
  end
  if hash.unknown_since or hash.progress then
    redis.call('HDEL', key, 'unknown_since', 'progress')
  end
  redis.call('HSET', key, 'state', ARGV[4], 'attempt', attempt + 1, 'nonce', a.nonce,
    'worker', consumer, 'started', now)
  return {'run', attempt + 1, suspect, now}
end

local answers = {}
for i = 6, #ARGV, 11 do
  local n = #answers + 1
  local a = {id = ARGV[i], lane = ARGV[i + 1], entry = ARGV[i + 2], run = ARGV[i + 3],
    nonce = ARGV[i + 4], asked = ARGV[i + 5], attempt = ARGV[i + 6], due = ARGV[i + 7],
    most = ARGV[i + 8], expires = ARGV[i + 9], digest = ARGV[i + 10]}
  answers[n] = paused == '0' and begin(KEYS[6 + n], a) or {'paused', 0, 0, now}
end
return answers
