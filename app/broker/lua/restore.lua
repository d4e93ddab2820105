-- Brings tasks back: creates what is absent, of a lower run, or without its place (rules 2, 7, 9).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6 retrying, 7.. task hashes
-- ARGV: 1 token, 2 state queued, 3 state scheduled, 4 state retrying,
--       then per task: id, plan, request digest, envelope
--       (plan: "run lane(1-3) attempts-ended due-ms"; alike in most tasks, so that it is read once)
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

local plans = {}

local function plan_of(text)
  local plan = plans[text]
  if not plan then
    local run, lane, attempt, due = string.match(text, '^(%d+) ([123]) (%d+) (%d+)$')
    plan = {run = run, lane = lane, stream = KEYS[1 + tonumber(lane)], attempt = tonumber(attempt),
      due = due, is_later = tonumber(due) > now}
    plans[text] = plan
  end
  return plan
end

-- i: where the task's arguments begin. One HSET: a call costs more than a field, and a field a
-- twentieth of the task: what is 0 is left out, and what the envelope says. Texts: Redis prints a
-- number with 17 digits first.
local function create(key, i, plan, attempt)
  local id, run, digest, envelope = ARGV[i], plan.run, ARGV[i + 2], ARGV[i + 3]
  if plan.is_later then
    redis.call('ZADD', KEYS[5], plan.due, id)
    if attempt > 0 then redis.call('SADD', KEYS[6], id) end
    redis.call('HSET', key, 'state', attempt > 0 and ARGV[4] or ARGV[3], 'place', 'delayed',
      'run', run, 'lane', plan.lane, 'mirrored', '1', 'digest', digest, 'suspect', '1',
      'due', plan.due, 'envelope', envelope)
  else
    local entry = add_ready(plan.stream, id, run, '0', envelope)
    redis.call('HSET', key, 'state', ARGV[2], 'place', 'ready', 'run', run, 'lane', plan.lane,
      'mirrored', '1', 'digest', digest, 'suspect', '1', 'entry', entry)
  end
  if attempt > 0 then redis.call('HSET', key, 'attempt', attempt) end
  return 'restored'
end

local function replace(key, i, plan, known)
  local hash, fields = {run = known}, {'digest', 'place', 'lane', 'entry', 'attempt', 'cancel'}
  for n, value in ipairs(redis.call('HMGET', key, unpack(fields))) do hash[fields[n]] = value end
  local id, run, attempt = ARGV[i], plan.run, plan.attempt
  if hash.digest ~= ARGV[i + 2] then return 'conflict' end
  if tonumber(known) > tonumber(run) then return hash.place == '' and 'settled' or 'present' end
  if tonumber(known) == tonumber(run) then
    if hash.place == '' then return 'settled' end
    if placed(hash, id) then return 'present' end
    attempt = math.max(attempt, tonumber(hash.attempt or 0))
  end
  clear(key, hash, id)
  create(key, i, plan, attempt)
  if hash.cancel and known == run then redis.call('HSET', key, 'cancel', 1) end
  return 'restored'
end

local answers = {}
for n = 1, #KEYS - 6 do
  local key, i = KEYS[6 + n], 4 * n + 1
  local plan, known = plan_of(ARGV[i + 1]), redis.call('HGET', key, 'run')
  answers[n] = known and replace(key, i, plan, known) or create(key, i, plan, plan.attempt)
end
return answers
