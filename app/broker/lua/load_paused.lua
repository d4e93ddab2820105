-- Brings the queue's pause flag from the ledger, unless somebody has said newer.
-- KEYS: 1 generation
-- ARGV: 1 token, 2 paused 0/1
-- Returns: the flag in force
if stale() then return STALE end
redis.call('HSETNX', KEYS[1], 'paused', ARGV[2])
return redis.call('HGET', KEYS[1], 'paused')
