-- Gives the lease on the journal back, so that the next mirror need not wait for its expiry.
-- KEYS: 1 generation, 2 lease
-- ARGV: 1 token, 2 owner
-- Returns: 1 = it was ours
if stale() then return STALE end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[2])
