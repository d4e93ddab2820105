-- Writes, so that a wait for the fsync waits for everything before it: a connection whose verb found
-- its work done has written nothing, and would wait for nothing.
-- KEYS: 1 generation
-- ARGV: 1 token
-- Returns: 1
if stale() then return STALE end
redis.call('HSET', KEYS[1], 'touched', now_ms())
return 1
