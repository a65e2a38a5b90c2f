-- Reads a lock, and changes nothing.
-- KEYS: lock
local held = redis.pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
  return 'wrong key ' .. (redis.pcall('TYPE', KEYS[1]).ok or '')
end
return {'seen', held, redis.call('PTTL', KEYS[1])}
