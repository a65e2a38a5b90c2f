-- Deletes each lock that holds a token of the same lease, of this attempt or an earlier one.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock for each
-- ARGV: token for each
local function release(lock, token)
  local held = redis.pcall('GETEX', lock)
  -- Law: Ownership
  if held ~= token then
    if not held then return 'gone' end
    if type(held) == 'table' then
      return string.find(held.err, 'WRONGTYPE', 1, true) and 'taken' or held.err
    end
    local prefix, attempt = string.match(token, '^(.*:)(%d+)$')
    local other = string.sub(held, 1, #prefix) == prefix
      and string.match(held, '^%d+$', #prefix + 1)
    if not other or tonumber(other) > tonumber(attempt) then return 'taken' end
  end
  local done = redis.pcall('DEL', lock)
  if type(done) == 'table' then return done.err end
end

local failures = {}
for i = 1, #KEYS do
  local why = release(KEYS[i], ARGV[i])
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
