-- Reads a lock and who waits for it, and changes nothing.
-- KEYS: lock, queue
local pcall, queue = redis.pcall, KEYS[2]
local held = pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
  return 'wrong key ' .. (pcall('TYPE', KEYS[1]).ok or '')
end
