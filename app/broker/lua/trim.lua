-- Takes the confirmed prefix off the journal and leaves positive evidence (rule 3): a task is
-- marked mirrored only if its hash still names this very journal entry.
-- KEYS: 1 generation, 2 journal, 3 mirror, 4 coverage, 5.. task hashes
-- ARGV: 1 token, 2 the last confirmed journal id, 3 the id after it, 4 channel of the watermark,
--       then per task its journal id
-- Returns: how many tasks were marked
if stale() then return STALE end
local marked, covered = 0, {}
for n = 1, #ARGV - 4 do
  local key, jid = KEYS[4 + n], ARGV[4 + n]
  local hash = redis.call('HMGET', key, 'jid', 'place', 'ttl', 'mirrored', 'first', 'refreshing')
  if hash[1] == jid then
    local first = hash[5] or jid
    if hash[4] ~= '1' and first ~= '' then tally(covered, first, 1) end
    redis.call('HSET', key, 'mirrored', 1)
    if hash[6] then redis.call('HDEL', key, 'refreshing') end
    if hash[2] == '' and hash[3] then redis.call('PEXPIRE', key, hash[3]) end
    marked = marked + 1
  end
end
redis.call('XTRIM', KEYS[2], 'MINID', '=', ARGV[3])
redis.call('HSET', KEYS[3], 'watermark', ARGV[2], 'generation', ARGV[1])
redis.call('HINCRBY', KEYS[3], 'confirmed', #ARGV - 4)
redis.call('PUBLISH', ARGV[4], ARGV[2])
cover(KEYS[4], 'm', covered)
return marked
