-- Reads a lock and who waits for it, and changes nothing.
-- KEYS: lock, queue
-- What a queue is, stands in hand_on.lua.
local pcall, queue = redis.pcall, KEYS[2]
local held = pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
  return 'wrong key ' .. (pcall('TYPE', KEYS[1]).ok or '')
end
local size, places = pcall('ZCARD', queue), {}
if type(size) == 'table' then
  if not string.find(size.err, 'WRONGTYPE', 1, true) then return size end
  return 'wrong queue ' .. (pcall('TYPE', queue).ok or '')
end
if size > 0 then
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
return {'seen', held, redis.call('PTTL', KEYS[1]), math.floor(size / 2), places}
