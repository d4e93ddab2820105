-- Hands ready entries to a consumer, high priority first, never more than it has room for.
-- KEYS: 1 generation, 2-4 ready high/normal/low
-- ARGV: 1 token, 2 consumer, 3 at most so many, 4 '>' for new entries or '0' for one's own pending,
--       5 the order of lanes, as three digits ('123')
-- Returns: {flag, {lane, entries} ..., last id of each lane}; flag is open, paused or unloaded
if stale() then return STALE end
local room = tonumber(ARGV[3])
local found = {}
local paused = redis.call('HGET', KEYS[1], 'paused')

local function read(lane, count)
  return redis.pcall('XREADGROUP', 'GROUP', 'workers', ARGV[2], 'COUNT', count, 'STREAMS', lane,
    ARGV[4])
end

local last = {}
for place = 1, 3 do
  local lane = KEYS[1 + tonumber(string.sub(ARGV[5], place, place))]
  if room > 0 and paused == '0' then
    local reply = read(lane, room)
    if type(reply) == 'table' and reply.err then
      -- A lost stream comes back with its group at 0, so that nothing in it is skipped.
      redis.call('XGROUP', 'CREATE', lane, 'workers', '0', 'MKSTREAM')
      reply = read(lane, room)
    end
    if reply then
      local entries = reply[1][2]
      room = room - #entries
      found[#found + 1] = {tonumber(string.sub(ARGV[5], place, place)), entries}
    end
  end
end
for lane = 1, 3 do
  local info = redis.pcall('XINFO', 'STREAM', KEYS[1 + lane])
  last[lane] = '0-0'
  if not info.err then
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then last[lane] = info[i + 1] end
    end
  end
end
local flag = paused == '0' and 'open' or (paused and 'paused' or 'unloaded')
return {flag, found, last}
