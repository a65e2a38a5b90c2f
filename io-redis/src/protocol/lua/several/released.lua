
local failures = {}
for i = 1, count do
  local lock, queue, token, place = KEYS[2 * i - 1], KEYS[2 * i], ARGV[3 * i - 2], ARGV[3 * i - 1]
  local held, trouble = pcall('GETEX', lock), nil
  -- Law: No orphan
  if hint and place ~= '' then
    local left = pcall('ZREM', queue, place, 'B' .. string.sub(place, 3, 18))
    if type(left) == 'table' and not string.find(left.err, 'WRONGTYPE', 1, true) then
      trouble = left.err
    end
  end
  local why = freed(lock, held, token)
  if hint and ARGV[3 * i] == '1' and (not why or why == 'gone') then hint(lock, queue) end
  why = trouble or why
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
