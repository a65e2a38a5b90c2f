
-- Part of what hands a lock on, or hints that it is free: finds who is next in its queue.
--
-- A queue is a sorted set. Each place has two members: `A`, `x`, its name (16 digits), the length
-- of the token (3 digits), token, channel; with its order as the score. And `B`, its name; with the
-- end of its reservation (server ms) times 64, plus the serial of the request that kept it, as the
-- score. Orders are small numbers, so all of the first kind come before all of the second. Over
-- several nodes, where nothing is handed on, the token is that of the first attempt, the serial is
-- 0, and the order is a second of the server's time.
--
-- It finds the first place that lives and is not passed over, or else the first that lives. What it
-- needs: `queue`; `members` with the first of it; `asker`, a member whose lease hears the answer,
-- '' if none does, or nil where nothing is handed on; `leaver`, a member that is no place any more;
-- and in `now` the server's time in ms, which may be too late if it is not `exact`. It leaves that
-- member and the score of its other one in `next` and `kept`, whether that is one that is not
-- passed over in `heard`, the members that are to be removed in `gone`, and what is wrong with the
-- queue in `trouble`. A place without a channel is passed over if there is no asker: nothing can be
-- said to it.
local next, kept, length, heard, trouble = nil, nil, nil, false, nil
local gone, seen, size, first, first_kept, first_length = {}, 0, 1, nil, nil, nil
if leaver then gone = {leaver, 'B' .. sub(leaver, 3, 18)} end
-- Law: Fairness
while members do
  local names = {}
  for j = 1, #members do
    if sub(members[j], 1, 1) ~= 'A' then break end
    names[j] = 'B' .. sub(members[j], 3, 18)
  end
  local ends = names[1] and pcall('ZMSCORE', queue, unpack(names)) or members
  trouble = ends.err
  for j = 1, trouble and 0 or #names do
    local member, score = members[j], (ends[j] or 0) + 0
    local till = floor(score / 64)
    if till <= now and not exact then
      local clock = redis.call('TIME')
      now, exact = clock[1] * 1000 + floor(clock[2] / 1000), true
    end
    if till <= now then
      -- Who is dead gets nothing: the key would expire at once.
      -- Law: No orphan
      gone[#gone + 1] = member
      gone[#gone + 1] = names[j]
    elseif member ~= leaver then
      local digits = tonumber(sub(member, 19, 21)) or 0
      local channel = sub(member, 22 + digits)
      heard = asker and (channel == '' or member == asker)
      if not heard and channel ~= '' then
        -- PUBLISH does not tell: monitors that listen to patterns count there.
        local listen = pcall('PUBSUB', 'NUMSUB', channel)
        heard = listen.err or listen[2] ~= 0
      end
      if heard then
        next, kept, length = member, score, digits
        break
      end
      if not first then first, first_kept, first_length = member, score, digits end
    end
  end
  seen = seen + #names
  -- Law: Bounded work
  local more = not (next or trouble) and #names == size and seen <= 1024
  size = 64
  members = more and pcall('ZRANGE', queue, seen, seen + size - 1)
end
if not next then next, kept, length = first, first_kept, first_length end
if trouble and string.find(trouble, 'WRONGTYPE', 1, true) then
  trouble = 'wrong queue ' .. (pcall('TYPE', queue).ok or '')
elseif trouble then
  trouble = '-' .. trouble
end
