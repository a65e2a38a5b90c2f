-- Takes the lock if it is free or held by an earlier attempt of the same lease, and draws a fence.
-- KEYS: lock, fence counter [, marker]
-- ARGV: token, TTL ms, proposed fence (0: none)
--       [, run id, replication id, max TTL ms, number of nodes, name of the set]
-- The usual way, a free key, is four calls, and its answer one string: each call and each number of
-- an answer costs a server more than all the rest.

-- A "no" that needs no look at the lock is made by a write all the same, which a replica refuses.
local function no(answer)
  local held = redis.pcall('GETEX', KEYS[1])
  if type(held) == 'table' and not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
  return answer
end

local fence = redis.pcall('GET', KEYS[2])
local last = 0
if fence then
  if type(fence) == 'table' then
    if string.find(fence.err, 'WRONGTYPE', 1, true) then return no('foreign') end
    return fence
  end
  last = string.match(fence, '^%d+$') and tonumber(fence)
  if not last or last >= 9007199254740991 then return no('foreign') end
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local quarantine
if KEYS[3] then
  local marker = redis.pcall('GET', KEYS[3])
  if type(marker) == 'table' then
    if string.find(marker.err, 'WRONGTYPE', 1, true) then return no({'misuse'}) end
    return marker
  end
  if not marker then return no('unmarked') end
  local run, replication, _, since, ttl, nodes, name =
    string.match(marker, '^(%S+) (%S+) ([01]) (%d+) (%d+) (%d+) (.*)$')
  if not run then return no({'misuse'}) end
  if ttl ~= ARGV[6] or nodes ~= ARGV[7] or name ~= ARGV[8] then
    return no({'misuse', ttl, nodes, name})
  end
  if run ~= ARGV[4] or replication ~= ARGV[5] then return no('unmarked') end
  -- A server clock that was set back would stretch the wait: the marker is written again, with a
  -- beginning that is not in the future, within the link's next look at the node's identity.
  local left = since + ttl - math.floor(now / 1000)
  if left > 0 then quarantine = {'quarantine', math.min(left, tonumber(ttl))} end
end

-- NX before anything is known of the lock: as a write it is refused by a replica, and a key that is
-- there is not touched.
local set = not quarantine and redis.pcall('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
-- Out of memory a write is refused before it looks: that the lock is held is still told.
local full = set and set.err and string.find(set.err, 'OOM', 1, true)
if not set or full then
  local held = redis.pcall('GETEX', KEYS[1])
  if not held then return quarantine or set end
  if type(held) == 'table' then
    if string.find(held.err, 'WRONGTYPE', 1, true) then return 'foreign' end
    return held
  end
  local prefix, attempt = string.match(ARGV[1], '^(.*:)(%d+)$')
  local other = string.sub(held, 1, #prefix) == prefix
    and string.match(held, '^%d+$', #prefix + 1)
  if not other then
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 then return 'foreign' end
    return {'held', left, now}
  end
  if tonumber(other) > tonumber(attempt) then return 'taken' end
  if quarantine then return quarantine end
  set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
if set.err then return set end

local next = now
if last >= next then next = last + 1 end
local proposal = tonumber(ARGV[3])
-- A proposal more than a minute ahead of this server's time is ignored: it would stay.
if proposal > next and proposal <= now + 60000000 then next = proposal end
-- Kept for a day after the time that it stands for.
local text, keep = string.format('%.0f', next), '86400000'
if next > now then keep = string.format('%.0f', 86400000 + math.ceil((next - now) / 1000)) end
redis.call('SET', KEYS[2], text, 'PX', keep)
if next == now then return 'granted ' .. text .. ' ' .. text end
return 'granted ' .. text .. ' ' .. string.format('%.0f', now)
