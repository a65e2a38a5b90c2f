-- Takes the lock if it is free or held by an earlier attempt of the same lease, and draws a fence.
-- KEYS: lock, fence counter [, marker]
-- ARGV: lease prefix, attempt, TTL ms, proposed fence (0: none), fence grace ms, ahead bound us
--       [, run id, replication id, max TTL ms, number of nodes, name of the set]
local held = redis.pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if string.find(held.err, 'WRONGTYPE', 1, true) then return 'foreign' end
  return held
end
local fence = redis.pcall('GET', KEYS[2])
if type(fence) == 'table' then
  if string.find(fence.err, 'WRONGTYPE', 1, true) then return 'foreign' end
  return fence
end
local last = 0
if fence then
  last = string.match(fence, '^%d+$') and tonumber(fence)
  if not last or last >= 9007199254740991 then return 'foreign' end
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

if held then
  local size = #ARGV[1]
  local attempt = string.sub(held, 1, size) == ARGV[1]
    and string.match(held, '^%d+$', size + 1)
  if not attempt then
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 then return 'foreign' end
    return {'held', left, now}
  end
  if tonumber(attempt) > tonumber(ARGV[2]) then return 'taken' end
end

if KEYS[3] then
  local marker = redis.pcall('GET', KEYS[3])
  if type(marker) == 'table' then
    if string.find(marker.err, 'WRONGTYPE', 1, true) then return {'misuse'} end
    return marker
  end
  if not marker then return 'unmarked' end
  local run, replication, _, since, ttl, nodes, name =
    string.match(marker, '^(%S+) (%S+) ([01]) (%d+) (%d+) (%d+) (.*)$')
  if not run then return {'misuse'} end
  if ttl ~= ARGV[9] or nodes ~= ARGV[10] or name ~= ARGV[11] then
    return {'misuse', ttl, nodes, name}
  end
  if run ~= ARGV[7] or replication ~= ARGV[8] then return 'unmarked' end
  -- A server clock that was set back would stretch the wait: the marker is written again, with a
  -- beginning that is not in the future, within the link's next look at the node's identity.
  local left = since + ttl - math.floor(now / 1000)
  if left > 0 then return {'quarantine', math.min(left, tonumber(ttl))} end
end

local next = math.max(last + 1, now)
local proposal = tonumber(ARGV[4])
if proposal > next and proposal <= now + ARGV[6] then next = proposal end
local keep = ARGV[5] + math.ceil((next - now) / 1000)
-- The counter first: were the second write refused, no lock would stand without its fence.
redis.call('SET', KEYS[2], string.format('%.0f', next), 'PX', string.format('%.0f', keep))
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return {'granted', next, now}
