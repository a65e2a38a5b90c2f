
-- Part of wait and release: what hands a lock on to the next in its queue.
--
-- A queue is a sorted set. Each place has two members: `A`, `x`, its name (16 digits), the length
-- of the token (3 digits), token, channel; with its order as the score. And `B`, its name; with the
-- end of its reservation (server ms) times 64, plus the serial of the request that kept it, as the
-- score. Orders are small numbers, so all of the first kind come before all of the second.
local now

-- Finds the first place that lives and is not passed over. Returns that member and the score of the
-- other one, and the members of the dead before it; or nothing and what is wrong with the queue.
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
        local heard = channel == '' or member == asker
        if not heard then
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
  return place or first, kept or first_kept, gone
end

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
