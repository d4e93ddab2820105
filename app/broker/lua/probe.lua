-- Shows whether this Redis takes writes at all (a full, read-only or loading one does not).
-- KEYS: 1 the probe's own key
-- ARGV: 1 ms it lives
-- Returns: 1
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 1
