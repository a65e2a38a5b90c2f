-- Deletes each lock that holds a token of the same lease, of this attempt or an earlier one.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock for each
-- ARGV: token for each
local pcall = redis.pcall
local failures = {}
for i = 1, #KEYS do
  local lock, token = KEYS[i], ARGV[i]
  local held, why = pcall('GETEX', lock), nil
  -- Law: Ownership
  if held ~= token then
    if not held then
      why = 'gone'
    elseif type(held) == 'table' then
      why = string.find(held.err, 'WRONGTYPE', 1, true) and 'taken' or held.err
    else
      local prefix, attempt = string.match(token, '^(.*:)(%d+)$')
      local other = string.sub(held, 1, #prefix) == prefix
        and string.match(held, '^%d+$', #prefix + 1)
      if not other or tonumber(other) > tonumber(attempt) then why = 'taken' end
    end
  end
  if not why then
    local done = pcall('DEL', lock)
    if type(done) == 'table' then why = done.err end
  end
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
