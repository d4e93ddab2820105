-- Notes that this generation goes on where the one before it ended, with nothing lost: since when
-- Redis remembers ids stays as it was.
-- KEYS: 1 generation
-- ARGV: 1 token
-- Returns: since ms
if stale() then return STALE end
local since = redis.call('HGET', KEYS[1], 'before')
if since and since ~= '' then
  redis.call('HSET', KEYS[1], 'since', since)
  redis.call('HDEL', KEYS[1], 'before')
end
return redis.call('HGET', KEYS[1], 'since')
