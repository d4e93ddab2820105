-- Marks a task as cancelled; it keeps its place and whoever meets the mark finishes it (rule 8).
-- Whoever runs it is told, so that it need not wait for its next renewal to meet the mark.
-- KEYS: 1 generation, 2 task hash
-- ARGV: 1 token, 2 state running, 3 channel of the cancelled, 4 id
-- Returns: {run, request digest, place} or {} when there is no such hash
if stale() then return STALE end
local hash = redis.call('HMGET', KEYS[2], 'run', 'digest', 'place', 'state')
local state = table.remove(hash, 4)
if not hash[1] then return {} end
if hash[3] ~= '' then redis.call('HSET', KEYS[2], 'cancel', 1) end
if state == ARGV[2] then redis.call('PUBLISH', ARGV[3], ARGV[4]) end
return hash
