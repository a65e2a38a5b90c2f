-- Stores the fence that is about to be reported, if the lock holds exactly this token.
-- KEYS: lock, fence counter
-- ARGV: token, fence
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
-- Law: Ownership
if held ~= ARGV[1] then
  if not held then return 'gone' end
  -- A token of the same lease. If its attempt is older, the answer is "gone", never "taken".
  local prefix, attempt = string.match(ARGV[1], '^(.*:)(%d+)$')
  if string.sub(held, 1, #prefix) == prefix then
    local other = string.match(held, '^%d+$', #prefix + 1)
    if other and tonumber(other) < tonumber(attempt) then return 'gone' end
  end
  return 'taken'
end
-- Law: Fencing
local fence = tonumber(ARGV[2])
if last < fence then
  local time = redis.call('TIME')
  local ahead = fence - 2 * (time[1] * 1000000 + time[2])
  local keep = 86400000
  if ahead > 0 then keep = keep + math.ceil(ahead / 2000) end
  redis.call('SET', KEYS[2], fence, 'PX', keep)
end
return 'done'
