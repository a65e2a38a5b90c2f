
-- Part of what breaks: reads the lock, and goes on if it holds exactly what was seen.
local pcall = redis.pcall
local lock, queue = KEYS[1], KEYS[2]
local held = pcall('GETEX', lock)
if type(held) == 'table' then
  if not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
  return 'wrong key ' .. (pcall('TYPE', lock).ok or '')
end
if not held then return 'gone' end
-- Law: Ownership
if redis.sha1hex(held) ~= ARGV[1] then return 'taken' end
local stream, hint = KEYS[3], nil
-- Where nobody waits, there is no queue to look at.
if pcall('EXISTS', queue) ~= 0 then
