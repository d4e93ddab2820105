-- Lists delayed tasks of one kind, the earliest due first.
-- KEYS: 1 generation, 2 delayed, 3 retrying
-- ARGV: 1 token, 2 which: 0 = not tried yet, 1 = to be tried again, 3 at most so many,
--       4 members looked at, 5 due ms and 6 id of the last one seen ('' = from the first)
-- Returns: {ids, due ms, id}: the last one seen, '' = that was the end
if stale() then return STALE end
local from, most, looked_at = 0, tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[5] ~= '' then
  local due = redis.call('ZSCORE', KEYS[2], ARGV[6])
  if due and tonumber(due) == tonumber(ARGV[5]) then
    from = redis.call('ZRANK', KEYS[2], ARGV[6]) + 1
  else
    -- It moved on: some of the same due time may come again, none is left out.
    from = redis.call('ZCOUNT', KEYS[2], '-inf', '(' .. ARGV[5])
  end
end
local found = redis.call('ZRANGE', KEYS[2], from, from + looked_at - 1, 'WITHSCORES')
local members = {}
for i = 1, #found, 2 do members[#members + 1] = found[i] end
if #members == 0 then return {{}, '', ''} end
local ids, marks = {}, redis.call('SMISMEMBER', KEYS[3], unpack(members))
for n, id in ipairs(members) do
  if tostring(marks[n]) == ARGV[2] then ids[#ids + 1] = id end
  if #ids == most then return {ids, found[2 * n], id} end
end
if #members < looked_at then return {ids, '', ''} end
return {ids, found[2 * #members], members[#members]}
