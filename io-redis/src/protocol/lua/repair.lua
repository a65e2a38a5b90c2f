-- Puts back a lock that this node lost, with its fence: only if the key is absent or holds the same
-- lease. The time that is left to the lock never gets shorter.
-- KEYS: lock, fence counter
-- ARGV: token, TTL ms, fence
local held = redis.pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if string.find(held.err, 'WRONGTYPE', 1, true) then return 'taken' end
  return held
end
local stored = redis.pcall('GET', KEYS[2])
local last = 0
if stored then
  local is_text = type(stored) == 'string'
  if not is_text and not string.find(stored.err, 'WRONGTYPE', 1, true) then return stored end
  last = is_text and string.match(stored, '^%d+$') and tonumber(stored)
  if not last then return 'wrong counter ' .. (redis.pcall('TYPE', KEYS[2]).ok or '') end
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
  local keep = 86400000 + math.ceil(math.max(ahead, 0) / 2000)
  redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', string.format('%.0f', keep))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', string.format('%.0f', ttl))
return 'done'
