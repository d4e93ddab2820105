-- Lists entries that were handed to a consumer which has been silent for a lease: nobody owns them.
-- KEYS: 1 generation, 2 one ready stream
-- ARGV: 1 token, 2 lease ms, 3 entry to go on behind ('' = from the first), 4 at most so many
-- Returns: {{id, run, consumer, idle ms} ..., the last entry looked at ('' = that was the end)}
if stale() then return STALE end
local most = tonumber(ARGV[4])
local from = ARGV[3] == '' and '-' or '(' .. ARGV[3]
local pending = redis.pcall('XPENDING', KEYS[2], 'workers', 'IDLE', ARGV[2], from, '+', most)
if pending.err then return {{}, ''} end
local found = {}
for _, each in ipairs(pending) do
  local entry = redis.call('XRANGE', KEYS[2], each[1], each[1])[1]
  if entry then found[#found + 1] = {entry[2][2], entry[2][4], each[2], each[3]} end
end
return {found, #pending == most and pending[#pending][1] or ''}
