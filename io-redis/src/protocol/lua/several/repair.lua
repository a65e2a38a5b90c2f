-- Puts back a lock that this node lost, with its fence: only if the key is absent or holds the same
-- lease. The time that is left to the lock never gets shorter.
-- KEYS: lock, fence counter
-- ARGV: token, TTL ms, fence
local pcall, find = redis.pcall, string.find
local held = pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if find(held.err, 'WRONGTYPE', 1, true) then return 'taken' end
  return held
end
local stored, last = pcall('GET', KEYS[2]), 0
if stored then
  if stored.err and not find(stored.err, 'WRONGTYPE', 1, true) then return stored end
  last = not stored.err and not find(stored, '%D') and tonumber(stored)
  if not last then return 'wrong counter ' .. (pcall('TYPE', KEYS[2]).ok or '') end
end
local ttl = tonumber(ARGV[2])
-- Law: Ownership
if held then
  local prefix, attempt = string.match(ARGV[1], '^(.*:)(%d+)$')
  local other = string.sub(held, 1, #prefix) == prefix
    and string.match(held, '^%d+$', #prefix + 1)
  if not other or tonumber(other) > tonumber(attempt) then return 'taken' end
  ttl = math.max(ttl, redis.call('PTTL', KEYS[1]))
end
-- Law: Fencing
local fence = tonumber(ARGV[3])
if last < fence then
  local time = redis.call('TIME')
  local ahead = fence - 2 * (time[1] * 1000000 + time[2])
  local keep = 86400000
  if ahead > 0 then keep = keep + math.ceil(ahead / 2000) end
  redis.call('SET', KEYS[2], fence, 'PX', keep)
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl)
return 'done'
