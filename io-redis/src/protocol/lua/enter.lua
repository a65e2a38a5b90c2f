
-- Part of what keeps places: keeps a place for a TTL from now, or enters it at the end. `before`
-- are the scores of its two members. Answers why not. The end of a reservation is never brought
-- forward, and the later serial counts.
-- Law: Fairness
local function enter(queue, place, ttl, serial, before, at)
  local pcall, floor = redis.pcall, math.floor
  local name, till, done = 'B' .. string.sub(place, 3, 18), now + ttl, nil
  local order, last = before[1], tonumber(before[2] or 0)
  if order then
    local after = (serial - last) % 64
    if after == 0 or after >= 32 and last > 0 then serial = last % 64 end
    done = pcall('ZADD', queue, math.max(till, floor(last / 64)) * 64 + serial, name)
  else
    -- Law: Bounded work
    local size = pcall('ZCARD', queue)
    if type(size) == 'number' and size >= 200000 then return 'full' end
    done = pcall('ZADD', queue, at or tail(queue), place, till * 64 + serial, name)
  end
  if type(done) == 'table' then return '-' .. done.err end
  -- Law: No orphan
  local left = pcall('PTTL', queue)
  if type(left) == 'table' or left < ttl then done = pcall('PEXPIREAT', queue, till) end
  if type(done) == 'table' then return '-' .. done.err end
end
