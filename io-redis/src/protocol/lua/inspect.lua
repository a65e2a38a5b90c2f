-- Reads a lock and its fence counter, and changes nothing. The counter is answered as the text that
-- is stored, even if it is no number.
-- KEYS: lock, fence counter
local held = redis.pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if string.find(held.err, 'WRONGTYPE', 1, true) then return 'foreign' end
  return held
end
local fence = redis.pcall('GET', KEYS[2])
if type(fence) == 'table' then
  if string.find(fence.err, 'WRONGTYPE', 1, true) then return 'foreign' end
  return fence
end
local time = redis.call('TIME')
return {'seen', held, redis.call('PTTL', KEYS[1]), fence, time[1] * 1000000 + time[2]}
