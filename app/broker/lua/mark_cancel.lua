-- Marks a task as cancelled; it keeps its place and whoever meets the mark finishes it (rule 8).
-- KEYS: 1 generation, 2 task hash
-- ARGV: 1 token
-- Returns: {run, request digest, place} or {} when there is no such hash
if stale() then return STALE end
local hash = redis.call('HMGET', KEYS[2], 'run', 'digest', 'place')
if not hash[1] then return {} end
if hash[3] ~= '' then redis.call('HSET', KEYS[2], 'cancel', 1) end
return hash
