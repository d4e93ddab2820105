-- Tells which tasks have their confirmed copy: the mark, never the absence of something (rule 3).
-- KEYS: 1 generation, 2.. task hashes
-- ARGV: 1 token, then per task: the run it was accepted in, its request digest ('' = whatever it is)
-- Returns: per task 1 = marked mirrored in this run or a later one, 0 = not, -1 = no such hash, or
--          one of another request (rule 10)
if stale() then return STALE end
local answers = {}
for n = 1, #KEYS - 1 do
  local run, digest = ARGV[2 * n], ARGV[2 * n + 1]
  local hash = redis.call('HMGET', KEYS[1 + n], 'mirrored', 'run', 'digest')
  if not hash[2] or (digest ~= '' and hash[3] ~= digest) then
    answers[n] = -1
  else
    answers[n] = (hash[1] == '1' and tonumber(hash[2]) >= tonumber(run)) and 1 or 0
  end
end
return answers
