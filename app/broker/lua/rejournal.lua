-- Journals open tasks again, so that the mirror publishes them once more: the queue that held their
-- copies was lost. The mark is taken off with it, for it would be a lie (rule 3).
-- KEYS: 1 generation, 2 journal, 3-5 ready high/normal/low, 6 coverage, 7.. task hashes
-- ARGV: 1 token, 2 journal id behind which a confirm still counts ('' = none does), 3 1 = only tell,
--       then per task its id
-- Returns: per task {journaled|waiting|confirmed|gone, journal id, run}
--   waiting    its entry is in the journal: left alone    gone   not open here
--   confirmed  journaled behind that id, and marked: left alone
if stale() then return STALE end
local since, only_tell, covered = ARGV[2], ARGV[3] == '1', {}

local function parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function is_behind(entry, other)
  local ms, seq = parts(entry)
  local other_ms, other_seq = parts(other)
  if ms ~= other_ms then return ms > other_ms end
  return seq > other_seq
end

-- An id of an earlier history may be another task's here.
local function is_waiting(jid, id, run)
  local entry = jid and redis.call('XRANGE', KEYS[2], jid, jid)[1]
  return entry and entry[2][2] == id and entry[2][4] == run
end

local function rejournal(key, id)
  local hash = redis.call('HMGET', key, 'run', 'place', 'lane', 'entry', 'envelope', 'jid', 'gen',
    'mirrored', 'refreshing', 'first')
  local run, place, jid, here = hash[1], hash[2], hash[6], hash[7] == ARGV[1]
  if not run or not place or place == '' then return {'gone', '', run or '0'} end
  local first = hash[10] or jid or ''
  if is_waiting(jid, id, run) then
    if hash[8] == '1' and not only_tell then
      redis.call('HSET', key, 'mirrored', 0)
      if first ~= '' then tally(covered, first, -1) end
    end
    return {'waiting', jid, run}
  end
  if hash[8] == '1' and not hash[9] and jid and here and since ~= '' and is_behind(jid, since) then
    return {'confirmed', jid, run}
  end
  local envelope = hash[5]
  if place == 'ready' then
    envelope = hash[4] and envelope_of(KEYS[2 + tonumber(hash[3])], hash[4])
  end
  if not envelope then return {'gone', '', run} end
  if only_tell then return {'journaled', '', run} end
  local new = redis.call('XADD', KEYS[2], '*', 'id', id, 'run', run, 'kind', 'task',
    'envelope', envelope)
  redis.call('HSET', key, 'jid', new, 'gen', ARGV[1], 'mirrored', 0, 'first', first)
  if hash[8] == '1' and first ~= '' then tally(covered, first, -1) end
  redis.call('HDEL', key, 'refreshing')
  -- `gen` no longer tells that the task is older than this generation; this does.
  if not here then redis.call('HSET', key, 'fresh', 0) end
  return {'journaled', new, run}
end

local answers = {}
for i = 4, #ARGV do answers[i - 3] = rejournal(KEYS[3 + i], ARGV[i]) end
cover(KEYS[6], 'm', covered)
return answers
