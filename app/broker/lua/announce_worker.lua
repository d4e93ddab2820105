-- Says that a worker lives, and until when by this Redis's clock.
-- KEYS: 1 workers
-- ARGV: 1 worker, 2 ms, 3 what it says of itself
-- Returns: 1
redis.call('HSET', KEYS[1], ARGV[1], now_ms() + tonumber(ARGV[2]) .. ':' .. ARGV[3])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
