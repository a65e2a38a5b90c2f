
-- Part of release over several nodes: tells the first in a queue that the lock is free, and keeps
-- it for that one for a moment, so that whoever comes by chance, and the one that gave it back, is
-- not before it. It is not the first any more then: if it does not ask, or asks in vain, the next
-- hint is for another.
-- Law: Progress
hint = function(lock, queue)
  local sub, floor = string.sub, math.floor
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + floor(time[2] / 1000)
  end
  local place, kept, gone, heard = next_of(queue, nil)
  if not gone then return end
  if #gone > 0 then pcall('ZREM', queue, unpack(gone)) end
  if not place then return end
  pcall('ZADD', queue, 'XX', tail(queue), place)
  if not heard then return end
  local length = tonumber(sub(place, 19, 21)) or 0
  -- The token of an earlier attempt of that lease: its acquire takes it over.
  -- Law: No orphan
  local moment = math.min(50, floor(kept / 64) - now)
  pcall('SET', lock, sub(place, 22, 21 + length), 'NX', 'PX', moment)
  pcall('PUBLISH', sub(place, 22 + length), sub(place, 3, 18))
end
end
