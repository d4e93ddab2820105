-- Takes or renews the lease on the journal and notes what the mirror saw since the last time.
-- KEYS: 1 generation, 2 lease, 3 mirror
-- ARGV: 1 token, 2 owner, 3 ms, 4 blocked 0/1, 5 returned, 6 refused, 7 unknown, 8 quarantined
-- Returns: 1 = ours, 0 = another mirror's
if stale() then return STALE end
local owner = redis.call('GET', KEYS[2])
if owner and owner ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('HSET', KEYS[3], 'leader', ARGV[2], 'blocked', ARGV[4])
for i, field in ipairs({'returned', 'refused', 'unknown', 'quarantined'}) do
  if ARGV[4 + i] ~= '0' then redis.call('HINCRBY', KEYS[3], field, ARGV[4 + i]) end
end
return 1
