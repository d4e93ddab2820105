-- Says which history this Redis has, and starts a new one when it lost or changed its own.
-- KEYS: 1 generation
-- ARGV: 1 a token for a new generation, 2 the ledger's identity ('' = not known now),
--       3 '1' to adopt another ledger
-- Returns: {token, since ms, ledger, paused ('' = not loaded), pending ('1' = copies may be missing)}
--          or error LEDGER when Redis remembers another ledger
local known = redis.call('HMGET', KEYS[1], 'token', 'run_id', 'ledger', 'since')
local ledger = known[3] or ''
if ledger ~= '' and ARGV[2] ~= '' and ledger ~= ARGV[2] and ARGV[3] ~= '1' then
  return redis.error_reply('LEDGER ' .. ledger)
end
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if not known[1] or known[2] ~= run_id then
  redis.call('HSET', KEYS[1], 'token', ARGV[1], 'run_id', run_id, 'since', now_ms(), 'pending', '1',
    'previous', known[1] or '', 'before', known[4] or '')
  -- What an older history says of pauses may be out of date: the ledger is asked again.
  redis.call('HDEL', KEYS[1], 'paused')
end
if ARGV[2] ~= '' and ledger ~= ARGV[2] then
  redis.call('HSET', KEYS[1], 'ledger', ARGV[2])
end
local all = redis.call('HMGET', KEYS[1], 'token', 'since', 'ledger', 'paused', 'pending')
for i = 1, 5 do all[i] = all[i] or '' end
return all
