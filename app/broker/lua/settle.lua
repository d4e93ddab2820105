-- Removes finished tasks from their place and announces them. Called after the ledger has them
-- (rule 12).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6 retrying, 7 rates, 8.. task hashes
-- ARGV: 1 token, 2 ms a fresh server-made id is remembered, 3 ms another id is remembered,
--       4 channel of the finished, then per task: id, lane 1-3 or 0, entry or '', run, final state
-- Returns: how many hashes were settled
if stale() then return STALE end
local settled, told = 0, {}

local function leave(key, id, hash)
  if hash.place == 'ready' and hash.entry then
    drop_entry(KEYS[1 + tonumber(hash.lane)], hash.entry)
  elseif hash.place == 'delayed' then
    redis.call('ZREM', KEYS[5], id)
    redis.call('SREM', KEYS[6], id)
  end
end

-- A hash must outlive its journal entry, or its confirm would prove nothing: trim.lua then sets
-- the expiry instead.
local function forget_later(key, hash)
  local ttl = hash.fresh == '1' and ARGV[2] or ARGV[3]
  if hash.mirrored == '1' or not hash.jid then
    redis.call('PEXPIRE', key, ttl)
  else
    redis.call('HSET', key, 'ttl', ttl)
  end
end

for i = 5, #ARGV, 5 do
  local id, lane, entry, run, state = ARGV[i], tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local key = KEYS[8 + (i - 5) / 5]
  if entry ~= '' then drop_entry(KEYS[1 + lane], entry) end
  local hash = {}
  local fields = {'run', 'place', 'lane', 'entry', 'fresh', 'mirrored', 'jid'}
  for f, value in ipairs(redis.call('HMGET', key, unpack(fields))) do hash[fields[f]] = value end
  if hash.run and tonumber(hash.run) <= tonumber(run) and hash.place ~= '' then
    leave(key, id, hash)
    redis.call('HSET', key, 'state', state, 'place', '', 'run', run)
    redis.call('HDEL', key, 'envelope', 'entry', 'due', 'suspect', 'cancel', 'nonce', 'worker',
      'unknown_since', 'progress')
    forget_later(key, hash)
    settled = settled + 1
    told[#told + 1] = id
  elseif not hash.run then
    told[#told + 1] = id
  end
end
if #told > 0 then redis.call('PUBLISH', ARGV[4], table.concat(told, '\n')) end
if settled > 0 then bump(KEYS[7], 's', settled) end
return settled
