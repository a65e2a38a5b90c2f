-- Reads a lock, its fence counter and who waits for it, and changes nothing. The counter is
-- answered as the text that is stored, even if it is no number.
-- KEYS: lock, fence counter, queue
local pcall, queue = redis.pcall, KEYS[3]

-- The answer where one of them holds what no lock keeps there, or the server's error.
local function failure(reply, name, key)
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then return reply end
  return 'wrong ' .. name .. ' ' .. (pcall('TYPE', key).ok or '')
end

local held = pcall('GETEX', KEYS[1])
if type(held) == 'table' then return failure(held, 'key', KEYS[1]) end
local fence = pcall('GET', KEYS[2])
if type(fence) == 'table' then return failure(fence, 'counter', KEYS[2]) end
