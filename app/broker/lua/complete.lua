-- Notes that every copy up to a fence was looked at in this generation.
-- KEYS: 1 generation
-- ARGV: 1 token
-- Returns: 1
if stale() then return STALE end
redis.call('HDEL', KEYS[1], 'pending')
return 1
