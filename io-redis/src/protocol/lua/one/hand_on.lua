
-- Part of wait and release over one node: hands a lock on to the next in its queue.
--
-- Returns the member of the place that has the lock now, the id that was drawn, and until when the
-- lock is its; or nothing and, if something went wrong, what. If nobody waits it changes nothing
-- but that the dead are gone.
hand_on = function(lock, queue, asker)
  local sub, floor = string.sub, math.floor
  if not now then
    local time = redis.call('TIME')
    now = time[1] * 1000 + floor(time[2] / 1000)
  end
  local place, kept, gone = next_of(queue, asker)
  if not gone then return nil, kept end
  local id, failed
  if place then
    id, failed = draw()
    if failed then return nil, failed end
    gone[#gone + 1] = place
    gone[#gone + 1] = 'B' .. sub(place, 3, 18)
  end
  if #gone > 0 then
    local removed = pcall('ZREM', queue, unpack(gone))
    if type(removed) == 'table' then return nil, '-' .. removed.err end
  end
  if not place then return end
  local length, till = tonumber(sub(place, 19, 21)) or 0, floor(kept / 64)
  local set = pcall('SET', lock, sub(place, 22, 21 + length), 'PXAT', till)
  if set.err then return nil, '-' .. set.err end
  local channel = sub(place, 22 + length)
  if channel ~= '' and place ~= asker then
    -- Last, so that nobody is told of what was refused.
    pcall('PUBLISH', channel, sub(place, 3, 18) .. ' ' .. kept % 64 .. ' ' .. id)
  end
  return place, id, till
end
