-- Shows of the last minutes how many runs were accepted and got their copy, and how many copies left.
-- KEYS: 1 generation, 2 coverage, 3 journal
-- ARGV: 1 token, 2 minutes
-- Returns: {now ms, ms since when it is counted ('' = nothing yet), id of the oldest journal entry
--          ('' = none), per minute, the oldest first, accepted, mirrored, retired, ...}
if stale() then return STALE end
local now, fields = now_ms(), {}
local minute = math.floor(now / 60000)
for at = minute - tonumber(ARGV[2]) + 1, minute do
  for _, kind in ipairs({'a', 'm', 'r'}) do fields[#fields + 1] = kind .. at end
end
local counts = redis.call('HMGET', KEYS[2], unpack(fields))
for i = 1, #counts do counts[i] = tonumber(counts[i] or 0) end
local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
return {now, redis.call('HGET', KEYS[2], 'since') or '', oldest and oldest[1] or '', counts}
