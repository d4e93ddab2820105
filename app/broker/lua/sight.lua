-- Shows how far this history got, so that a later look can tell whether some of it was lost.
-- KEYS: 1 generation, 2 mirror, 3.. streams
-- ARGV: 1 token
-- Returns: {token of the history before this one ('' = none was known), pending 0/1, watermark
--          ('' = none), then per stream {last id, entries ever added}, or {} where it is not there}
if stale() then return STALE end
local known = redis.call('HMGET', KEYS[1], 'previous', 'pending')
local answer = {known[1] or '', known[2] == '1' and 1 or 0,
  redis.call('HGET', KEYS[2], 'watermark') or ''}
for n = 3, #KEYS do
  local info, mark = redis.pcall('XINFO', 'STREAM', KEYS[n]), {}
  if not info.err then
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then mark[1] = info[i + 1] end
      if info[i] == 'entries-added' then mark[2] = info[i + 1] end
    end
  end
  answer[#answer + 1] = mark
end
return answer
