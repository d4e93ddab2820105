-- Lists the workers that live, and forgets those whose time has run out.
-- KEYS: 1 workers
-- ARGV: none
-- Returns: {worker, what it says of itself, worker, ...}
local now, found = now_ms(), {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local live_until, said = string.match(all[i + 1], '^(%d+):(.*)$')
  if tonumber(live_until) > now then
    found[#found + 1] = all[i]
    found[#found + 1] = said
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return found
