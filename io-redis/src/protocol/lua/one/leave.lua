
for i = 1, count do
  local lock, queue, token, place = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i - 1], ARGV[2 * i]
  local leaver = queued and place ~= '' and place
  local held, why = pcall('GETEX', lock), nil
