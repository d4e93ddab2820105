-- Says whether the queue's tasks may start. Called after the ledger has it, so that it outlives
-- this Redis; fetch.lua and start.lua obey.
-- KEYS: 1 generation
-- ARGV: 1 token, 2 paused 0/1
-- Returns: 1
if stale() then return STALE end
redis.call('HSET', KEYS[1], 'paused', ARGV[2])
return 1
