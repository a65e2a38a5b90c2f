
-- Part of release, behind the functions that hand on, which are there if some key has a queue.
end
local failures = {}
for i = 1, count do
  local lock, token = KEYS[2 * i - 1], ARGV[2 * i - 1]
  local held, why, trouble = pcall('GETEX', lock), nil, nil
  -- Law: No orphan
  if hand_on and ARGV[2 * i] ~= '' then
    local place = ARGV[2 * i]
    local left = pcall('ZREM', KEYS[2 * i], place, 'B' .. string.sub(place, 3, 18))
    if type(left) == 'table' and not string.find(left.err, 'WRONGTYPE', 1, true) then
      trouble = left.err
    end
  end
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
    -- Who cannot be handed the lock, for whatever reason, finds it free.
    if not (hand_on and hand_on(lock, KEYS[2 * i], '')) then
      local done = pcall('DEL', lock)
      if type(done) == 'table' then why = done.err end
    end
  end
  why = trouble or why
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
