-- Takes over entries whose consumer has been silent for a lease; forgets consumers long gone.
-- KEYS: 1 generation, 2 one ready stream
-- ARGV: 1 token, 2 consumer, 3 lease ms, 4 at most so many, 5 cursor ('0-0' = from the start)
-- Returns: {next cursor, entries}
if stale() then return STALE end
local lease = tonumber(ARGV[3])
local reply = redis.pcall('XAUTOCLAIM', KEYS[2], 'workers', ARGV[2], lease, ARGV[5], 'COUNT', ARGV[4])
if reply.err then return {'0-0', {}} end
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[2], 'workers')) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  if consumer.pending == 0 and consumer.idle > 20 * lease and consumer.name ~= ARGV[2] then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[2], 'workers', consumer.name)
  end
end
return {reply[1], reply[2]}
