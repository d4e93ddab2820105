-- Shows who keeps the journal and whether the broker takes copies.
-- KEYS: 1 generation, 2 mirror, 3 lease, 4 journal
-- ARGV: 1 token
-- Returns: {a leader was seen 0/1, its lease is valid 0/1, blocked 0/1, journal entries}
if stale() then return STALE end
local mirror = redis.call('HMGET', KEYS[2], 'leader', 'blocked')
return {mirror[1] and 1 or 0, redis.call('EXISTS', KEYS[3]), mirror[2] == '1' and 1 or 0,
  redis.call('XLEN', KEYS[4])}
