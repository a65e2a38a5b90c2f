
-- First all places, since a server that is out of memory refuses none any more once something was
-- written.
local failures, full = {}, {}
for i = 1, count do
  local queue, place = KEYS[2 * i], ARGV[3 * i]
  local before = pcall('ZMSCORE', queue, place, 'B' .. string.sub(place, 3, 18))
  full[i] = before.err or enter(queue, place, tonumber(ARGV[3 * i - 1]), 0, before, order(queue))
end
for i = 1, count do
  local lock = KEYS[2 * i - 1]
  local why = freed(lock, pcall('GETEX', lock), ARGV[3 * i - 2])
  if full[i] and (not why or why == 'gone' or why == 'taken') then why = 'full' end
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
