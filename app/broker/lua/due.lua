-- Names the delayed tasks whose time has come, by Redis's clock.
-- KEYS: 1 generation, 2 delayed
-- ARGV: 1 token, 2 at most so many
-- Returns: {ids, ms until the next one (-1 = none)}
if stale() then return STALE end
local now = now_ms()
local ids = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[2])
local next = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {ids, next[2] and math.max(0, tonumber(next[2]) - now) or -1}
