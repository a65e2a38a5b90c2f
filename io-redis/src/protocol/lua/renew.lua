-- Gives each lock its TTL again, if it holds exactly the token and has less left, or no expiry.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock for each
-- ARGV: token, TTL ms for each
local pcall = redis.pcall
-- A server before 7.0 does not know GT.
local failures, option = {}, 'GT'
for i = 1, #KEYS do
  local key, token, ttl = KEYS[i], ARGV[2 * i - 1], ARGV[2 * i]
  local held, why = pcall('GETEX', key), nil
  -- Law: Ownership
  if held == token then
    local done = option and pcall('PEXPIRE', key, ttl, option)
    if done ~= 1 then
      if type(done) == 'table' then option = nil end
      -- To GT a key without an expiry has more left than any. It gets its expiry back.
      local left = pcall('PTTL', key)
      if type(left) == 'table' then
        why = left.err
      elseif left < tonumber(ttl) then
        done = pcall('PEXPIRE', key, ttl)
        if type(done) == 'table' then why = done.err end
      end
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
