-- Put before every script. Conventions that hold for all of them:
-- KEYS[1]  the queue's generation hash
-- ARGV[1]  the token under which the caller learnt what it knows
-- Returns  error STALE when Redis has another history than that (rule 1)
-- A task hash's field `place` says where the task lies: `ready` (a stream entry), `delayed` (a
-- sorted-set member with the envelope in the hash) or empty (settled). `jid` is its latest journal
-- id, `gen` the generation that id was given in: ids of two histories cannot be compared.
-- `refreshing` stands from a refresh until that very id is confirmed. `first` is the journal id whose
-- minute the run is counted in, where `jid` is a later one ('' = in none: it was restored).
local function stale()
  local known = redis.call('HMGET', KEYS[1], 'token', 'run_id')
  if known[1] ~= ARGV[1] then return true end
  return known[2] ~= string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
end

local STALE = redis.error_reply('STALE the generation is another one')

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Adds n to the bucket of this second; a bucket holds "second:count".
local function bump(rates, kind, n)
  local second = tonumber(redis.call('TIME')[1])
  local field = kind .. second % 10
  local count = tonumber(string.match(redis.call('HGET', rates, field) or '', '^' .. second .. ':(%d+)')) or 0
  redis.call('HSET', rates, field, second .. ':' .. (count + n))
end

-- Sums up by journal ids what `cover` is to count: by ten seconds, which lie in one minute.
local function tally(counts, jid, n)
  local ten = string.sub(jid, 1, 9)
  counts[ten] = (counts[ten] or 0) + n
end

-- Adds a tally to the minutes of the coverage. A minute's first count looks after the others.
local function cover(coverage, kind, counts)
  for ten, n in pairs(counts) do
    local minute = math.floor(tonumber(ten) / 6)
    if redis.call('HINCRBY', coverage, kind .. minute, n) == n then
      redis.call('HSETNX', coverage, 'since', now_ms())
      redis.call('PEXPIRE', coverage, 90000000)
      if redis.call('HLEN', coverage) > 5760 then
        for _, field in ipairs(redis.call('HKEYS', coverage)) do
          local at = tonumber(string.match(field, '^%l(%d+)$'))
          if at and at < minute - 1440 then redis.call('HDEL', coverage, field) end
        end
      end
    end
  end
end

-- A journal entry, and in the hash the place to find its confirm; none where nothing is mirrored.
local function journal_task(journal, key, id, run, envelope)
  local jid = redis.call('XADD', journal, '*', 'id', id, 'run', run, 'kind', 'task',
    'envelope', envelope)
  redis.call('HSET', key, 'jid', jid, 'gen', ARGV[1])
  return jid
end

local function drop_entry(lane, entry)
  redis.call('XACK', lane, 'workers', entry)
  redis.call('XDEL', lane, entry)
end

-- A lost stream has no group: nobody owns anything in it, and the rest of the batch goes on.
local function owns(lane, entry, consumer)
  local pending = redis.pcall('XPENDING', lane, 'workers', entry, entry, 1, consumer)
  return not pending.err and #pending == 1
end

-- Whether a new entry is still the first delivery of a task made in this generation under an id
-- that its submit made (rule 7): the one that may run without asking the ledger.
local function is_first(fresh, gen, attempt)
  return (fresh == '1' and gen == ARGV[1] and attempt == '0') and 1 or 0
end

local function envelope_of(lane, entry)
  local found = redis.call('XRANGE', lane, entry, entry)[1]
  if not found then return nil end
  for i = 1, #found[2], 2 do
    if found[2][i] == 'envelope' then return found[2][i + 1] end
  end
end

local function add_ready(lane, id, run, fresh, envelope)
  return redis.call('XADD', lane, '*', 'id', id, 'run', run, 'gen', ARGV[1], 'fresh', fresh,
    'envelope', envelope)
end
