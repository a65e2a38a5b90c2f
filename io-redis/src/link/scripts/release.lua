-- Deletes the lock if it holds this lease, in this attempt or an earlier one.
-- KEYS: lock
-- ARGV: token
local held = redis.pcall('GETEX', KEYS[1])
if held ~= ARGV[1] then
  if not held then return 'gone' end
  if type(held) == 'table' then
    if string.find(held.err, 'WRONGTYPE', 1, true) then return 'foreign' end
    return held
  end
  local prefix, attempt = string.match(ARGV[1], '^(.*:)(%d+)$')
  local other = string.sub(held, 1, #prefix) == prefix
    and string.match(held, '^%d+$', #prefix + 1)
  if not other then
    return redis.call('PTTL', KEYS[1]) == -1 and 'foreign' or 'taken'
  end
  if tonumber(other) > tonumber(attempt) then return 'taken' end
end
redis.call('DEL', KEYS[1])
return 'done'
