-- Takes entries out without an outcome: another request owns their id, a quarantine record keeps
-- them. Their hashes go too, so that the owner of the id can be restored (rule 10).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5.. task hashes
-- ARGV: 1 token, 2 consumer, then per task: lane 1-3, entry
-- Returns: per task 1 = dropped, 0 = not ours any more
if stale() then return STALE end
local answers = {}
for i = 3, #ARGV, 2 do
  local n = #answers + 1
  local lane, entry = KEYS[1 + tonumber(ARGV[i])], ARGV[i + 1]
  if not owns(lane, entry, ARGV[2]) then
    answers[n] = 0
  else
    drop_entry(lane, entry)
    if redis.call('HGET', KEYS[4 + n], 'entry') == entry then redis.call('DEL', KEYS[4 + n]) end
    answers[n] = 1
  end
end
return answers
