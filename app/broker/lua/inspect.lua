-- Tells the rehydrator how tasks stand here. Present = an open hash and its place (rule 9).
-- KEYS: 1 generation, 2-4 ready high/normal/low, 5 delayed, 6.. task hashes
-- ARGV: 1 token, then per task its id
-- Returns: per task {standing, run, request digest}; standing is present (open, with its place),
--          displaced (open, its place is gone), settled (closed here) or absent
if stale() then return STALE end
local answers = {}
for n = 1, #ARGV - 1 do
  local hash = redis.call('HMGET', KEYS[5 + n], 'run', 'digest', 'place', 'lane', 'entry')
  local standing = 'absent'
  if hash[1] and hash[3] == '' then
    standing = 'settled'
  elseif hash[1] then
    local there
    if hash[3] == 'delayed' then
      there = redis.call('ZSCORE', KEYS[5], ARGV[1 + n])
    else
      there = hash[5] and redis.call('XRANGE', KEYS[1 + tonumber(hash[4])], hash[5], hash[5])[1]
    end
    standing = there and 'present' or 'displaced'
  end
  answers[n] = {standing, hash[1] or '0', hash[2] or ''}
end
return answers
