-- Walks over every open task, whatever its state: what is delayed first, then the ready streams, so
-- that what is promoted meanwhile lies ahead. What was there all the time in one place comes; what
-- moves may come twice or be missed.
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed
-- ARGV: 1 token, 2 where to go on: 0 = delayed, 1-3 = lane, 3 the cursor there, or the entry to go
--       on behind ('' = from its start), 4 about so many
-- Returns: {ids, where to go on (4 = that was the end), the cursor or entry there}
if stale() then return STALE end
local place, behind, most = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local ids = {}
if place == 0 then
  local reply = redis.call('ZSCAN', KEYS[5], behind == '' and '0' or behind, 'COUNT', most)
  for i = 1, #reply[2], 2 do ids[#ids + 1] = reply[2][i] end
  if reply[1] ~= '0' then return {ids, 0, reply[1]} end
  return {ids, 1, ''}
end
local from = behind == '' and '-' or '(' .. behind
local found = redis.call('XRANGE', KEYS[1 + place], from, '+', 'COUNT', most)
for _, entry in ipairs(found) do ids[#ids + 1] = entry[2][2] end
if #found == most then return {ids, place, found[#found][1]} end
return {ids, place + 1, ''}
