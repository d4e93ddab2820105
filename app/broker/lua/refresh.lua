-- Journals unfinished tasks again, so that an old copy can make way for a new one (rule 6).
-- KEYS: 1 generation, 2 journal, 3-5 ready high/normal/low, 6.. task hashes
-- ARGV: 1 token, then per task: id, run, the copy's generation, the copy's journal id
-- Returns: per task the journal id to wait for, never the copy's own ('' = not open here)
if stale() then return STALE end

-- Whether a journal entry is neither confirmed nor there any more: nobody will publish it.
local function is_lost(jid, mirrored, refreshing)
  if mirrored == '1' and not refreshing then return false end
  return not redis.call('XRANGE', KEYS[2], jid, jid)[1]
end

local function refresh(key, id, run, copy_generation, copy_jid)
  local hash = redis.call('HMGET', key, 'run', 'place', 'lane', 'entry', 'envelope', 'jid', 'gen',
    'mirrored', 'refreshing')
  if hash[1] ~= run or hash[2] == '' or not hash[2] then return '' end
  -- An id of an earlier generation may be the copy's own, and says nothing beside this watermark.
  local here = hash[7] == ARGV[1]
  local own = copy_generation == ARGV[1] and hash[6] == copy_jid
  if hash[6] and here and not own and not is_lost(hash[6], hash[8], hash[9]) then return hash[6] end
  local envelope = hash[5]
  if hash[2] == 'ready' then envelope = envelope_of(KEYS[2 + tonumber(hash[3])], hash[4]) end
  if not envelope then return '' end
  local jid = redis.call('XADD', KEYS[2], '*', 'id', id, 'run', run, 'kind', 'refresh',
    'envelope', envelope)
  redis.call('HSETNX', key, 'first', hash[6] or '')
  redis.call('HSET', key, 'jid', jid, 'gen', ARGV[1], 'refreshing', 1)
  -- `gen` no longer tells that the task is older than this generation; this does.
  if not here then redis.call('HSET', key, 'fresh', 0) end
  return jid
end

local answers = {}
for i = 2, #ARGV, 4 do
  local n = #answers + 1
  answers[n] = refresh(KEYS[5 + n], ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
return answers
