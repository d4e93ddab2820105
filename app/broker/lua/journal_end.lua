-- Tells how far the journal goes; run in one transaction with the read of its entries.
-- KEYS: 1 generation, 2 journal
-- ARGV: 1 token
-- Returns: last id ever generated
if stale() then return STALE end
local info = redis.pcall('XINFO', 'STREAM', KEYS[2])
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end
return '0-0'
