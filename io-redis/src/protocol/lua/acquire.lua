-- Takes locks that are free or held by an earlier attempt of the same lease, and draws their fences.
-- KEYS: lock, fence counter for each [, marker]
-- ARGV: token, TTL ms, proposed fence (0: none) for each
--       [, run id, replication id, max TTL ms, number of nodes, name of the set]
-- Answers one string for each; an error of the server's begins with "-". Nothing is raised after a
-- write: what became of one lock does not hang on the others. The usual way, a free key, is three
-- calls: each call costs a server more than all the rest.
local pcall, format, find, match = redis.pcall, string.format, string.find, string.match
local count = math.floor(#KEYS / 2)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = format('%.0f', now)

-- Something that is not of a lock's making, or what the server says.
local function failure(reply)
  return find(reply.err, 'WRONGTYPE', 1, true) and 'foreign' or '-' .. reply.err
end

-- A "no" that needs no look at the lock is made by a write all the same, which a replica refuses. It is
-- made when all else is done: after a write the server would not refuse the next for want of memory.
local function no(lock, answer)
  local held = pcall('GETEX', lock)
  if type(held) == 'table' and not find(held.err, 'WRONGTYPE', 1, true) then
    return '-' .. held.err
  end
  return answer
end

-- Why the node does not count: a "no", and whether its quarantine is all that speaks against it.
local refusal, quarantined
if #KEYS % 2 == 1 then
  local run_id, replication_id, max_ttl, nodes, name = unpack(ARGV, 3 * count + 1)
  local marker = pcall('GET', KEYS[#KEYS])
  if type(marker) == 'table' then
    refusal = failure(marker)
    if refusal == 'foreign' then refusal = 'misuse' end
  elseif not marker then
    refusal = 'unmarked'
  else
    local run, replication, _, since, ttl, of, called =
      match(marker, '^(%S+) (%S+) ([01]) (%d+) (%d+) (%d+) (.*)$')
    if not run then
      refusal = 'misuse'
    elseif ttl ~= max_ttl or of ~= nodes or called ~= name then
      refusal = 'misuse ' .. ttl .. ' ' .. of .. ' ' .. called
    elseif run ~= run_id or replication ~= replication_id then
      refusal = 'unmarked'
    else
      -- A server clock that was set back would stretch the wait: the marker is written again, with
      -- a beginning that is not in the future, within the link's next look at the node's identity.
      local left = since + ttl - math.floor(now / 1000)
      if left > 0 then
        refusal = format('quarantine %.0f', math.min(left, tonumber(ttl)))
        quarantined = true
      end
    end
  end
end

-- Set once a lock is refused for want of memory: then all are.
local full

-- The answer, and whether it is a "no" that is still to be made.
local function acquire(lock, counter, token, ttl, proposal)
  local fence = pcall('GET', counter)
  local last = 0
  if fence then
    if type(fence) == 'table' then
      local why = failure(fence)
      return why, why == 'foreign'
    end
    last = match(fence, '^%d+$') and tonumber(fence)
    if not last or last >= 9007199254740991 then return 'foreign', true end
  end
  if refusal and not quarantined then return refusal, true end

  -- NX before anything is known of the lock: as a write it is refused by a replica, and a key that
  -- is there is not touched.
  local set = not quarantined and (full or pcall('SET', lock, token, 'NX', 'PX', ttl))
  -- Out of memory a write is refused before it looks: that the lock is held is still told.
  if set and set.err and find(set.err, 'OOM', 1, true) then full = set end
  if not set or set == full then
    local held = pcall('GETEX', lock)
    if not held then
      if quarantined then return refusal end
      return set and '-' .. set.err or '-TRYAGAIN the lock vanished'
    end
    if type(held) == 'table' then return failure(held) end
    local prefix, attempt = match(token, '^(.*:)(%d+)$')
    local other = string.sub(held, 1, #prefix) == prefix and match(held, '^%d+$', #prefix + 1)
    if not other then
      local left = pcall('PTTL', lock)
      if type(left) == 'table' then return '-' .. left.err end
      return left < 0 and 'foreign' or format('held %.0f %s', left, stamp)
    end
    if tonumber(other) > tonumber(attempt) then return 'taken' end
    if quarantined then return refusal end
    set = pcall('SET', lock, token, 'PX', ttl)
  end
  if set.err then return '-' .. set.err end

  local next = now
  if last >= next then next = last + 1 end
  proposal = tonumber(proposal)
  -- A proposal more than a minute ahead of this server's time is ignored: it would stay.
  if proposal > next and proposal <= now + 60000000 then next = proposal end
  -- Kept for a day after the time that it stands for.
  local text, keep = stamp, '86400000'
  if next > now then
    text = format('%.0f', next)
    keep = format('%.0f', 86400000 + math.ceil((next - now) / 1000))
  end
  local stored = pcall('SET', counter, text, 'PX', keep)
  if stored.err then
    pcall('DEL', lock)
    return '-' .. stored.err
  end
  return 'granted ' .. text .. ' ' .. stamp
end

local answers, unseen = {}, {}
for i = 1, count do
  answers[i], unseen[i] =
    acquire(KEYS[2 * i - 1], KEYS[2 * i], ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i])
end
for i = 1, count do
  if unseen[i] then answers[i] = no(KEYS[2 * i - 1], answers[i]) end
end
return answers
