
-- Part of what keeps places: enters a place at the end, or keeps the one that is there, for a TTL
-- from now. Needs `queue` and how many members it has in `size`, `place`, `ttl`, `serial`, the time
-- `now` and, over several nodes, the `order` at the end. It leaves why not in `failed` and, where
-- it is known, how many are ahead in `ahead`. The end of a reservation is never brought forward,
-- and the later serial counts.
-- Law: Fairness
local name, ends, entered, before = 'B' .. sub(place, 3, 18), now + ttl, nil, {}
-- An end that was in the queue before, if one is known.
local other_end
-- The first request of a place finds none, unless it is sent twice.
if serial ~= 1 or size >= 200000 then
  before = pcall('ZMSCORE', queue, place, name)
  other_end = before[2] and before[2] / 64
end
-- Law: Bounded work
if not (before[1] or before.err) and size >= 200000 then
  failed = 'full'
elseif not (before[1] or before.err) then
  if not order then order, ahead, other_end = tail(queue, size) end
  -- In two parts, since `%d` has 32 bits on some machines. `..` keeps 14 digits, and `%.0f` is
  -- slower.
  local score = ends * 64 + serial
  score = format('%d%06d', floor(score / 1000000), score % 1000000)
  entered = pcall('ZADD', queue, 'NX', order, place, score, name)
  if entered == 0 or entered == 1 then before = pcall('ZMSCORE', queue, place, name) end
end
if before[1] then
  local last = tonumber(before[2] or 0)
  local after = (serial - last) % 64
  if after == 0 or after >= 32 and last > 0 then serial = last % 64 end
  local score = math.max(ends, floor(last / 64)) * 64 + serial
  score = format('%d%06d', floor(score / 1000000), score % 1000000)
  entered, ahead = pcall('ZADD', queue, score, name), nil
elseif before.err then
  entered = before
end
-- The queue expires at the next full ten seconds behind the last of all ends, or later. That is so
-- already if an end that is there lies in the same ten seconds, or in later ones.
-- Law: No orphan
local till = ends - ends % 10000 + 10000
if type(entered) == 'number' and not (other_end and other_end >= till - 10000) then
  local expiry = format('%d%06d', floor(till / 1000000), till % 1000000)
  -- A server before 7.0 does not know GT, and what has no expiry has more left than any.
  if size == 0 or pcall('PEXPIREAT', queue, expiry, 'GT') ~= 1 then
    local left = pcall('PTTL', queue)
    if type(left) == 'table' or left < till - now then
      entered = pcall('PEXPIREAT', queue, expiry)
    end
  end
end
if type(entered) == 'table' then failed = '-' .. entered.err end
