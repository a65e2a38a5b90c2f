-- Gives each lock its TTL again, if it holds exactly the token and has less left, or no expiry.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock for each
-- ARGV: token, TTL ms for each
local failures = {}
for i = 1, #KEYS do
  local key, token, ttl = KEYS[i], ARGV[2 * i - 1], ARGV[2 * i]
  local held = redis.pcall('GETEX', key)
  local why
  -- Law: Ownership
  if held == token then
    local left = redis.pcall('PTTL', key)
    if type(left) == 'table' then
      why = left.err
    elseif left < tonumber(ttl) then
      local done = redis.pcall('PEXPIRE', key, ttl)
      if type(done) == 'table' then why = done.err end
    end
  -- Law: No resurrection
  elseif not held then
    why = 'gone'
  elseif type(held) == 'table' then
    why = string.find(held.err, 'WRONGTYPE', 1, true) and 'taken' or held.err
  else
    -- A token of the same lease. If its attempt is older, the answer is "gone", never "taken".
    local prefix, attempt = string.match(token, '^(.*:)(%d+)$')
    local other = string.sub(held, 1, #prefix) == prefix
      and string.match(held, '^%d+$', #prefix + 1)
    why = other and tonumber(other) < tonumber(attempt) and 'gone' or 'taken'
  end
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
