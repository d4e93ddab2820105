-- Tells whether the new copies that refreshes wait for were confirmed: positive evidence, for a
-- watermark also passes the ids of a journal that was lost (rules 3, 6).
-- KEYS: 1 generation, 2.. task hashes
-- ARGV: 1 token, then per task: run, the journal id waited for
-- Returns: per task 1 (its hash names that id, and trim.lua took off the mark of the wait) or 0
if stale() then return STALE end
local answers = {}
for n = 1, #KEYS - 1 do
  local hash = redis.call('HMGET', KEYS[1 + n], 'run', 'jid', 'mirrored', 'refreshing')
  local named = hash[1] == ARGV[2 * n] and hash[2] == ARGV[2 * n + 1]
  answers[n] = (named and hash[3] == '1' and not hash[4]) and 1 or 0
end
return answers
