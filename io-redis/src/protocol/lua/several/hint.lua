
-- Part of `hint` in release over several nodes, which tells the first in a queue that the lock is
-- free, and keeps it for that one for a moment, so that whoever comes by chance, and the one that
-- gave it back, is not before it. It is not the first any more then: if it does not ask, or asks in
-- vain, the next hint is for another.
-- Law: Progress
local sub, floor = string.sub, math.floor
if not now then
  local clock = redis.call('TIME')
  now = clock[1] * 1000 + floor(clock[2] / 1000)
end
local exact, asker, leaver = true, nil, nil
local members = pcall('ZRANGE', queue, '0', '0')
