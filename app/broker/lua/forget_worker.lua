-- Takes a worker that stops off the list, so that nobody waits for its time to run out.
-- KEYS: 1 workers
-- ARGV: 1 worker
-- Returns: 1 = it was there
return redis.call('HDEL', KEYS[1], ARGV[1])
