
-- Part of what hands a lock on, or hints that it is free: finds the next in the queue of the lock.
--
-- A queue is a sorted set. Each place has two members: `A`, `x`, its name (16 digits), the length
-- of the token (3 digits), token, channel; with its order as the score. And `B`, its name; with the
-- end of its reservation (server ms) times 64, plus the serial of the request that kept it, as the
-- score. Orders are small numbers, so all of the first kind come before all of the second. Over
-- several nodes, where nothing is handed on, the token is that of the first attempt, the serial is
-- 0, and the order is a second of the server's time.
local now

-- Finds the first place that lives and is not passed over, or else the first that lives. Returns
-- that member and the score of the other one, the members of the dead before it, and whether it is
-- one that is not passed over; or nothing and what is wrong with the queue.
-- A place without a channel is passed over if there is no asker: nothing can be said to it.
local function next_of(queue, asker)
  local sub = string.sub
  local gone, seen, size = {}, 0, 1
  local place, kept, first, first_kept
  -- Law: Fairness
  repeat
    local members, names = pcall('ZRANGE', queue, seen, seen + size - 1), {}
    if members.err then
      local wrong = string.find(members.err, 'WRONGTYPE', 1, true)
      return nil, wrong and 'wrong queue ' .. (pcall('TYPE', queue).ok or '') or '-' .. members.err
    end
    for j = 1, #members do
      if sub(members[j], 1, 1) ~= 'A' then break end
      names[j] = 'B' .. sub(members[j], 3, 18)
    end
    if #names == 0 then break end
    local ends = pcall('ZMSCORE', queue, unpack(names))
    if ends.err then return nil, '-' .. ends.err end
    for j = 1, #names do
      local member, score = members[j], tonumber(ends[j] or 0)
      -- Who is dead gets nothing: the key would expire at once.
      -- Law: No orphan
      if math.floor(score / 64) <= now then
        gone[#gone + 1] = member
        gone[#gone + 1] = names[j]
      else
        local channel = sub(member, 22 + (tonumber(sub(member, 19, 21)) or 0))
        local heard = asker and (channel == '' or member == asker)
        if not heard and channel ~= '' then
          -- PUBLISH does not tell: monitors that listen to patterns count there.
          local listen = pcall('PUBSUB', 'NUMSUB', channel)
          heard = listen.err or listen[2] ~= 0
        end
        if heard then
          place, kept = member, score
          break
        end
        if not first then first, first_kept = member, score end
      end
    end
    seen = seen + #names
    local more = #names == size
    size = 64
    -- Law: Bounded work
  until place or not more or seen > 1024
  return place or first, kept or first_kept, gone, place
end
