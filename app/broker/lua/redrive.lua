-- Makes the next run of parked tasks: over nothing, a settled hash, a hash of a lower run, or one of
-- this run whose place was lost (rules 2, 9). Journaled again, so that it gets a copy of its own.
-- KEYS: 1 generation, 2 journal, 3 delayed, 4-6 ready high/normal/low, 7 retrying, 8 coverage,
--       9.. task hashes
-- ARGV: 1 token, 2 state queued, 3 state scheduled, 4 open tasks at most, 5 unmirrored at most
--       (-1 = nothing is mirrored here, so nothing is journaled),
--       then per task: id, request digest, run, lane 1-3, due ms (0 = now), accepted ms, envelope
-- Returns: per task {created|duplicate|conflict|full, state, journal id, mirrored 0/1, run}
--   duplicate  this run or a later one is here      conflict  another request holds the id
if stale() then return STALE end
local journal, delayed = KEYS[2], KEYS[3]
local unmirrored = redis.call('XLEN', journal)
local open = redis.call('ZCARD', delayed)
for lane = 4, 6 do open = open + redis.call('XLEN', KEYS[lane]) end
local now, journaled = now_ms(), ARGV[5] ~= '-1'
local covered = {}

local function placed(hash, id)
  if hash.place == 'delayed' then return redis.call('ZSCORE', delayed, id) end
  return hash.entry and redis.call('XRANGE', KEYS[3 + tonumber(hash.lane)], hash.entry, hash.entry)[1]
end

local function is_here(hash, a)
  local ahead = tonumber(hash.run) - tonumber(a.run)
  return ahead > 0 or (ahead == 0 and (hash.place == '' or placed(hash, a.id)))
end

local function clear(key, hash, id)
  if hash.place == 'ready' and hash.entry then
    drop_entry(KEYS[3 + tonumber(hash.lane)], hash.entry)
  end
  redis.call('ZREM', delayed, id)
  redis.call('SREM', KEYS[7], id)
  redis.call('DEL', key)
end

local function place(key, a)
  if tonumber(a.due) > now then
    redis.call('ZADD', delayed, a.due, a.id)
    redis.call('HSET', key, 'state', ARGV[3], 'place', 'delayed', 'due', a.due, 'envelope', a.envelope)
    return ARGV[3]
  end
  local entry = add_ready(KEYS[3 + tonumber(a.lane)], a.id, a.run, 0, a.envelope)
  redis.call('HSET', key, 'state', ARGV[2], 'place', 'ready', 'entry', entry)
  return ARGV[2]
end

local function redrive(key, a)
  local hash = {}
  local fields = {'digest', 'state', 'jid', 'mirrored', 'run', 'place', 'lane', 'entry', 'attempt', 'cancel',
    'first'}
  for i, value in ipairs(redis.call('HMGET', key, unpack(fields))) do hash[fields[i]] = value end
  if hash.run and (hash.digest ~= a.digest or is_here(hash, a)) then
    local word = hash.digest == a.digest and 'duplicate' or 'conflict'
    return {word, hash.state or '', hash.jid or '', hash.mirrored or '0', hash.run}
  end
  if open >= tonumber(ARGV[4]) or (journaled and unmirrored >= tonumber(ARGV[5])) then
    return {'full', '', '', '0', a.run}
  end
  -- A run that makes way before its copy is confirmed needs none any more.
  local known = hash.first or hash.jid or ''
  if known ~= '' and hash.mirrored ~= '1' then tally(covered, known, -1) end
  clear(key, hash, a.id)
  local jid = journaled and journal_task(journal, key, a.id, a.run, a.envelope) or ''
  local state = place(key, a)
  local same = hash.run == a.run
  redis.call('HSET', key, 'run', a.run, 'attempt', same and hash.attempt or 0, 'lane', a.lane,
    'mirrored', 0, 'digest', a.digest, 'fresh', 0, 'accepted', a.accepted)
  if same and hash.cancel then redis.call('HSET', key, 'cancel', 1) end
  open, unmirrored = open + 1, unmirrored + 1
  tally(covered, journaled and jid or string.format('%d', now), 1)
  return {'created', state, jid, '0', a.run}
end

local answers = {}
for i = 6, #ARGV, 7 do
  local n = #answers + 1
  answers[n] = redrive(KEYS[8 + n], {id = ARGV[i], digest = ARGV[i + 1], run = ARGV[i + 2],
    lane = ARGV[i + 3], due = ARGV[i + 4], accepted = ARGV[i + 5], envelope = ARGV[i + 6]})
end
cover(KEYS[8], 'a', covered)
return answers
