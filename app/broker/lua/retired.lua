-- Counts copies that were let go because the ledger has their run as over. A canary's hash says so.
-- KEYS: 1 generation, 2 coverage, 3.. task hashes of canaries
-- ARGV: 1 token, 2 copies
-- Returns: 1
if stale() then return STALE end
local now = now_ms()
local counts = {}
tally(counts, string.format('%d', now), tonumber(ARGV[2]))
cover(KEYS[2], 'r', counts)
for n = 3, #KEYS do
  if redis.call('EXISTS', KEYS[n]) == 1 then redis.call('HSET', KEYS[n], 'retired', now) end
end
return 1
