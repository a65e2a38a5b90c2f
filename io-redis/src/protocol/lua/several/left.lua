
-- Part of stay, behind what enters a place.
  end
  full[i] = failed
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
