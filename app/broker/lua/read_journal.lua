-- Reads the journal behind a cursor of the same generation.
-- KEYS: 1 generation, 2 journal
-- ARGV: 1 token, 2 the last id read ('-' = from the start), 3 at most so many
-- Returns: {entries, last id ever generated}
if stale() then return STALE end
local from = ARGV[2] == '-' and '-' or '(' .. ARGV[2]
local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[3])
local info = redis.pcall('XINFO', 'STREAM', KEYS[2])
local last = '0-0'
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
return {entries, last}
