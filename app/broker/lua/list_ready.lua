-- Lists tasks in the ready streams, high priority first, each stream from its oldest entry on.
-- KEYS: 1 generation, 2-4 ready high/normal/low
-- ARGV: 1 token, 2 which: 0 = handed to nobody, 1 = handed to a worker, 3 at most so many,
--       4 lane 1-3 to begin in, 5 its entry to go on behind ('' = from its first)
-- Returns: {ids, lane, entry}: where to go on, lane 0 = that was the end
if stale() then return STALE end

local function parts(entry)
  local ms, seq = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end

local function later(one, other)
  local ms, seq = parts(one)
  local other_ms, other_seq = parts(other)
  if ms ~= other_ms then return ms > other_ms and one or other end
  return seq > other_seq and one or other
end

local function last_delivered(lane)
  local groups = redis.pcall('XINFO', 'GROUPS', lane)
  if groups.err or not groups[1] then return '0-0' end
  for i = 1, #groups[1], 2 do
    if groups[1][i] == 'last-delivered-id' then return groups[1][i + 1] end
  end
end

-- Entries of one lane, as {entry, fields}; without fields where a pending entry is gone.
local function waiting(lane, after, count)
  local from = later(last_delivered(lane), after)
  return redis.call('XRANGE', lane, '(' .. from, '+', 'COUNT', count)
end

local function handed(lane, after, count)
  local pending = redis.pcall('XPENDING', lane, 'workers', '(' .. after, '+', count)
  if pending.err then return {} end
  local found = {}
  for n, each in ipairs(pending) do
    found[n] = redis.call('XRANGE', lane, each[1], each[1])[1] or {each[1]}
  end
  return found
end

local read = ARGV[2] == '1' and handed or waiting
local ids, most = {}, tonumber(ARGV[3])
local after = ARGV[5] ~= '' and ARGV[5] or '0-0'
for lane = tonumber(ARGV[4]), 3 do
  local wanted = most - #ids
  local found = read(KEYS[1 + lane], after, wanted)
  for _, entry in ipairs(found) do
    if entry[2] then ids[#ids + 1] = entry[2][2] end
  end
  if #found == wanted then return {ids, lane, found[#found][1]} end
  after = '0-0'
end
return {ids, 0, ''}
