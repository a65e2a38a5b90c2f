-- Deletes the lock if it holds this lease, in this attempt or an earlier one.
-- KEYS: lock
-- ARGV: lease prefix, attempt
local held = redis.pcall('GETEX', KEYS[1])
if type(held) == 'table' then
  if string.find(held.err, 'WRONGTYPE', 1, true) then return 'foreign' end
  return held
end
if not held then return 'gone' end
local size = #ARGV[1]
local attempt = string.sub(held, 1, size) == ARGV[1]
  and string.match(held, '^%d+$', size + 1)
if not attempt then
  return redis.call('PTTL', KEYS[1]) == -1 and 'foreign' or 'taken'
end
if tonumber(attempt) > tonumber(ARGV[2]) then return 'taken' end
redis.call('DEL', KEYS[1])
return 'done'
