-- Takes locks that are free or held by an earlier attempt of the same lease, and draws their
-- fences.
-- KEYS: lock, fence counter for each [, marker]
-- ARGV: token, TTL ms, proposed fence (0: none) for each
--       [, run id, replication id, max TTL ms, number of nodes, name of the set]
-- Answers one string for each lock; an error of the server begins with "-". No error is raised
-- after a write, so that the outcome of one lock does not depend on the others. A free key, the
-- usual case, takes three calls to the server: a call costs more than everything else here.
local pcall, format, find, match = redis.pcall, string.format, string.find, string.match
local sub = string.sub
local count = math.floor(#KEYS / 2)
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp = format('%.0f', now)

-- The answer where a name of the lock holds what no lock keeps there.
local function wrong(name, key)
  return 'wrong ' .. name .. ' ' .. (pcall('TYPE', key).ok or '')
end

local function is_wrong_type(reply)
  return find(reply.err, 'WRONGTYPE', 1, true)
end

-- Gives a "no" that was decided without reading the lock. GETEX counts as a write, so a replica
-- refuses it and never answers "no" itself. This comes last: once a script has written, the server
-- no longer refuses further writes when it is out of memory.
local function no(lock, answer)
  local held = pcall('GETEX', lock)
  if type(held) == 'table' and not is_wrong_type(held) then return '-' .. held.err end
  return answer
end

-- Why this node grants nothing: the answer, and whether quarantine is the only reason.
-- Law: Exclusion
local refusal, quarantined
if #KEYS % 2 == 1 then
  local run_id, replication_id, max_ttl, nodes, name = unpack(ARGV, 3 * count + 1)
  local marker = pcall('GET', KEYS[#KEYS])
  if type(marker) == 'table' then
    refusal = is_wrong_type(marker) and 'misuse' or '-' .. marker.err
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
      -- After a server clock was set back, the marker begins in the future. The wait is bounded
      -- here; the link soon reads the node's identity again and writes a marker that begins now.
      local left = since + ttl - math.floor(now / 1000)
      if left > 0 then
        refusal = format('quarantine %.0f', math.min(left, tonumber(ttl)))
        quarantined = true
      end
    end
  end
end

-- By which a waiter notices that another holds the lock now: eight hexadecimal digits. Of a token
-- they are the first of its secret, and the others stay unknown; of anything else, a digest.
local function fingerprint(held)
  local colon = find(held, ':%d+$')
  if colon and colon > 32 then
    local digits = sub(held, colon - 32, colon - 25)
    if not find(digits, '%X') then return digits end
  end
  return sub(redis.sha1hex(sub(held, -64)), 1, 8)
end

-- The server's refusal once it is out of memory: no further SET is tried then.
local full

-- Returns the answer, and whether it must still go through `no`.
local function acquire(lock, counter, token, ttl, proposal)
  local fence = pcall('GET', counter)
  local last = 0
  if fence then
    local is_text = type(fence) == 'string'
    if not is_text and not is_wrong_type(fence) then return '-' .. fence.err end
    last = is_text and match(fence, '^%d+$') and tonumber(fence)
    if not last or last >= 9007199254740991 then return wrong('counter', counter), true end
  end
  if refusal and not quarantined then return refusal, true end

  -- SET NX comes before the lock is read: a replica refuses it as a write, and it leaves a key that
  -- exists as it is.
  -- Law: Ownership
  local set = not quarantined and (full or pcall('SET', lock, token, 'NX', 'PX', ttl))
  -- Out of memory, SET is refused before it sees the key. Whether the lock is held is still found
  -- out.
  if set and set.err and find(set.err, 'OOM', 1, true) then full = set end
  if not set or set == full then
    local held = pcall('GETEX', lock)
    if not held then
      if quarantined then return refusal end
      return set and '-' .. set.err or '-TRYAGAIN the lock vanished'
    end
    if type(held) == 'table' then
      return is_wrong_type(held) and wrong('key', lock) or '-' .. held.err
    end
    local prefix, attempt = match(token, '^(.*:)(%d+)$')
    local other = sub(held, 1, #prefix) == prefix and match(held, '^%d+$', #prefix + 1)
    if not other then
      local left = pcall('PTTL', lock)
      if type(left) == 'table' then return '-' .. left.err end
      if left < 0 then return 'foreign' end
      return format('held %.0f %s %s', left, stamp, fingerprint(held))
    end
    -- Law: Ownership
    if tonumber(other) > tonumber(attempt) then return 'taken' end
    if quarantined then return refusal end
    set = pcall('SET', lock, token, 'PX', ttl)
  end
  if set.err then return '-' .. set.err end

  -- Law: Fencing
  -- A fence is twice the server's time in microseconds.
  local drawn = 2 * now
  local next = drawn
  if last >= next then next = last + 1 end
  proposal = tonumber(proposal)
  -- A proposal more than a minute ahead of this server's time is ignored: the counter would keep
  -- it.
  if proposal > next and proposal <= drawn + 120000000 then next = proposal end
  -- The counter is kept for a day after the time that its value stands for.
  -- Law: No orphan
  local text, keep = format('%.0f', next), '86400000'
  if next > drawn then
    keep = format('%.0f', 86400000 + math.ceil((next - drawn) / 2000))
  end
  local stored = pcall('SET', counter, text, 'PX', keep)
  if stored.err then
    -- Law: No orphan
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
