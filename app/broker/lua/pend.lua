-- Notes that something was lost within this generation: copies must be looked at before anybody
-- says that a task is unknown, and ids may be forgotten from now on.
-- KEYS: 1 generation
-- ARGV: 1 token
-- Returns: 1
if stale() then return STALE end
redis.call('HSET', KEYS[1], 'pending', '1', 'since', now_ms())
return 1
