
-- Part of what keeps places: enters a place at the end, or keeps the one that is there, for a TTL
-- from now. Needs `queue` and how many members it has in `size`, `place`, `ttl`, `serial`, the time
-- `now` and, over several nodes, the `order` at the end. It leaves why not in `failed` and, where
-- it is known, how many are ahead in `ahead`. The end of a reservation is never brought forward,
-- and the later serial counts.
-- Law: Fairness
local name, ends, entered = 'B' .. sub(place, 3, 18), now + ttl, 0
-- Law: Bounded work
if size < 200000 then
  if not order then order, ahead = tail(queue, size) end
  entered = pcall('ZADD', queue, 'NX', order, place, format('%d', ends * 64 + serial), name)
end
if entered == 0 or entered == 1 then
  -- It was there.
  local before = pcall('ZMSCORE', queue, place, name)
  if before[1] then
    local last = tonumber(before[2] or 0)
    local after = (serial - last) % 64
    if after == 0 or after >= 32 and last > 0 then serial = last % 64 end
    local score = math.max(ends, floor(last / 64)) * 64 + serial
    entered = pcall('ZADD', queue, format('%d', score), name)
  elseif before.err then
    entered = before
  else
    failed = 'full'
  end
  ahead = nil
end
-- Law: No orphan
if type(entered) == 'number' and not failed then
  local till = format('%d', ends)
  -- A server before 7.0 does not know GT, and what has no expiry has more left than any.
  if size == 0 or pcall('PEXPIREAT', queue, till, 'GT') ~= 1 then
    local left = pcall('PTTL', queue)
    if type(left) == 'table' or left < ttl then entered = pcall('PEXPIREAT', queue, till) end
  end
end
if type(entered) == 'table' then failed = '-' .. entered.err end
