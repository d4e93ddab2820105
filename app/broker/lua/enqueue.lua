-- Accepts tasks: dedup, hash, place and journal entry in one repeatable step.
-- KEYS: 1 generation, 2 journal, 3 delayed, 4-6 ready high/normal/low, 7 rates, 8 coverage,
--       9.. task hashes
-- ARGV: 1 token, 2 state queued, 3 state scheduled, 4 open tasks at most, 5 unmirrored at most
--       (-1 = nothing is mirrored here, so nothing is journaled),
--       then per task: id, request digest, run, fresh 0/1, lane 1-3, due ms (0 = now),
--       accepted ms, envelope
-- Returns: per task {created|duplicate|conflict|full, state, journal id, mirrored 0/1, run}
if stale() then return STALE end
local journal, delayed = KEYS[2], KEYS[3]
local unmirrored = redis.call('XLEN', journal)
local open = redis.call('ZCARD', delayed)
for lane = 4, 6 do open = open + redis.call('XLEN', KEYS[lane]) end
local now, journaled = now_ms(), ARGV[5] ~= '-1'

local function accept(key, id, digest, run, fresh, lane, due, accepted, envelope)
  local hash = redis.call('HMGET', key, 'digest', 'state', 'jid', 'mirrored', 'run')
  if hash[1] then
    local word = hash[1] == digest and 'duplicate' or 'conflict'
    return {word, hash[2], hash[3] or '', hash[4] or '0', hash[5]}
  end
  if open >= tonumber(ARGV[4]) or (journaled and unmirrored >= tonumber(ARGV[5])) then
    return {'full', '', '', '0', run}
  end
  local jid = journaled and journal_task(journal, key, id, run, envelope) or ''
  local state = ARGV[2]
  if due > now then
    state = ARGV[3]
    redis.call('ZADD', delayed, due, id)
    redis.call('HSET', key, 'place', 'delayed', 'due', due, 'envelope', envelope)
  else
    local entry = add_ready(KEYS[3 + lane], id, run, fresh, envelope)
    redis.call('HSET', key, 'place', 'ready', 'entry', entry)
  end
  redis.call('HSET', key, 'state', state, 'run', run, 'attempt', 0, 'lane', lane,
    'mirrored', 0, 'digest', digest, 'fresh', fresh, 'accepted', accepted)
  open, unmirrored = open + 1, unmirrored + 1
  return {'created', state, jid, '0', run}
end

local answers, created, covered = {}, 0, {}
for i = 6, #ARGV, 8 do
  local n = #answers + 1
  answers[n] = accept(KEYS[8 + n], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3],
    tonumber(ARGV[i + 4]), tonumber(ARGV[i + 5]), ARGV[i + 6], ARGV[i + 7])
  if answers[n][1] == 'created' then
    created = created + 1
    tally(covered, journaled and answers[n][3] or string.format('%d', now), 1)
  end
end
if created > 0 then bump(KEYS[7], 'a', created) end
cover(KEYS[8], 'a', covered)
return answers
