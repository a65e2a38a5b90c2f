
-- Part of what inspects: reads who waits. What a queue is, stands in queue.lua.
local size, places = pcall('ZCARD', queue), {}
local wrong = type(size) == 'table' and size.err
if not wrong and size > 0 then
  local sub, floor = string.sub, math.floor
  local time = redis.call('TIME')
  local now = time[1] * 1000 + floor(time[2] / 1000)
  -- Law: Bounded work
  local members, names = redis.call('ZRANGE', queue, 0, 99), {}
  for i = 1, #members do
    if sub(members[i], 1, 1) ~= 'A' then break end
    names[i] = 'B' .. sub(members[i], 3, 18)
  end
  local ends = #names > 0 and redis.call('ZMSCORE', queue, unpack(names)) or {}
  for i = 1, #names do
    local left = floor(tonumber(ends[i] or 0) / 64) - now
    places[2 * i - 1] = sub(members[i], 22, 21 + (tonumber(sub(members[i], 19, 21)) or 0))
    places[2 * i] = math.max(left, 0)
  end
end
