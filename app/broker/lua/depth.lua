-- Figures of one queue.
-- KEYS: 1 generation, 2 journal, 3-5 ready high/normal/low, 6 delayed, 7 retrying, 8 mirror, 9 rates
-- ARGV: 1 token, 2 journal entries looked at to tell tasks from refreshes, 3 bytes of their envelopes
-- Returns: {now ms, in ready streams, handed to workers, delayed, of these retrying, oldest waiting
--          entry's id, journal entries that are tasks, oldest unmirrored task's id, accepted and settled in the last
--          ten seconds, mirror hash as field, value, ...}
if stale() then return STALE end
local now = now_ms()
local ready, taken, oldest = 0, 0, ''
for lane = 3, 5 do
  ready = ready + redis.call('XLEN', KEYS[lane])
  local groups = redis.pcall('XINFO', 'GROUPS', KEYS[lane])
  local after = '-'
  if not groups.err and groups[1] then
    local group = {}
    for i = 1, #groups[1], 2 do group[groups[1][i]] = groups[1][i + 1] end
    taken = taken + group.pending
    after = '(' .. group['last-delivered-id']
  end
  local first = redis.pcall('XRANGE', KEYS[lane], after, '+', 'COUNT', 1)[1]
  if first and (oldest == '' or tonumber(string.match(first[1], '^%d+')) < tonumber(string.match(oldest, '^%d+'))) then
    oldest = first[1]
  end
end
-- Refresh entries are copies RabbitMQ already has: not counted, nor the oldest. Looked at a few at a
-- time, and no more than some bytes of them: what is not looked at counts as tasks, and is as old as
-- its first.
local unmirrored, length = '', redis.call('XLEN', KEYS[2])
local from, left, bytes, size = '-', tonumber(ARGV[2]), tonumber(ARGV[3]), 0
while left > 0 and bytes > 0 do
  local some = size == 0 and 10 or math.max(1, math.floor(bytes / size))
  local entries = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', math.min(left, some))
  if not entries[1] then break end
  local seen = 0
  for _, entry in ipairs(entries) do
    seen = seen + #entry[2][8]
    if entry[2][6] == 'refresh' then
      length = length - 1
    elseif unmirrored == '' then
      unmirrored = entry[1]
    end
  end
  from = '(' .. entries[#entries][1]
  left, bytes, size = left - #entries, bytes - seen, math.max(1, seen / #entries)
end
if unmirrored == '' and length > 0 then
  local behind = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1)[1]
  unmirrored = behind and behind[1] or ''
end
local second, sums = math.floor(now / 1000), {a = 0, s = 0}
local ring = redis.call('HGETALL', KEYS[9])
for i = 1, #ring, 2 do
  local at, count = string.match(ring[i + 1], '^(%d+):(%d+)$')
  local kind = string.sub(ring[i], 1, 1)
  if second - tonumber(at) < 10 then sums[kind] = sums[kind] + tonumber(count) end
end
return {now, ready, taken, redis.call('ZCARD', KEYS[6]), redis.call('SCARD', KEYS[7]), oldest,
  length, unmirrored, sums.a, sums.s, redis.call('HGETALL', KEYS[8])}
